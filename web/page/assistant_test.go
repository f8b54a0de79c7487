package page

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/applylens/applylens/events"
)

func TestAssistant(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("walk", "events@club.example", "Meetup on Thursday", "event", "A walk along the harbour.")
	o.received("boots", "news@shop.example", "Boots <b>for</b> the meetup", "promo", "Boots & more")
	o.get("/").want(http.StatusOK, "No data yet.", "Ask in plain words")
	page := o.get("/?q=meetup").want(http.StatusOK, "Meetup on Thursday", "Boots &lt;b&gt;for", "Boots &amp; more")
	if strings.Contains(page.text, "Networking opportunities") {
		t.Error("there are opportunities without the mode")
	}
	page = o.get("/?q=meetup&mode=networking").want(http.StatusOK, "Networking opportunities", "Other mail", "<option value=\"networking\" selected>")
	_, found, _ := strings.Cut(page.text, "Networking opportunities")
	if opportunity, other := strings.Index(found, "Meetup on Thursday"), strings.Index(found, "Boots &lt;b"); opportunity < 0 || opportunity > other {
		t.Error("the opportunity stands below other mail")
	}
	o.get("/?q=meetup&mode=").leads("/?q=meetup")
	o.get("/?q=meetup&mode=x").want(http.StatusUnprocessableEntity, `role="alert"`)
	o.get("/?q=meetup&window_days=x").want(http.StatusUnprocessableEntity, `role="alert"`)
	o.get("/?q=meetup&window_days=0").want(http.StatusOK, "Meetup on Thursday")
	o.get("/?q=meetup&window_days=-1").want(http.StatusUnprocessableEntity, `role="alert"`)
	o.get("/?q="+strings.Repeat("a", 4001)).want(http.StatusUnprocessableEntity, `role="alert"`)
	o.get("/?q=elephant").want(http.StatusOK, `<a href="/?q=elephant&amp;window_days=3650">Look in all mail</a>`)
	o.get("/?q=when+is+the+walk").want(http.StatusOK, "<bdi>A walk along the harbour.</bdi>", `href="/mail/`+o.idOf("walk")+`" aria-label="Mail 1"`)
	o.get("/hits?q=harbour").want(http.StatusOK, "Meetup on Thursday")
	name := newPolicyDays(o)
	o.get("/").want(http.StatusOK, "fired 10 • approved 8 • rejected 1", "80 %", name)
	o.get("/?q=meetup&mode=networking&explain=1").want(http.StatusOK, `id="refresh" href="/?explain=1&amp;mode=networking&amp;q=meetup"`)
	o.Exec(`ALTER VIEW live_policy_days RENAME TO elsewhere`)
	o.get("/?q=meetup").want(http.StatusOK, "Failed to load policy stats", "Meetup on Thursday") // the rest of the page is there
	o.Exec(`ALTER VIEW elsewhere RENAME TO live_policy_days`)
	o.Exec(`ALTER VIEW live_mails RENAME TO gone`)
	o.get("/?q=meetup").want(http.StatusInternalServerError, `role="alert"`, `value="meetup"`)
	o.Exec(`ALTER VIEW gone RENAME TO live_mails`)
}

// idOf is the id of a mail by which it was received.
func (o *owner) idOf(name string) string { return events.DeriveUUID(o.id, name).String() }

// newPolicyDays gives the person's policy statistics, and returns its name.
func newPolicyDays(o *owner) string {
	o.Exec(`INSERT INTO policy_days (version, policy_id, user_id, day, fired, approved, rejected, missed, updated_at)
		SELECT 1, id, user_id, (now() AT TIME ZONE 'UTC')::date, 10, 8, 1, 2, now() FROM policies WHERE user_id = $1`, o.id)
	return "Archive promotions"
}

