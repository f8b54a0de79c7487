package page

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/applylens/applylens/internal/auth"
)

// openIDSite is a site with an OpenID provider.
type openIDSite struct {
	*site
	provider *mockoidc.MockOIDC
}

func newOpenIDSite(t *testing.T) *openIDSite {
	t.Helper()
	server, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	settings := &Provider{
		Issuer: server.Issuer(), ClientID: server.ClientID, ClientSecret: server.ClientSecret,
		AllowedDomains: []string{"home.example"}, AllowedGroups: []string{"family"}, OperatorGroup: "admins",
	}
	return &openIDSite{newSiteWith(t, settings), server}
}

// visitor is a browser that is not signed in.
func (s *openIDSite) visitor() *owner {
	jar, err := cookiejar.New(nil)
	s.Must(err)
	return &owner{site: s.site, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer lets the provider sign somebody in for a browser, and returns where the provider sends it back to.
func (s *openIDSite) answer(o *owner, user mockoidc.MockUser) string {
	s.Helper()
	s.provider.QueueUser(&user)
	start := o.get("/sign-in/openid?next=/history").want(http.StatusSeeOther)
	r, err := o.http.Get(start.location)
	s.Must(err)
	r.Body.Close()
	back, found := strings.CutPrefix(r.Header.Get("Location"), s.url)
	if !found {
		s.Fatalf("the provider answers %d and leads to %q", r.StatusCode, r.Header.Get("Location"))
	}
	return back
}

func TestOpenID(t *testing.T) {
	s := newOpenIDSite(t)
	o := s.visitor()
	o.get("/sign-in?next=/history").want(http.StatusOK, `href="/sign-in/openid?next=%2fhistory"`)
	back := s.answer(o, mockoidc.MockUser{Subject: "7", Email: "Ann@Home.example", EmailVerified: true})
	o.get(back).leads("/history")
	o.get("/history").want(http.StatusOK, "openid-")
	s.visitor().get(back).want(http.StatusBadRequest, "no attempt of this browser")
	o.get(back).want(http.StatusBadRequest)
	var id string
	var addresses, roles []string
	s.Must(s.Pool.QueryRow(t.Context(), `SELECT u.id, u.addresses, t.roles FROM users u JOIN tokens t ON t.user_id = u.id`).Scan(&id, &addresses, &roles))
	if !strings.HasPrefix(id, "openid-") || !slices.Equal(addresses, []string{"ann@home.example"}) || !slices.Equal(roles, []string{auth.Owner}) {
		t.Errorf("%s %q %q", id, addresses, roles)
	}

	again := s.visitor() // another browser of the same person, whose address has changed
	again.get(s.answer(again, mockoidc.MockUser{Subject: "7", Email: "ann.b@home.example", EmailVerified: true})).leads("/history")
	other := s.visitor() // and another person with the same address
	other.get(s.answer(other, mockoidc.MockUser{Subject: "8", Email: "ann@home.example", EmailVerified: true})).leads("/history")
	if users := s.Int(`SELECT count(*) FROM users`); users != 2 {
		t.Errorf("there are %d users", users)
	}
}

func TestWhoMayComeInByOpenID(t *testing.T) {
	s := newOpenIDSite(t)
	f := func(name string, user mockoidc.MockUser, roles ...string) {
		t.Helper()
		user.Subject = name
		o := s.visitor()
		answer := o.get(s.answer(o, user))
		if len(roles) == 0 {
			answer.want(http.StatusForbidden, "may not come in")
			o.get("/tray").leads("/sign-in?next=%2Ftray")
			return
		}
		answer.leads("/history")
		var got []string
		s.Must(s.Pool.QueryRow(t.Context(), `SELECT roles FROM tokens ORDER BY created_at DESC LIMIT 1`).Scan(&got))
		if !slices.Equal(got, roles) {
			t.Errorf("%s has the roles %q", name, got)
		}
	}
	f("a verified address", mockoidc.MockUser{Email: "a@home.example", EmailVerified: true}, auth.Owner)
	f("an address that is not verified", mockoidc.MockUser{Email: "a@home.example"})
	f("a neighbour", mockoidc.MockUser{Email: "a@evilhome.example", EmailVerified: true})
	f("an address within", mockoidc.MockUser{Email: "a@home.example@evil.example", EmailVerified: true})
	f("no address", mockoidc.MockUser{})
	f("a group", mockoidc.MockUser{Groups: []string{"x", "family"}}, auth.Owner)
	f("an operator", mockoidc.MockUser{Groups: []string{"admins", "family"}}, auth.Owner, auth.Operator)
	f("an operator of nothing here", mockoidc.MockUser{Groups: []string{"admins"}})
}

func TestAnswersOfOpenIDAreChecked(t *testing.T) {
	s := newOpenIDSite(t)
	ann := mockoidc.MockUser{Subject: "7", Email: "ann@home.example", EmailVerified: true}
	o := s.visitor()
	back, err := url.Parse(s.answer(o, ann))
	s.Must(err)
	query := back.Query()
	query.Set("state", "another")
	o.get("/sign-in/callback?"+query.Encode()).want(http.StatusBadRequest, "no attempt")

	thief, victim := s.visitor(), s.visitor() // the code of another browser's attempt
	stolen, err := url.Parse(s.answer(victim, ann))
	s.Must(err)
	own, err := url.Parse(s.answer(thief, ann))
	s.Must(err)
	query = own.Query()
	query.Set("code", stolen.Query().Get("code"))
	thief.get("/sign-in/callback?"+query.Encode()).want(http.StatusBadGateway, "could not be used")

	denied := s.visitor()
	state := func(location string) string {
		to, err := url.Parse(location)
		s.Must(err)
		return to.Query().Get("state")
	}
	start := denied.get("/sign-in/openid?next=//evil.example").want(http.StatusSeeOther)
	denied.get("/sign-in/callback?error=access_denied&state="+state(start.location)).want(http.StatusForbidden, "did not sign you in")

	signed := s.site.owner("bob").signIn() // somebody else's session is not replaced
	signed.get(s.answer(signed, ann)).want(http.StatusConflict, "another person")
	signed.get("/tray").want(http.StatusOK, "bob")
}

// The pages' policy lets a browser go to the provider and come back.
func TestOpenIDInABrowser(t *testing.T) {
	s := newOpenIDSite(t)
	s.provider.QueueUser(&mockoidc.MockUser{Subject: "7", Email: "ann@home.example", EmailVerified: true})
	b := s.visitor().browser()
	b.open("/tray")
	b.do(chromedp.Click(chromedp.CSS(`a.button.main`)))
	b.until(`location.pathname === "/tray" && document.body.innerText.includes("ann@home.example")`)
	b.quiet()
}

func TestOpenIDProviderDoesNotAnswer(t *testing.T) {
	s := newOpenIDSite(t)
	s.Must(s.provider.Shutdown())
	s.visitor().get("/sign-in/openid").want(http.StatusServiceUnavailable, "does not answer")
}
