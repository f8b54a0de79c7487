package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/money"
	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// spring is when tests spend money.
var spring = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// receipt stores a mail that is a receipt, as the fold does, and returns its id.
func (p *person) receipt(merchant, amount, currency string, at time.Time, subject string) string {
	p.Helper()
	id := p.mail(mail{subject: subject, category: "finance"})
	p.Exec(`UPDATE mails SET received_at = $2, receipt_merchant = $3, receipt_key = $4, receipt_amount = $5::text::numeric, receipt_currency = $6 WHERE id = $1`,
		id, at, merchant, money.Key(merchant), amount, currency)
	return id
}

func TestSummary(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	f := func(want string) {
		t.Helper()
		for _, path := range []string{"/money/summary", "/api/money/summary"} {
			same(t, string(p.get(path).want(http.StatusOK).body), want+"\n")
		}
	}
	f(`{"total_amount":0.00,"count":0,"by_merchant":{},"by_month":{},"avg_amount":0.00,"currency":null,"by_currency":{}}`)

	april := spring.AddDate(0, 1, 0)
	p.receipt("Paper & Pen", "24.90", "EUR", spring, "")
	p.receipt("Paper & Pen", "0.005", "EUR", april, "")
	p.receipt("PAPER & PEN GmbH", "10", "EUR", april, "")
	p.receipt(`Say "hi"`, "0.1", "EUR", time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC), "")
	p.receipt("Lantern Books", "41.00", "USD", spring, "")
	p.receipt("Lantern Books", "-41.00", "USD", april, "")
	p.receipt("Sakura", "5000", "JPY", april, "")
	p.receipt("Gulf Air", "87.255", "KWD", april, "")
	p.mail(mail{subject: "no receipt"})
	w.person("bob").receipt("Casino", "1000000", "EUR", spring, "")
	f(`{"total_amount":35.01,"count":4,"by_merchant":{"Paper \u0026 Pen":34.91,"Say \"hi\"":0.10},"by_month":{"2026-03":25.00,"2026-04":10.01},` +
		`"avg_amount":8.75,"currency":"EUR","by_currency":{"EUR":35.01,"USD":0.00,"JPY":5000.00,"KWD":87.26}}`)
}

// Two currencies with as many receipts: the first by its code is the main one.
func TestTheMainCurrencyOfTwo(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.receipt("a", "1", "USD", spring, "")
	p.receipt("b", "2", "CHF", spring, "")
	same(t, *decode[struct{ Currency *string }](p.get("/money/summary").want(http.StatusOK)).Currency, "CHF")
}

func TestDuplicates(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	same(t, string(p.get("/money/duplicates").want(http.StatusOK).body), `{"duplicates":[],"count":0,"window_days":7}`+"\n")

	day := 24 * time.Hour
	first := p.receipt("Tiny Hosting", "5", "USD", spring, "first")
	second := p.receipt("TINY hosting Ltd", "5.00", "USD", spring.Add(7*day), "second")
	p.receipt("Tiny Hosting", "5", "USD", spring.Add(14*day+time.Second), "too late")
	p.receipt("Tiny Hosting", "5", "EUR", spring, "another currency")
	p.receipt("Tiny Hosting", "5.01", "USD", spring, "another amount")
	p.receipt("Tiny Hosting", "-5", "USD", spring.Add(day), "a refund")
	p.receipt("Tiny Hosting", "-5", "USD", spring.Add(2*day), "another refund")
	w.person("bob").receipt("Tiny Hosting", "5", "USD", spring.Add(day), "another person's")

	type mails struct{ Earlier, Later string }
	f := func(query string, window int, want ...mails) {
		t.Helper()
		got := decode[struct {
			Duplicates []struct{ Earlier, Later receiptMail }
			Count      int
			WindowDays int `json:"window_days"`
		}](p.get("/money/duplicates" + query).want(http.StatusOK))
		var pairs []mails
		for _, d := range got.Duplicates {
			pairs = append(pairs, mails{d.Earlier.Subject, d.Later.Subject})
		}
		same(t, pairs, want)
		same(t, []int{got.Count, got.WindowDays}, []int{len(want), window})
	}
	f("", 7, mails{"first", "second"})
	f("?window_days=6", 6)
	f("?window_days=8", 8, mails{"second", "too late"}, mails{"first", "second"})
	p.receipt("Tiny Hosting", "5", "USD", spring.Add(time.Hour), "at once")
	f("?window_days=365", 365, mails{"second", "too late"}, mails{"at once", "second"}, mails{"first", "at once"})
	f("?window_days=1", 1, mails{"first", "at once"})

	same(t, string(p.get("/money/duplicates?window_days=7").want(http.StatusOK).body), `{"duplicates":[`+
		`{"merchant":"TINY hosting Ltd","amount":5.00,"currency":"USD","earlier":{"id":"`+idAt(p, spring.Add(time.Hour))+`","date":"2026-03-01T13:00:00Z","subject":"at once"},`+
		`"later":{"id":"`+second+`","date":"2026-03-08T12:00:00Z","subject":"second"},"days_apart":6},`+
		`{"merchant":"Tiny Hosting","amount":5.00,"currency":"USD","earlier":{"id":"`+first+`","date":"2026-03-01T12:00:00Z","subject":"first"},`+
		`"later":{"id":"`+idAt(p, spring.Add(time.Hour))+`","date":"2026-03-01T13:00:00Z","subject":"at once"},"days_apart":0}],"count":2,"window_days":7}`+"\n")

	for _, bad := range []string{"0", "366", "-1", "7.5", "week"} {
		problem := p.get("/money/duplicates?window_days=" + bad).want(http.StatusUnprocessableEntity).problem()
		same(t, problem.Errors[0].Location, "query.window_days")
	}
}