// Without scripts, a question with effects runs once, however often its address is loaded, and by whomever.
func TestAskWithoutScripts(t *testing.T) {
	s := newSite(t)
	o, bob := s.owner("alice").signIn(), s.owner("bob").signIn()
	for i := range 3 {
		o.mail(fmt.Sprint("offer", i), "news@shop.example", fmt.Sprint("Offer ", i))
	}
	form := func(values ...string) url.Values {
		form := url.Values{"mode": {""}, "window_days": {""}}
		for i := 0; i < len(values); i += 2 {
			form.Set(values[i], values[i+1])
		}
		return form
	}
	o.post("/", form("q", "archive promos")).leads("/?q=archive+promos")
	o.post("/", form("q", "archive promos", "explain", "1", "mode", "money", "window_days", "365")).leads("/?explain=1&mode=money&q=archive+promos&window_days=365")
	if len(o.tray()) != 0 {
		t.Fatal("a question without effects proposed")
	}
	o.post("/", form("q", "archive promos", "propose", "1", "mode", "x")).want(http.StatusUnprocessableEntity, `role="alert"`)

	to := o.post("/", form("q", "archive promos", "propose", "1")).want(http.StatusSeeOther).location
	if !strings.HasPrefix(to, "/?q=archive+promos&stream=") {
		t.Fatalf("leads to %s", to)
	}
	bob.get(to).want(http.StatusOK) // her stream is none of his
	if len(o.tray()) != 0 || len(bob.tray()) != 0 {
		t.Fatal("another person's browser ran the question")
	}
	for range 2 {
		o.get(to).want(http.StatusOK, "3 actions proposed.", `<a href="/tray">Open the tray</a>`)
	}
	if waiting := len(o.tray()); waiting != 3 {
		t.Errorf("%d proposals wait", waiting)
	}
	o.Exec(`DELETE FROM chat_streams`)
	o.get(to).want(http.StatusOK, "What this question did before is not shown again")

	page := o.get("/?q=I+like+meetups").want(http.StatusOK, "Remember this", `name="remember" value="1"`)
	if strings.Contains(page.text, "Remembered") {
		t.Error("something was kept without consent")
	}
	o.get(o.post("/", form("q", "I like meetups", "remember", "1")).want(http.StatusSeeOther).location).want(http.StatusOK, "Remembered: <bdi>subject has meetup</bdi> &#43;1.00.")
	o.post("/", form("q", "archive promos", "propose", "1"), "Sec-Fetch-Site", "cross-site").want(http.StatusForbidden)
}

// A session on the assistant's page.
func (o *owner) assistant() *browser {
	o.Helper()
	b := o.browser()
	b.open("/sign-in?link=" + b.link())
	b.do(chromedp.Click(chromedp.CSS(`button.main`)))
	b.until(`location.pathname === "/" && document.documentElement.dataset.ready === "true"`)
	return b
}

