package page

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestPreferences(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.get("/preferences").want(http.StatusOK, "Nothing learned that is strong yet")
	o.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at)
		VALUES (1, 'alice', 'category:promo', 9, 1, NULL, now()), (1, 'alice', 'sender_domain:shop.example', 0, 5, NULL, now()), (1, 'alice', 'listid:a<b', 1, 0, NULL, now())`)
	page := o.get("/preferences").want(http.StatusOK, "category promo", "&#43;1.60", "9 approved, 1 rejected", "from shop.example", "−1.00")
	if strings.Contains(page.text, "list a") {
		t.Error("a weak weight is shown")
	}
	o.get("/preferences?all=1").want(http.StatusOK, "list a&lt;b", "&#43;0.20")
	next := o.post("/preferences", url.Values{"do": {"pin"}, "feature": {"category:promo"}, "weight": {" −2.5 "}}).want(http.StatusSeeOther).location
	if !strings.HasPrefix(next, "/preferences?done=pin&wait=") {
		t.Errorf("leads to %q", next)
	}
	o.post("/preferences", url.Values{"do": {"pin"}, "feature": {"category:promo"}, "weight": {"much"}}).want(http.StatusUnprocessableEntity, "a number between")
	o.post("/preferences", url.Values{"do": {"pin"}, "feature": {"category:promo"}, "weight": {"NaN"}}).want(http.StatusUnprocessableEntity, "a number between")
	o.post("/preferences", url.Values{"do": {"pin"}, "feature": {"nothing"}, "weight": {"1"}}).want(http.StatusUnprocessableEntity, `role="alert"`)
	o.post("/preferences", url.Values{"do": {"forget"}, "feature": {"category:promo"}}).want(http.StatusSeeOther)
	o.post("/preferences", url.Values{"do": {"reset"}, "confirm": {"yes"}}).want(http.StatusUnprocessableEntity, "to confirm")
	o.post("/preferences", url.Values{"do": {"reset"}, "confirm": {"Forget everything "}}).want(http.StatusSeeOther)
	o.post("/preferences", url.Values{}).want(http.StatusBadRequest)
	if emitted := o.Int(`SELECT count(*) FROM outbox WHERE type LIKE '%preference%'`); emitted != 3 {
		t.Errorf("%d events of preferences", emitted)
	}
}

func TestAccuracy(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.get("/accuracy").want(http.StatusOK, "No data yet.")
	name := newPolicyDays(o)
	o.get("/accuracy").want(http.StatusOK, name, "80 %", "fired 10 • approved 8 • rejected 1 • waiting 1", "49 % to 94 %")
	o.get("/accuracy?days=7").want(http.StatusOK, `value="7" selected`)
	o.get("/accuracy?days=0").want(http.StatusUnprocessableEntity, "Failed to load policy stats")
	o.Exec(`ALTER VIEW live_policy_days RENAME TO elsewhere`)
	o.get("/accuracy").want(http.StatusInternalServerError, "Failed to load policy stats")
}

func TestPolicies(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.mails(2, "news@shop.example")
	o.get("/policies").want(http.StatusOK, "Archive promotions", "priority 100")
	id := strconv.Itoa(o.Int(`SELECT id FROM policies WHERE user_id = 'alice'`))
	o.get("/policies/"+id).want(http.StatusOK, "&#34;category&#34;", "<option value=\"archive_email\" selected>")
	o.get("/policies/new").want(http.StatusOK, "{&#34;gte&#34;:[&#34;age_days&#34;,7]}\n]}</textarea>") // whatever was shown before
	form := url.Values{"name": {"Label news"}, "action": {"label_email"}, "priority": {"20"}, "threshold": {"0.5"}, "enabled": {"1"}, "condition": {`{"eq":["category","promo"]}`}, "do": {"try"}}
	o.post("/policies/new", form).want(http.StatusOK, "2 mails match of 2", `value="Label news"`)
	form.Set("do", "save")
	o.post("/policies/new", form).leads("/policies?done=save")
	if page := o.get("/policies?done=save").want(http.StatusOK, "The policy is saved.", "Label news").text; strings.Index(page, "Label news") > strings.Index(page, "Archive promotions") {
		t.Error("the policies are not in their order")
	}
	o.post("/policies/new", form).want(http.StatusConflict, `role="alert"`) // the name is taken
	form.Set("condition", `{"eq":["colour","red"]}`)
	o.post("/policies/new", form).want(http.StatusUnprocessableEntity, "colour")
	form.Set("threshold", "NaN")
	o.post("/policies/new", form).want(http.StatusUnprocessableEntity, "are numbers")
	form.Set("threshold", "0.5")
	form.Set("condition", `{"eq":`)
	o.post("/policies/new", form).want(http.StatusUnprocessableEntity, "not JSON", "{&#34;eq&#34;:")
	o.post("/policies", url.Values{"id": {id}, "do": {"disable"}}).leads("/policies?done=disable")
	o.get("/policies").want(http.StatusOK, ">off<", "Switch on")
	o.post("/policies", url.Values{"id": {id}, "do": {"copy"}}).leads("/policies?done=copy")
	o.get("/policies").want(http.StatusOK, "Archive promotions (copy)")
	o.post("/policies", url.Values{"id": {"stats"}, "do": {"delete"}}).want(http.StatusNotFound)
	o.post("/policies", url.Values{"id": {id}, "do": {"delete"}}).leads("/policies?done=delete")
	o.post("/policies", url.Values{"id": {id}, "do": {"delete"}}).want(http.StatusNotFound)
	o.get("/policies/" + id).want(http.StatusNotFound)
	o.get("/policies/x").want(http.StatusNotFound, "no such policy")
}

func TestConditionsAreEditedByLines(t *testing.T) {
	f := func(condition, want string) {
		t.Helper()
		if got := pretty([]byte(condition), ""); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", condition, got, want)
		}
	}
	f(`{"eq": ["category", "promo"]}`, `{"eq":["category","promo"]}`)
	f(`{"all":[{"eq":["a","b"]},{"any":[{"gt":["c",1]},{"not":{"in":["d",["e"]]}}]}]}`,
		"{\"all\": [\n  {\"eq\":[\"a\",\"b\"]},\n  {\"any\": [\n    {\"gt\":[\"c\",1]},\n    {\"not\":{\"in\":[\"d\",[\"e\"]]}}\n  ]}\n]}")
	f(`{"all":[]}`, `{"all":[]}`)
	f(`not json`, `not json`)
}
