package page

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/applylens/applylens/events"
)

// html gives a mail HTML, and returns the path of its page.
func (o *owner) html(id, html string) string {
	o.Helper()
	key := events.DeriveUUID(o.id, id).String()
	o.Exec(`UPDATE mails SET html = NULLIF($2, '') WHERE id = $1`, key, html)
	return "/mail/" + key
}

func TestMailPage(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("a", "ann@shop.example", "Offer <b>one</b>", "promo", "Hello\n> quoted <i>\n> more\nAnn\n")
	path := o.html("a", "")
	o.propose()
	id := o.tray()[0].ID
	page := o.get(path).want(http.StatusOK, "Offer &lt;b&gt;one&lt;/b&gt;", "ann@shop.example", `<p dir="auto">Hello`, `<p class="quoted" dir="auto">&gt; quoted &lt;i&gt;`,
		"category promo", "Nothing yet.", "Archive promotions", `name="approve" value="`+id+`"`)
	for _, not := range []string{"<iframe", "Quarantined", "Probably fraud", "Receipt", "Application"} {
		if strings.Contains(page.text, not) {
			t.Errorf("the page of a plain mail has %s", not)
		}
	}
	for _, list := range []string{"/tray", "/?q=offer"} {
		o.get(list).want(http.StatusOK, `href="`+path+`"`)
	}

	o.post(path, url.Values{"approve": {id}}).leads(path + "?done=approve")
	o.get(path+"?done=approve").want(http.StatusOK, "Approved. It teaches", "approved", `name="undo" value="`+id+`"`)
	o.get("/history").want(http.StatusOK, `href="`+path+`"`)
	o.post(path, url.Values{"reject": {id}}).want(http.StatusConflict, "decided elsewhere")
	o.post(path, url.Values{"undo": {id}}).leads(path + "?done=undo")
	o.post(path, url.Values{"reject": {id}}).leads(path + "?done=reject")
	o.post(path, url.Values{}).want(http.StatusBadRequest, "names no proposal")
	o.post(path, url.Values{"undo": {"../../preferences"}}).want(http.StatusNotFound)

	o.Exec(`UPDATE mails SET quarantined = true, risk_score = 93, text = '', truncated = true, sender_name = 'Ann', labels = '{Work}', list_id = 'l.example',
		receipt_merchant = 'Shop', receipt_key = 'shop', receipt_amount = 12.5, receipt_currency = 'EUR',
		recipients = ARRAY(SELECT 'to' || n || '@example.org' FROM generate_series(1, 25) n)`)
	o.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at) VALUES (1, 'alice', 'category:promo', 0, 0, -2, now())`)
	page = o.get(path).want(http.StatusOK, "Quarantined.", "Probably fraud.", "high · 93 of 100", "12.50 EUR", "to20@example.org", "and 5 others", "&lt;ann@shop.example&gt;", "l.example", "No text", "−2.00", "pinned")
	if strings.Contains(page.text, "to21@") || strings.Contains(page.text, "Nothing yet.") {
		t.Error("the page names every recipient, or hides what was learned")
	}
	o.html("a", `<p>Hello</p><a href="https://shop.example/?a=1&amp;b=2">Shop</a><a href="javascript:alert(1)">x</a>`)
	page = o.get(path).want(http.StatusOK, `<iframe class="sent" sandbox src="`+path+`/html" title=`, "<bdi>https://shop.example/?a=1&amp;b=2</bdi>", "1 link")
	if strings.Contains(page.text, "<a href=\"https://shop") {
		t.Error("a dangerous mail has links to follow")
	}
	o.Exec(`UPDATE mails SET risk_score = 10`)
	page = o.get(path).want(http.StatusOK, "low · 10 of 100", `<a href="https://shop.example/?a=1&amp;b=2" rel="noopener noreferrer nofollow" target="_blank">`)
	if strings.Contains(page.text, "javascript:") || strings.Contains(page.text, "No text") {
		t.Error("the page has a link that runs")
	}
}

func TestMailThatIsNotHere(t *testing.T) {
	s := newSite(t)
	alice, bob := s.owner("alice").signIn(), s.owner("bob").signIn()
	alice.received("a", "ann@shop.example", "Secret", "promo", "Hello")
	path := alice.html("a", "<p>Hello</p>")
	alice.get(path).want(http.StatusOK, "Secret")
	alice.get(path+"/html").want(http.StatusOK, "<p>Hello</p>")
	for _, path := range []string{path, "/mail/" + events.DeriveUUID("nothing").String(), "/mail/x"} {
		bob.get(path).want(http.StatusNotFound, "This mail is not here.")
		bob.get(path + "/html").want(http.StatusNotFound)
	}
	s.owner("carol").get(path).leads("/sign-in?next=" + url.QueryEscape(path))
	alice.Exec(`DELETE FROM mails`)
	alice.get(path).want(http.StatusNotFound, "This mail is not here.")
}

// hostileHTML asks a server for something in every way that we know, and runs scripts in others.
const hostileHTML = `<html><head><title>owned</title><base href="SERVER/"><meta http-equiv="refresh" content="0;url=SERVER/refresh">
<link rel="stylesheet" href="SERVER/css"><link rel="prefetch" href="SERVER/prefetch"><link rel="preconnect" href="SERVER">
<style>@import "SERVER/import"; body { background: url(SERVER/style) } @font-face { font-family: f; src: url(SERVER/font) } p { font-family: f; position: fixed }</style>
<script>top.document.title = "owned"; fetch("SERVER/script")</script><script src="SERVER/src"></script></head>
<body onload="top.document.title='owned'" background="SERVER/background" bgcolor="#ffeedd">
<p style="background: url(SERVER/inline); color: #aa0000; position: fixed">Hello <b>there</b></p>
<img src="SERVER/img" srcset="SERVER/srcset 2x" alt="A boat" onerror="top.document.title='owned'"><picture><source srcset="SERVER/source"></picture>
<svg><image href="SERVER/svg"/><script>top.document.title = "owned"</script></svg><math href="SERVER/math">x</math>
<form action="SERVER/form"><input name=a autofocus onfocus="top.document.title='owned'"><button>Send</button></form>
<iframe src="SERVER/iframe"></iframe><object data="SERVER/object"></object><embed src="SERVER/embed"><video src="SERVER/video" poster="SERVER/poster" autoplay></video>
<table background="SERVER/table"><tr><td background="SERVER/td">cell</td></tr></table><audio src="SERVER/audio"></audio>
<a href="SERVER/link" ping="SERVER/ping" target="_top">a link</a></body></html>`

func TestHostileMailLoadsNothing(t *testing.T) {
	var requests atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		t.Errorf("the mail had %s loaded", r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	o := newSite(t).owner("alice").signIn()
	o.received("a", "ann@shop.example", "Offer", "promo", "Hello there")
	path := o.html("a", strings.ReplaceAll(hostileHTML, "SERVER", elsewhere.URL))
	b := o.browser()
	b.enter(path)
	b.do(chromedp.Evaluate[chromedp.Void](`window.frame = document.querySelector("iframe.sent"); frame.contentWindow`))
	b.until(`performance.getEntriesByType("resource").some(r => r.name.endsWith("/html") && r.responseStatus === 200)`)
	if got := value[bool](b, `(() => { try { return frame.contentDocument !== null } catch { return true } })()`); got {
		t.Error("the frame has the origin of the page")
	}
	// The document by itself, where a test can look into it.
	b.do(chromedp.Navigate(b.url + path + "/html"))
	b.until(`document.readyState === "complete" && document.body.innerText.includes("Hello there") && document.body.innerText.includes("A boat")`)
	if got := value[int](b, `document.querySelectorAll("script, img, form, iframe, object, embed, video, audio, svg, base, link, a, [href], [src], [background], [onload]").length`); got != 0 {
		t.Errorf("%d elements are there that should not be: %s", got, value[string](b, `document.documentElement.outerHTML`))
	}
	if got := value[string](b, `getComputedStyle(document.querySelector("p")).color + getComputedStyle(document.querySelector("p")).position`); got != "rgb(170, 0, 0)static" {
		t.Errorf("the paragraph is %s", got)
	}
	if got := value[string](b, `document.title`); got != "Mail as sent" {
		t.Errorf("the title is %q", got)
	}
	b.quiet()
	if requests.Load() != 0 {
		t.Errorf("%d requests", requests.Load())
	}
}

// From the tray to a mail, a decision there, and back, without a mouse.
func TestMailByKeyboard(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	ids := o.mails(2, "news@shop.example")
	b := o.browser()
	b.enter("/tray")
	b.keys("?")
	b.until(`document.getElementById("keys").open && document.getElementById("keys").innerText.includes("open the mail")`)
	b.keys("\r") // closes it
	b.until(`!document.getElementById("keys").open && location.pathname === "/tray"`)
	b.keys("jj\r")
	b.until(`location.pathname.startsWith("/mail/") && document.querySelector("#item-` + ids[1] + `") !== null`)
	b.ready()
	b.do(chromedp.Focus(chromedp.CSS(`button[name=reject]`)))
	b.keys("\r")
	b.until(`location.search === "?done=reject" && document.body.innerText.includes("Rejected. It teaches")`)
	b.ready()
	if waiting := b.tray(); len(waiting) != 1 || waiting[0].ID != ids[0] {
		t.Errorf("%d wait at the server", len(waiting))
	}
	b.do(chromedp.Focus(chromedp.CSS(`button[name=undo]`)))
	b.keys("\r")
	b.until(`location.search === "?done=undo" && document.querySelector("button[name=approve]") !== null`)
	if waiting := b.tray(); len(waiting) != 2 {
		t.Errorf("%d wait at the server", len(waiting))
	}
	b.quiet()
}

// letter stores a mail with all that its page can show, and returns its path.
func (o *owner) letter() string {
	o.Helper()
	o.received("letter", "bookings@rail.example", "تأكيد الحجز: your ticket from Lisbon to Porto, and an offer for the way back", "promo",
		"Hello Ann,\n\nyour ticket is attached. You paid 84.50 EUR.\n\n> When does the train leave?\n> And from which platform?\n\nAt 9:12, from platform 3.\n\nשלום\n")
	path := o.html("letter", `<body bgcolor="#f4f1ea"><table width="600" align="center" cellpadding="16" style="background-color:#ffffff;border:1px solid #ddccbb;border-collapse:collapse"><tr><td>
		<h2 style="color:#8a3324;font-family:Georgia,serif">Your ticket</h2><p>Hello Ann,</p><p>your ticket from <b>Lisbon</b> to <b>Porto</b> is attached. <img src="https://rail.example/t.gif" alt="A train at the coast"></p>
		<table width="100%" cellpadding="6"><tr style="background-color:#f4f1ea"><td>One way, second class</td><td align="right">84.50 EUR</td></tr></table>
		<p dir="rtl">مرحبا، شكرا لحجزك</p><p><a href="https://rail.example/tickets/4711?utm_source=mail">See the ticket</a> · <a href="mailto:help@rail.example">Help</a></p></td></tr></table></body>`)
	o.Exec(`UPDATE mails SET sender_name = 'Rail & Sea', recipients = '{ann@example.org,ben@example.org}', list_id = 'offers.rail.example', labels = '{Travel,Paid}', risk_score = 84, quarantined = true,
		expires_at = now() + interval '3 days', receipt_merchant = 'Rail & Sea', receipt_key = 'rail', receipt_amount = 84.5, receipt_currency = 'EUR', companies = '{rail}' WHERE sender = 'bookings@rail.example'`)
	o.Exec(`UPDATE users SET addresses = '{alice@example.org}' WHERE id = 'alice'`)
	o.Exec(`INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
		VALUES (1, 'lever', '7', '{alice@example.org}', 'Rail', 'Onsite', now() - interval '15 days', 1, false, now())`)
	o.Exec(`INSERT INTO application_keys (version, address, company, system, application_id, whole)
		VALUES (1, 'alice@example.org', '', 'lever', '7', true), (1, 'alice@example.org', 'rail', 'lever', '7', true)`)
	o.propose()
	o.json(http.MethodPost, "/actions/"+o.tray()[0].ID+"/approve", "", nil)
	o.json(http.MethodPost, "/policy", `{"name":"Tickets become tasks","condition":{"contains":["subject","ticket"]},"action":"create_task","confidence_threshold":0.5,"priority":1}`, nil)
	o.propose()
	return path
}
