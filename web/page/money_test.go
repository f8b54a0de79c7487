package page

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// receipt stores a mail that is a receipt, as the fold does.
func (o *owner) receipt(name, merchant, amount, currency string, at time.Time) {
	o.Helper()
	o.received(name, "billing@shop.example", "Your receipt "+name, "finance", "You paid.")
	o.Exec(`UPDATE mails SET received_at = $2, receipt_merchant = $3, receipt_key = lower($3), receipt_amount = $4::text::numeric, receipt_currency = $5 WHERE id = $1`,
		o.idOf(name), at, merchant, amount, currency)
}

// manyReceipts are those of a year: of several merchants and currencies, with a duplicate, a refund and a month without any.
func (o *owner) manyReceipts() {
	o.Helper()
	for month := range 12 {
		if month == 5 {
			continue
		}
		at := time.Date(2026, time.Month(1+month), 3, 12, 0, 0, 0, time.UTC)
		o.receipt(fmt.Sprint("paper", month), "Paper & Pen <b>", fmt.Sprint(10+7*month, ".50"), "EUR", at)
	}
	o.receipt("host1", "Tiny Hosting", "1234.56", "EUR", time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC))
	o.receipt("host2", "Tiny Hosting", "1234.56", "EUR", time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC))
	o.receipt("back", "A merchant with a very long name that never ends, of somewhere far away GmbH & Co. KG aA", "-41.00", "EUR", time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC))
	o.receipt("rtl", "\u202eمتجر", "5000", "JPY", time.Date(2026, 4, 2, 12, 0, 0, 0, time.UTC))
}

func TestMoney(t *testing.T) {
	s := newSite(t)
	o, bob := s.owner("alice").signIn(), s.owner("bob").signIn()
	o.get("/money").want(http.StatusOK, "No receipts yet.", `href="/money/receipts.csv"`)
	o.get("/?tool=duplicates").want(http.StatusOK, "No merchant charged the same amount twice within 7 days.")
	o.get("/?tool=spending").want(http.StatusOK, "No receipts yet.")
	o.manyReceipts()
	page := o.get("/money").want(http.StatusOK, "Paper &amp; Pen &lt;b&gt;", ">1234.56 EUR</data>", ">−41.00 EUR</data>", ">5000.00 JPY</data>", "Your receipt host2",
		`href="/mail/`+o.idOf("host1")+`"`, `href="/money?month=2026-03#receipts"`, "<title>2026-06: 0.00 EUR</title>", `viewBox="0 0 120 40"`)
	if strings.Contains(page.text, "Older receipts") {
		t.Error("there are older receipts than all")
	}
	page = o.get("/money?q=TINY&month=2026-03").want(http.StatusOK, "Your receipt host1", "Your receipt host2", "All receipts")
	if _, list, _ := strings.Cut(page.text, `id="receipts"`); strings.Contains(list, "Your receipt paper2") {
		t.Error("the search found another merchant")
	}
	o.get("/money?q=nobody").want(http.StatusOK, "No receipt is like that.")
	o.get("/money?month=March").want(http.StatusOK, `role="alert"`, "By merchant") // the rest is there
	o.get("/money?days=1").want(http.StatusOK, "No merchant charged the same amount twice within 1 day.")
	o.get("/money?days=1000").want(http.StatusOK, `role="alert"`)
	for i := range 60 {
		o.receipt(fmt.Sprint("many", i), "Kiosk", fmt.Sprint(i+1), "EUR", time.Date(2025, 1, 1, 12, i, 0, 0, time.UTC))
	}
	page = o.get("/money").want(http.StatusOK, "Older receipts")
	_, older, _ := strings.Cut(page.text, `<p><a href="`)
	older, _, _ = strings.Cut(older, `#receipts"`)
	page = o.get(strings.ReplaceAll(older, "&amp;", "&")).want(http.StatusOK, "Your receipt many0<", "All receipts")
	if strings.Contains(page.text, "Your receipt many59") {
		t.Error("the older receipts begin with the newest")
	}
	if answer := bob.get("/money").want(http.StatusOK, "No receipts yet."); strings.Contains(answer.text, "Paper") {
		t.Error("bob sees her receipts")
	}

	// The panel keeps what was asked.
	o.get("/?q=meetup&mode=money&tool=duplicates").want(http.StatusOK, "Tiny Hosting", "3 days apart", `href="/?mode=money&amp;q=meetup&amp;tool=spending#money-tools"`)
	o.get("/?tool=spending").want(http.StatusOK, "Tiny Hosting", `href="/money"`)
	o.get("/?mode=money").want(http.StatusOK, "Export receipts (CSV)")
	for _, path := range []string{"/", "/?mode=networking", "/?q=x"} {
		if strings.Contains(o.get(path).want(http.StatusOK).text, "Export receipts") {
			t.Errorf("%s has the link", path)
		}
	}
	if csv := o.get("/money/receipts.csv").want(http.StatusOK, "date,merchant,amount"); !strings.HasPrefix(csv.header.Get("Content-Disposition"), "attachment") {
		t.Error("the link shows the export instead of saving it")
	}
	o.Exec(`ALTER VIEW live_mails RENAME TO gone`)
	o.get("/money").want(http.StatusOK, "Failed to load the summary")
	o.get("/?tool=spending").want(http.StatusOK, "Failed to load", "Policy Accuracy (30d)")
	o.Exec(`ALTER VIEW gone RENAME TO live_mails`)
}

func TestMoneyWithScripts(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.manyReceipts()
	b := o.assistant()
	const link = `[...document.querySelectorAll("#ask a")].some(a => a.innerText === "Export receipts (CSV)" && a.pathname === "/money/receipts.csv")`
	if value[bool](b, link) {
		t.Error("the link is there in the mode off")
	}
	b.do(chromedp.SetValue(chromedp.CSS(`#mode`), "money"), chromedp.Evaluate[chromedp.Void](`document.querySelector("#mode").dispatchEvent(new Event("change"))`))
	b.until(link)
	b.do(chromedp.Click(chromedp.CSS(`#money-tools a`)))
	b.until(`location.search === "?tool=duplicates" && document.getElementById("money-tools").innerText.includes("€1,234.56")`)
	b.open("/money")
	b.look("money")
	b.open("/?mode=money&tool=spending")
	b.look("assistant-money")
	for _, barrier := range b.barriers {
		t.Error(barrier)
	}
}
