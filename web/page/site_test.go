package page

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/search/keys"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/world"
)

// site is the API with its pages on a database of its own, served on loopback.
type site struct {
	*world.World
	users *auth.Store
	url   string
}

func newSite(t *testing.T) *site { t.Helper(); return newSiteWith(t, nil) }

// newSiteWith is newSite with an OpenID provider, which learns the address of the page.
func newSiteWith(t *testing.T, provider *Provider) *site {
	t.Helper()
	t.Parallel()
	return newSiteOn(t, world.New(t), provider, func(*api.Config) {})
}

// newSiteOn is newSiteWith with a world and further settings of the API.
func newSiteOn(t testing.TB, w *world.World, provider *Provider, adjust func(*api.Config)) *site {
	t.Helper()
	users := auth.NewStore(w.Pool)
	server := httptest.NewUnstartedServer(nil)
	address := "http://" + server.Listener.Addr().String()
	if provider != nil {
		provider.PublicURL = address
	}
	config := api.Config{
		Pool: w.Pool, Search: postgres.New(w.Pool), Log: w.Logger, Hosts: api.LoopbackHosts(),
		Page: func(handler http.Handler) (api.Page, error) {
			return New(Config{API: handler, Users: users, Log: w.Logger, Provider: provider})
		},
	}
	adjust(&config)
	handler, err := api.New(config)
	w.Must(err)
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(server.Close)
	return &site{w, users, address}
}

// owner is a person with a browser that has no scripts.
type owner struct {
	*site
	id    string
	token string
	http  *http.Client
}

// owner makes a person with one policy for promotions, and a browser that is not signed in.
func (s *site) owner(id string) *owner {
	s.Helper()
	_, err := s.users.CreateUser(s.Context(), auth.User{ID: id})
	s.Must(err)
	s.Exec(`DELETE FROM policies WHERE user_id = $1`, id)
	token, err := s.users.CreateToken(s.Context(), id, auth.Bearer, "", time.Time{})
	s.Must(err)
	jar, err := cookiejar.New(nil)
	s.Must(err)
	o := &owner{s, id, token, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	o.json(http.MethodPost, "/policy", `{"name":"Archive promotions","condition":{"eq":["category","promo"]},"action":"archive_email","confidence_threshold":0.7}`, nil)
	return o
}

// mail stores a promotion that the person received.
func (o *owner) mail(id, sender, subject string) {
	o.Helper()
	o.received(id, sender, subject, "promo", "")
}

// received stores a mail of the person, as the fold does.
func (o *owner) received(id, sender, subject, category, text string) {
	o.Helper()
	key := events.DeriveUUID(o.id, id).String()
	_, domain, _ := strings.Cut(sender, "@")
	sought := keys.Mail{UserID: o.id, Subject: subject, Text: text, Sender: sender, SenderDomain: domain, Category: category}
	o.Exec(`INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
		recipients, list_id, received_at, category, quarantined, labels, text, truncated, content_hash, updated_at, search_words)
		VALUES (1, $1, $2, $3, '', $4, $5, '', $6, '{}', '', now(), $7, false, '{}', $8, false, 0, now(), $9)`,
		key, o.id, key, subject, sender, domain, category, text, sought.Join())
}

// propose lets the policies propose for all mail.
func (o *owner) propose() { o.Helper(); o.json(http.MethodPost, "/actions/propose", `{}`, nil) }

// json asks the API as a program.
func (o *owner) json(method, path, body string, out any) {
	o.Helper()
	r, err := http.NewRequestWithContext(o.Context(), method, o.url+path, strings.NewReader(body))
	o.Must(err)
	r.Header.Set("Authorization", "Bearer "+o.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	o.Must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	o.Must(err)
	if answer.StatusCode >= 300 {
		o.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
	}
	if out != nil {
		o.Must(json.Unmarshal(text, out))
	}
}

// tray returns what waits.
func (o *owner) tray() (list []proposal) {
	o.Helper()
	o.json(http.MethodGet, "/actions/tray?limit=1000", "", &list)
	return list
}

// link makes a link that signs the person in.
func (o *owner) link() string {
	o.Helper()
	secret, err := o.users.CreateToken(o.Context(), o.id, auth.Login, "", time.Now().Add(auth.LinkFor))
	o.Must(err)
	return secret
}

// shown is a page as the browser got it.
type shown struct {
	t        testing.TB
	status   int
	header   http.Header
	text     string
	location string
}

func (o *owner) get(path string, headers ...string) *shown {
	o.Helper()
	return o.send(http.MethodGet, path, nil, headers...)
}

func (o *owner) post(path string, form url.Values, headers ...string) *shown {
	o.Helper()
	return o.send(http.MethodPost, path, form, headers...)
}

func (o *owner) send(method, path string, form url.Values, headers ...string) *shown {
	o.Helper()
	r, err := http.NewRequestWithContext(o.Context(), method, o.url+path, strings.NewReader(form.Encode()))
	o.Must(err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return o.do(r)
}

// do sends a request as the browser does.
func (o *owner) do(r *http.Request) *shown {
	o.Helper()
	answer, err := o.http.Do(r)
	o.Must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	o.Must(err)
	return &shown{o.TB, answer.StatusCode, answer.Header, string(text), answer.Header.Get("Location")}
}

func (s *shown) want(status int, parts ...string) *shown {
	s.t.Helper()
	if s.status != status {
		s.t.Fatalf("status %d, want %d: %s", s.status, status, brief(s.text))
	}
	for _, part := range parts {
		if !strings.Contains(s.text, part) {
			s.t.Errorf("the page lacks %q: %s", part, brief(s.text))
		}
	}
	return s
}

func (s *shown) leads(path string) *shown {
	s.t.Helper()
	if s.want(http.StatusSeeOther); s.location != path {
		s.t.Fatalf("leads to %q, want %q", s.location, path)
	}
	return s
}

// signIn signs the browser in.
func (o *owner) signIn() *owner {
	o.Helper()
	o.post("/sign-in", url.Values{"link": {o.link()}, "next": {"/tray"}}).leads("/tray")
	return o
}

// mails stores and proposes for mails, and returns the proposals' ids.
func (o *owner) mails(count int, sender string) (ids []string) {
	o.Helper()
	for i := range count {
		o.mail(sender+strconv.Itoa(i), sender, "Offer "+strconv.Itoa(i)+" of "+sender)
	}
	o.propose()
	for _, p := range o.tray() {
		if p.Email.Sender == sender {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) != count {
		o.Fatalf("%d proposals for %d mails", len(ids), count)
	}
	return ids
}

// brief is what a page says, without its head.
func brief(text string) string {
	if _, main, found := strings.Cut(text, "<main"); found {
		text = main
	}
	return text[:min(len(text), 1500)]
}
