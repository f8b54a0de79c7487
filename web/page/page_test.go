package page

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestLinkSignsInOnce(t *testing.T) {
	s := newSite(t)
	o := s.owner("alice")
	o.get("/tray").leads("/sign-in?next=%2Ftray")
	link := o.link()
	for range 2 { // a mail program's scanner opens it, too
		o.get("/sign-in?link="+link).want(http.StatusOK, `name="link" value="`+link+`"`, "<button")
	}
	answer := o.post("/sign-in", url.Values{"link": {link}, "next": {"/history"}}).leads("/history")
	cookie := answer.header.Get("Set-Cookie")
	for _, part := range []string{auth.LoopbackCookie + "=applylens_", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q lacks %s", cookie, part)
		}
	}
	o.get("/tray").want(http.StatusOK, "There is no mail yet", "alice")
	other := s.owner("bob")
	other.post("/sign-in", url.Values{"link": {link}}).want(http.StatusUnauthorized, "was used")
	other.get("/tray").leads("/sign-in?next=%2Ftray")
}

func TestLinkExpires(t *testing.T) {
	o := newSite(t).owner("alice")
	secret, err := o.users.CreateToken(t.Context(), "alice", auth.Login, "", time.Now().Add(-time.Second))
	o.Must(err)
	o.post("/sign-in", url.Values{"link": {secret}}).want(http.StatusUnauthorized, "ten minutes")
	o.post("/sign-in", url.Values{"link": {"x"}}).want(http.StatusUnauthorized)
	o.post("/sign-in", url.Values{"token": {o.link()}}).want(http.StatusUnauthorized, "not valid") // a link is no token
	o.post("/sign-in", url.Values{"link": {o.token}}).want(http.StatusUnauthorized)                // and a token no link
}

func TestManyFailuresToSignIn(t *testing.T) {
	o := newSite(t).owner("alice")
	link := o.link()
	for range failureBurst {
		o.post("/sign-in", url.Values{"token": {"applylens_wrong"}}).want(http.StatusUnauthorized)
	}
	o.post("/sign-in", url.Values{"link": {link}}).want(http.StatusTooManyRequests, "Too many attempts", `value="`+link+`"`)
	o.Eventually("the link signs in after a while", func() error { // it was not used up
		if answer := o.post("/sign-in", url.Values{"link": {link}}); answer.status != http.StatusSeeOther {
			return fmt.Errorf("status %d", answer.status)
		}
		return nil
	})
	for remote, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[::ffff:192.0.2.7]:80": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[2001:db8:1:2::9%eth0]:80": "2001:db8:1:2::/64", "@": "@",
	} {
		if got := networkOf(remote); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
}

// A link of somebody else would have a person decide and write in another's name.
func TestLinkIsRefusedOverAnotherPersonsSession(t *testing.T) {
	s := newSite(t)
	alice, bob := s.owner("alice").signIn(), s.owner("bob")
	link := bob.link()
	alice.post("/sign-in", url.Values{"link": {link}}).want(http.StatusConflict, "another person", "alice")
	alice.get("/tray").want(http.StatusOK, "alice")
	bob.post("/sign-in", url.Values{"link": {link}}).leads("/") // it was not used up
}

func TestSessionsHaveTheRolesOfTheirLinks(t *testing.T) {
	s := newSite(t)
	o := s.owner("alice").signIn()
	roles := func() (roles []string) {
		s.Must(s.Pool.QueryRow(t.Context(), `SELECT roles FROM tokens WHERE kind = 'session'`).Scan(&roles))
		return roles
	}
	if got := roles(); len(got) != 1 || got[0] != auth.Owner {
		t.Errorf("the session has the roles %q", got)
	}
	o.post("/sign-out", nil, "Content-Type", "application/x-www-form-urlencoded").leads("/sign-in")
	secret, err := s.users.CreateToken(t.Context(), "alice", auth.Bearer, "", time.Time{}, auth.Owner, auth.Operator)
	s.Must(err)
	o.post("/sign-in", url.Values{"token": {" " + secret + "\n"}}).leads("/")
	if got := roles(); len(got) != 2 {
		t.Errorf("the session of an operator's token has the roles %q", got)
	}
}