func TestReceiptsAsAList(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	type answer struct {
		Receipts []struct{ Subject string }
		More     bool
	}
	f := func(query string, more bool, want ...string) {
		t.Helper()
		got := decode[answer](p.get("/money/receipts" + query).want(http.StatusOK))
		var subjects []string
		for _, r := range got.Receipts {
			subjects = append(subjects, r.Subject)
		}
		same(t, subjects, want)
		same(t, got.More, more)
	}
	same(t, string(p.get("/money/receipts").want(http.StatusOK).body), `{"receipts":[],"more":false}`+"\n")

	first := p.receipt("Paper & Pen", "24.9", "EUR", spring, "a")
	p.receipt("Tiny Hosting", "-5", "USD", time.Date(2026, 3, 31, 23, 59, 59, 999_999_000, time.UTC), "b")
	third := p.receipt("Bücher", "0.005", "EUR", time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), "Your 100% INVOICE")
	p.mail(mail{subject: "no receipt"})
	bobs := w.person("bob").receipt("Paper & Pen", "1", "EUR", spring, "bob's")

	f("", false, "Your 100% INVOICE", "b", "a")
	f("?limit=2", true, "Your 100% INVOICE", "b")
	f("?limit=3", false, "Your 100% INVOICE", "b", "a")
	f("?before="+third, false, "b", "a")
	f("?before="+third+"&limit=1", true, "b")
	f("?before="+first, false)
	f("?month=2026-03", false, "b", "a")
	f("?month=2026-04", false, "Your 100% INVOICE")
	f("?month=2026-05", false)
	f("?month=2026-03&before="+third, false, "b", "a")
	f("?month=2026-04&before="+first, false)
	f("?q=PEN", false, "a")
	f("?q=b%C3%9CCHER", false, "Your 100% INVOICE")
	f("?q=invoice", false, "Your 100% INVOICE")
	f("?q=0%25", false, "Your 100% INVOICE") // no pattern
	f("?q=_", false)
	f("?q=bob", false)
	same(t, string(p.get("/money/receipts?q=a&limit=1&month=2026-03").want(http.StatusOK).body), `{"receipts":[{"email_id":"`+first+`","date":"2026-03-01T12:00:00Z",`+
		`"merchant":"Paper & Pen","amount":24.90,"currency":"EUR","subject":"a","category":"finance"}],"more":false}`+"\n")

	for _, other := range []string{bobs, events.DeriveUUID("nothing").String()} {
		p.get("/money/receipts?before=" + other).want(http.StatusNotFound)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "before=x", "month=2026-13", "month=2026", "q=" + strings.Repeat("a", 201), "what=1"} {
		p.get("/money/receipts?" + bad).want(http.StatusUnprocessableEntity)
	}
	for _, bad := range []string{"q=%00", "q=%ff"} {
		p.get("/money/receipts?" + bad).want(http.StatusBadRequest)
	}
	f("?month=0000-01", false)
}

func idAt(p *person, at time.Time) string {
	p.Helper()
	var id [16]byte
	p.Must(p.Pool.QueryRow(p.Context(), `SELECT id FROM mails WHERE user_id = $1 AND received_at = $2`, p.id, at).Scan(&id))
	return events.UUID(id).String()
}

// TestMoneyIsReadFromTheIndex: the plan that PostgreSQL keeps costs no more than one made for the person.
func TestMoneyIsReadFromTheIndex(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	for _, statement := range []string{`UPDATE mails SET receipt_merchant = 'a', receipt_key = 'a', receipt_amount = 1, receipt_currency = 'EUR'`, `VACUUM (ANALYZE) mails`} {
		if _, err := pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	plans.Hold(t, pool, selectSummary, plans.Person)
	plans.Hold(t, pool, selectDuplicates, plans.Person, 7, mostDuplicates)
	lastID := events.UUID(newest(always).id).String()
	plans.Hold(t, pool, selectReceipts, plans.Person, always, lastID, receiptsAtOnce, time.Time{}, "")
	plans.Hold(t, pool, selectReceipts, plans.Person, always, lastID, 51, spring, "a")
}
