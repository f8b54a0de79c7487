package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/world"
)

// deployment is an API on a database of its own.
type deployment struct {
	*world.World
	users   *auth.Store
	handler http.Handler
}

func newDeployment(t *testing.T, settings ...func(*Config)) *deployment {
	t.Helper()
	t.Parallel()
	w := world.New(t)
	keys, err := secrets.Parse(secrets.Generate())
	w.Must(err)
	config := Config{Pool: w.Pool, Search: postgres.New(w.Pool), Log: w.Logger,
		Accounts: &accounts.Connector{Keys: keys, Dialer: &dialer.Dialer{Private: true}, Timeout: 5 * time.Second}}
	for _, set := range settings {
		set(&config)
	}
	handler, err := New(config)
	w.Must(err)
	return &deployment{w, auth.NewStore(w.Pool), handler}
}

// person is somebody with a token.
type person struct {
	*deployment
	id, token string
}

// person makes somebody with a token of the given roles, or of the role owner, and without any policy, so that tests bring
// their own.
func (w *deployment) person(id string, roles ...string) *person {
	w.Helper()
	ctx := w.Context()
	if _, err := w.users.CreateUser(ctx, auth.User{ID: id}); err != nil {
		w.Fatal(err)
	}
	w.Exec(`DELETE FROM policies WHERE user_id = $1`, id)
	secret, err := w.users.CreateToken(ctx, id, auth.Bearer, "", time.Time{}, roles...)
	w.Must(err)
	return &person{w, id, secret}
}

// reply is an answer.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// ask sends a request; body is nil, a string that is sent as it is, or a value that is sent as JSON.
func (w *deployment) ask(token, method, path string, body any, headers ...string) *reply {
	w.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		w.Must(err)
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequestWithContext(w.Context(), method, path, reader)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return &reply{w.TB, recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
}

func (p *person) ask(method, path string, body any, headers ...string) *reply {
	p.Helper()
	return p.deployment.ask(p.token, method, path, body, headers...)
}

func (p *person) get(path string) *reply { p.Helper(); return p.ask(http.MethodGet, path, nil) }

func (p *person) post(path string, body any, headers ...string) *reply {
	p.Helper()
	return p.ask(http.MethodPost, path, body, headers...)
}

// want checks the status, and that a problem has the form of one.
func (r *reply) want(status int) *reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	if status >= 400 {
		r.problem()
	}
	return r
}

func (r *reply) problem() huma.ErrorModel {
	r.t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("content type %q of a problem", got)
	}
	problem := decode[huma.ErrorModel](r)
	if problem.Status != r.status || problem.Title == "" || problem.Type == "" || problem.Detail == "" {
		r.t.Errorf("incomplete problem: %s", r.body)
	}
	return problem
}

func decode[T any](r *reply) T {
	r.t.Helper()
	var value T
	if err := json.Unmarshal(r.body, &value); err != nil {
		r.t.Fatalf("%v in %s", err, r.body)
	}
	return value
}

// policy makes a policy and returns its id.
func (p *person) policy(name, condition string, more ...any) int64 {
	p.Helper()
	body := map[string]any{"name": name, "condition": json.RawMessage(condition), "action": "archive_email"}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	return decode[policyView](p.post("/policy", body).want(http.StatusCreated)).ID
}

// mail is a mail as the mailbox fold would have stored it.
type mail struct {
	subject, sender, domain, category string
	risk                              *int
	age                               time.Duration
}

func (p *person) mail(m mail) string {
	p.Helper()
	id := events.NewUUIDv7(time.Now()).String()
	if m.sender == "" {
		m.sender, m.domain = "shop@example.com", "example.com"
	}
	p.Exec(`INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
	            recipients, list_id, received_at, category, risk_score, quarantined, labels, text, truncated, content_hash, updated_at)
	        VALUES (1, $1, $2, $1::uuid::text, '', $3, $4, '', $5, '{}', '', $6, $7, $8, false, '{}', '', false, 0, now())`,
		id, p.id, m.subject, m.sender, m.domain, time.Now().Add(-m.age), m.category, m.risk)
	return id
}

// propose lets the policies propose and returns what they did.
func (p *person) propose(body any) []actionView {
	p.Helper()
	return decode[[]actionView](p.post("/actions/propose", body).want(http.StatusOK))
}

// action makes one pending action on a mail of its own.
func (p *person) action() actionView {
	p.Helper()
	if world.Scalar[int](p, `SELECT count(*) FROM policies WHERE user_id = $1 AND deleted_at IS NULL`, p.id) == 0 {
		p.policy("promos", `{"eq":["category","promo"]}`)
	}
	id := p.mail(mail{subject: "Big sale", category: "promo"})
	list := p.propose(map[string]any{"email_ids": []string{id}})
	if len(list) != 1 {
		p.Fatalf("%d proposals, want 1", len(list))
	}
	return list[0]
}

// events decodes what the outbox holds of the person, in order.
func (p *person) events() []events.Event {
	p.Helper()
	var list []events.Event
	for _, row := range p.Outbox("user_id = $1", p.id) {
		list = append(list, row.Event)
	}
	return list
}

// kinds are the types of events, in order.
func kinds(list []events.Event) []events.Type {
	var found []events.Type
	for i := range list {
		found = append(found, list[i].Type)
	}
	return found
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