// A session has no more than the token that it was begun with, for no longer.
func TestSessionsEndWithTheirTokens(t *testing.T) {
	s := newSite(t)
	o := s.owner("alice")
	secret, err := s.users.CreateToken(t.Context(), "alice", auth.Bearer, "phone", time.Now().Add(time.Hour), auth.Owner, auth.Operator)
	s.Must(err)
	o.post("/sign-in", url.Values{"token": {secret}}).leads("/")
	if late := s.Int(`SELECT count(*) FROM tokens WHERE kind = 'session' AND expires_at > now() + interval '1 hour'`); late != 0 {
		t.Error("the session outlives its token")
	}
	id := world.Scalar[string](s, `SELECT encode(substring(hash FOR 8), 'hex') FROM tokens WHERE name = 'phone'`)
	if _, err := s.users.Demote(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if operators := s.Int(`SELECT count(*) FROM tokens WHERE 'operator' = ANY (roles)`); operators != 0 {
		t.Error("the session of a demoted token is an operator's")
	}
	o.get("/tray").want(http.StatusOK)
	if _, err := s.users.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	o.get("/tray").leads("/sign-in?next=%2Ftray")
}

func TestCookiesBehindAProxy(t *testing.T) {
	o := newSite(t).owner("alice")
	answer := o.post("/sign-in", url.Values{"link": {o.link()}}, "X-Forwarded-Proto", "https").leads("/")
	if cookie := answer.header.Get("Set-Cookie"); !strings.HasPrefix(cookie, auth.Cookie+"=") || !strings.Contains(cookie, "Secure") {
		t.Errorf("a proxy that names this machine as the host gets the cookie %q", cookie)
	}
	if o.get("/sign-in").header.Get("Strict-Transport-Security") != "" || o.get("/sign-in", "X-Forwarded-Proto", "https").header.Get("Strict-Transport-Security") == "" {
		t.Error("TLS is asked for on this machine alone, or nowhere")
	}
}

func TestSignOut(t *testing.T) {
	s := newSite(t)
	here := s.owner("alice").signIn()
	jar, err := cookiejar.New(nil)
	s.Must(err)
	there := *here
	there.http = &http.Client{Jar: jar, CheckRedirect: here.http.CheckRedirect}
	there.signIn()
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	here.post("/sign-out", nil, form...).leads("/sign-in")
	here.get("/tray").leads("/sign-in?next=%2Ftray")
	there.get("/tray").want(http.StatusOK)
	here.signIn()
	open := here.link()
	there.post("/sign-out", url.Values{"everywhere": {"1"}}).leads("/sign-in")
	here.get("/tray").leads("/sign-in?next=%2Ftray")
	here.post("/sign-in", url.Values{"link": {open}}).want(http.StatusUnauthorized)
	here.json(http.MethodGet, "/preferences", "", nil) // tokens of programs stay
}

func TestNextStaysHere(t *testing.T) {
	for path, want := range map[string]string{
		"/tray": "/tray", "/history?undone=1": "/history?undone=1", "": "/", "tray": "/", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example/": "/",
		"/\t/evil.example": "/", "/sign-in?link=x": "/", "javascript:alert(1)": "/",
	} {
		if got := nextOf(path); got != want {
			t.Errorf("%q leads to %q, want %q", path, got, want)
		}
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	ids := o.mails(1, "news@shop.example")
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		o.post("/tray", url.Values{"approve": ids}, headers...).want(http.StatusForbidden)
	}
	if len(o.tray()) != 1 {
		t.Error("the proposal was decided")
	}
}

func TestPagesAreForBrowsersOnly(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	page := o.get("/tray").want(http.StatusOK)
	if policy := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if got := o.get("/nothing").want(http.StatusNotFound, "no such page"); !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		t.Errorf("content type %q", got.header.Get("Content-Type"))
	}
	if got := o.get("/actions/tray").want(http.StatusOK); got.header.Get("Content-Type") != "application/json" {
		t.Errorf("an operation answers a browser with %q", got.header.Get("Content-Type"))
	}
	if got := o.get("/nothing", "Accept", "application/json").want(http.StatusNotFound); got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a program gets %q", got.header.Get("Content-Type"))
	}
	o.get("/metrics").want(http.StatusOK, "applylens_api_requests_total")
}

func TestStaticFiles(t *testing.T) {
	o := newSite(t).owner("alice")
	page := o.get("/sign-in").want(http.StatusOK)
	_, rest, _ := strings.Cut(page.text, `href="/static/`)
	path, _, _ := strings.Cut("/static/"+rest, `"`)
	got := o.get(path, "Accept", "*/*").want(http.StatusOK)
	if !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %v", path, got.header)
	}
	o.get("/static/0/style.css", "Accept", "*/*").want(http.StatusNotFound)
	o.get("/static/../page.go", "Accept", "*/*")
}