// The mode stays from question to question and over a reload, and off adds nothing to the address.
func TestModeOfTheAssistant(t *testing.T) {
	o := newSite(t).owner("alice")
	o.received("walk", "events@club.example", "Meetup on Thursday", "event", "A walk along the harbour.")
	b := o.assistant()
	b.do(chromedp.SendKeys(chromedp.CSS(`#q`), "meetup\r"))
	b.until(`location.search === "?q=meetup" && document.getElementById("hits").textContent.includes("Meetup on Thursday")`)
	b.do(chromedp.SetValue(chromedp.CSS(`#mode`), "networking"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`location.search === "?q=meetup&mode=networking" && document.getElementById("hits").textContent.includes("Networking opportunities")`)
	b.do(chromedp.Reload())
	b.until(`document.querySelector("#mode").value === "networking" && document.getElementById("hits").textContent.includes("Networking opportunities")`)
	b.ready()
	b.do(chromedp.SetValue(chromedp.CSS(`#q`), "walk"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`location.search === "?q=walk&mode=networking"`)
	b.do(chromedp.SetValue(chromedp.CSS(`#mode`), ""), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`location.search === "?q=walk"`)
	b.do(chromedp.Evaluate[chromedp.Void](`history.back()`))
	b.until(`location.search === "?q=walk&mode=networking" && document.querySelector("#mode").value === "networking"`)
	b.quiet()
}

// With scripts, the answer comes into the page, its effects happen once, and what was found is markup of nobody's.
func TestAskWithScripts(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("lease", "ann@homes.example", "The lease", "personal", "Hello. The lease <img src=x onerror=alert(1)> begins on 1 July. Bye.")
	o.mail("offer", "news@shop.example", "<script>document.title='owned'</script> offer")
	b := o.assistant()
	b.do(chromedp.SendKeys(chromedp.CSS(`#q`), "when does the lease begin?\r"))
	b.until(`document.querySelector("#answer .claim.mail")?.innerText.includes("<img src=x onerror=alert(1)> begins on 1 July") && document.querySelector("#answer [role=status]") === null`)
	if to := value[string](b, `document.querySelector("#answer .cite").pathname`); to != "/mail/"+o.idOf("lease") {
		t.Errorf("the citation leads to %s", to)
	}
	b.do(chromedp.Click(chromedp.CSS(`input[name="propose"]`)), chromedp.SetValue(chromedp.CSS(`#q`), "archive promos"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`document.getElementById("answer").innerText.includes("1 action proposed") && document.getElementById("hits").textContent.includes("<script>")`)
	if address := value[string](b, `location.search`); address != "?q=archive+promos" || len(b.tray()) != 1 {
		t.Errorf("the address is %s, and %d proposals wait", address, len(b.tray()))
	}
	b.do(chromedp.Reload())
	b.ready()
	if again := value[bool](b, `document.getElementById("answer").innerText.includes("proposed.")`); again || len(b.tray()) != 1 {
		t.Error("a reload proposed again")
	}

	b.do(chromedp.SetValue(chromedp.CSS(`#q`), "I like meetups"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`document.querySelector("#answer button")?.innerText === "Remember this"`)
	b.do(chromedp.Click(chromedp.CSS(`#answer button`)))
	b.until(`document.getElementById("answer").innerText.includes("Remembered: subject has meetup +1.00")`)

	b.do(chromedp.SetValue(chromedp.CSS(`#q`), "the elephant"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`[...document.querySelectorAll("#answer button")].some(button => button.innerText === "Look in all mail")`)
	b.do(chromedp.Click(chromedp.CSS(`#answer button`)))
	b.until(`location.search === "?q=the+elephant&window_days=3650" && document.querySelector("#answer [role=status]") === null`)
	if title := value[string](b, `document.title`); !strings.Contains(title, "ApplyLens") {
		t.Errorf("a subject became a script: the title is %q", title)
	}
	b.quiet()

	o.Exec(`ALTER VIEW live_mails RENAME TO gone`)
	b.do(chromedp.SetValue(chromedp.CSS(`#q`), "the lease"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`document.querySelector("#answer [role=alert]")?.innerText.includes("went wrong")`)
	o.Exec(`ALTER VIEW gone RENAME TO live_mails`)
	o.Exec(`DELETE FROM tokens WHERE kind = 'session'`)
	b.do(chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`document.querySelector("#answer [role=alert]")?.innerText.includes("signed out")`)
}

// A server that does not answer keeps nobody waiting without a word: the page says that it waits, and can be told to stop.
func TestAskWhileTheDatabaseHangs(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("lease", "ann@homes.example", "The lease", "personal", "The lease begins on 1 July.")
	b := o.assistant()
	release := o.block("chat_streams")
	b.do(chromedp.SendKeys(chromedp.CSS(`#q`), "the lease\r"))
	b.until(`document.querySelector("#answer [role=status]")?.innerText.includes("Looking through your mail")`)
	b.do(chromedp.Click(chromedp.CSS(`#answer button`)))
	b.until(`document.getElementById("answer").innerText === "Stopped."`)
	release()
	b.do(chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`document.querySelector("#answer .claim.mail")?.innerText.includes("begins on 1 July")`)
	b.quiet()
}

// block locks a table until it is released.
func (o *owner) block(table string) (release func()) {
	o.Helper()
	tx, err := o.Pool.Begin(o.Context())
	o.Must(err)
	_, err = tx.Exec(o.Context(), "LOCK TABLE "+table)
	o.Must(err)
	return func() { o.Must(tx.Rollback(o.Context())) }
}
