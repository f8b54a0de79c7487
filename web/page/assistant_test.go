package page

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

func TestAssistant(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("walk", "events@club.example", "Meetup on Thursday", "event", "A walk along the harbour.")
	o.received("boots", "news@shop.example", "Boots <b>for</b> the meetup", "promo", "Boots & more")
	o.get("/").want(http.StatusOK, "No data yet.", "Words search subject and text")
	page := o.get("/?q=meetup").want(http.StatusOK, "Meetup on Thursday", "Boots &lt;b&gt;for", "Boots &amp; more")
	if strings.Contains(page.text, "Networking opportunities") {
		t.Error("there are opportunities without the mode")
	}
	page = o.get("/?q=meetup&mode=networking").want(http.StatusOK, "Networking opportunities", "Other mail", "<option value=\"networking\" selected>")
	if opportunity, other := strings.Index(page.text, "Meetup on Thursday"), strings.Index(page.text, "Boots &lt;b"); opportunity > other {
		t.Error("the opportunity stands below other mail")
	}
	o.get("/?q=meetup&mode=").leads("/?q=meetup")
	o.get("/?q=meetup&mode=x").want(http.StatusUnprocessableEntity, `role="alert"`)
	o.get("/?q=category%3A").want(http.StatusUnprocessableEntity, `role="alert"`, `value="category:"`)
	o.get("/?q=nothing").want(http.StatusOK, "No mail found")
	name := newPolicyDays(o)
	o.get("/").want(http.StatusOK, "fired 10 • approved 8 • rejected 1", "80 %", name)
	o.Exec(`ALTER VIEW live_policy_days RENAME TO elsewhere`)
	o.get("/?q=meetup").want(http.StatusOK, "Failed to load policy stats", "Meetup on Thursday") // the rest of the page is there
}

// newPolicyDays gives the person's policy statistics, and returns its name.
func newPolicyDays(o *owner) string {
	o.Exec(`INSERT INTO policy_days (version, policy_id, user_id, day, fired, approved, rejected, missed, updated_at)
		SELECT 1, id, user_id, (now() AT TIME ZONE 'UTC')::date, 10, 8, 1, 2, now() FROM policies WHERE user_id = $1`, o.id)
	return "Archive promotions"
}

// The mode stays from query to query and over a reload, and off adds nothing to the address.
func TestModeOfTheAssistant(t *testing.T) {
	o := newSite(t).owner("alice")
	o.received("walk", "events@club.example", "Meetup on Thursday", "event", "A walk along the harbour.")
	b := o.browser()
	b.open("/sign-in?link=" + b.link())
	b.do(chromedp.Click(chromedp.CSS(`button.main`)))
	b.until(`location.pathname === "/" && document.documentElement.dataset.ready === "true"`)
	b.do(chromedp.SendKeys(chromedp.CSS(`#q`), "meetup\r"))
	b.until(`location.search === "?q=meetup" && document.body.innerText.includes("Meetup on Thursday")`)
	b.ready()
	b.do(chromedp.SetValue(chromedp.CSS(`#mode`), "networking"), chromedp.Submit(chromedp.CSS(`#ask`)))
	b.until(`location.search === "?q=meetup&mode=networking" && document.body.innerText.includes("Networking opportunities")`)
	b.do(chromedp.Reload())
	b.until(`document.querySelector("#mode").value === "networking" && document.documentElement.dataset.ready === "true"`)
	b.do(chromedp.SetValue(chromedp.CSS(`#q`), "walk"), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`location.search === "?q=walk&mode=networking"`)
	b.ready()
	b.do(chromedp.SetValue(chromedp.CSS(`#mode`), ""), chromedp.Click(chromedp.CSS(`#ask button`)))
	b.until(`location.search === "?q=walk"`)
	b.quiet()
}