func TestDecideInTheTray(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	shop, club := o.mails(3, "news@shop.example"), o.mails(2, "hello@club.example")
	o.get("/tray").want(http.StatusOK, "5 proposals", "Offer 1 of news@shop.example", "Archive promotions", "confidence 80 %")

	o.post("/tray", url.Values{"approve": {shop[0]}, "member": shop}).leads("/tray?as=approved&decided=1&id=" + shop[0])
	o.get("/tray?as=approved&decided=1&id="+shop[0]).want(http.StatusOK, "1 proposal approved.", `name="undo" value="`+shop[0]+`"`, "4 proposals")
	o.post("/tray", url.Values{"all": {"reject"}, "selected": {shop[1]}, "member": shop[1:]}).leads("/tray?as=rejected&decided=1&id=" + shop[1])
	o.post("/tray", url.Values{"all": {"approve"}, "member": club}).leads("/tray?as=approved&decided=2&id=" + club[0] + "&id=" + club[1])
	if waiting := o.tray(); len(waiting) != 1 || waiting[0].ID != shop[2] {
		t.Fatalf("%v waits", waiting)
	}
	o.get("/history").want(http.StatusOK, "approved", "rejected", "Offer 0 of hello@club.example")
	o.post("/history", url.Values{"undo": club}).leads("/history?undone=2")
	if len(o.tray()) != 3 {
		t.Errorf("%d wait after two were taken back", len(o.tray()))
	}
	o.post("/history", url.Values{"undo": {"../../preferences"}}).want(http.StatusNotFound)
	o.post("/tray", url.Values{"approve": {shop[1]}}).want(http.StatusConflict, "decided elsewhere")
	o.post("/tray", url.Values{"member": {shop[2]}}).want(http.StatusBadRequest, "no proposal")
	if page := o.get("/tray?as=approved&decided=300"); strings.Contains(page.text, `name="undo"`) {
		t.Error("an address that names no decision offers to take some back")
	}
	o.post("/tray", url.Values{"all": {"reject"}, "selected": {shop[0], shop[2]}}).leads("/tray?as=rejected&decided=1&id=" + shop[2] + "&lost=1")
	o.get("/tray?as=rejected&decided=1&lost=1").want(http.StatusOK, "1 proposal rejected. 1 other was decided elsewhere")
	o.post("/history", url.Values{"undo": {shop[2]}}).leads("/history?undone=1")
	o.post("/tray", url.Values{"always": {shop[2]}}).leads("/tray?made=1")
	o.get("/tray?made=1").want(http.StatusOK, "A policy was made")
	var policies []struct{ Name string }
	o.json(http.MethodGet, "/policy", "", &policies)
	if len(policies) != 2 {
		t.Errorf("there are %d policies", len(policies))
	}
}

func TestPagesShowOnlyTheOwners(t *testing.T) {
	s := newSite(t)
	alice, bob := s.owner("alice").signIn(), s.owner("bob").signIn()
	ids := alice.mails(1, "news@shop.example")
	if page := bob.get("/tray").want(http.StatusOK, "There is no mail yet"); strings.Contains(page.text, "shop.example") {
		t.Error("another person's proposal is shown")
	}
	bob.post("/tray", url.Values{"approve": ids}).want(http.StatusConflict)
	if len(alice.tray()) != 1 {
		t.Error("another person decided")
	}
	alice.post("/tray", url.Values{"approve": ids}).leads("/tray?as=approved&decided=1&id=" + ids[0])
	bob.post("/history", url.Values{"undo": ids}).want(http.StatusNotFound)
}

func TestTextsOfMailAreText(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.mail("a", `x"onmouseover=alert(1)@shop.example`, `<script>alert("1")</script>`+"\u202eevil")
	o.propose()
	page := o.get("/tray").want(http.StatusOK, "&lt;script&gt;", "<bdi>")
	if strings.Contains(page.text, "<script>alert") || strings.Contains(page.text, `"onmouseover`) {
		t.Errorf("the subject or the sender is markup:\n%s", page.text)
	}
}

func TestPageSaysWhatTheAPISays(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.Exec(`ALTER TABLE actions RENAME TO elsewhere`)
	o.get("/tray").want(http.StatusInternalServerError, `role="alert"`, "something went wrong on our side")
	o.Exec(`ALTER TABLE elsewhere RENAME TO actions`)
	o.get("/tray").want(http.StatusOK)
}
