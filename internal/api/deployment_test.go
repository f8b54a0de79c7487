package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// world is an API on a database of its own.
type world struct {
	t       *testing.T
	pool    *pgxpool.Pool
	users   *auth.Store
	handler http.Handler
}

func newWorld(t *testing.T, settings ...func(*Config)) *world {
	t.Helper()
	t.Parallel()
	pool, _ := testenv.Database(t)
	config := Config{Pool: pool, Search: postgres.New(pool), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, set := range settings {
		set(&config)
	}
	handler, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, pool, auth.NewStore(pool), handler}
}

// person is somebody with a token.
type person struct {
	*world
	id, token string
}

// person makes somebody without any policy, so that tests bring their own.
func (w *world) person(id string, roles ...string) *person {
	w.t.Helper()
	ctx := w.t.Context()
	if len(roles) == 0 {
		roles = []string{auth.Owner}
	}
	if _, err := w.users.CreateUser(ctx, auth.User{ID: id, Roles: roles}); err != nil {
		w.t.Fatal(err)
	}
	w.exec(`UPDATE users SET roles = $2 WHERE id = $1`, id, roles)
	w.exec(`DELETE FROM policies WHERE user_id = $1`, id)
	secret, err := w.users.CreateToken(ctx, id, auth.Bearer, "", time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return &person{w, id, secret}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func scalar[T any](w *world, sql string, args ...any) T {
	w.t.Helper()
	var value T
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&value); err != nil {
		w.t.Fatal(err)
	}
	return value
}

// reply is an answer.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// ask sends a request; body is nil, a string that is sent as it is, or a value that is sent as JSON.
func (w *world) ask(token, method, path string, body any, headers ...string) *reply {
	w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, reader)
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
	return &reply{w.t, recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
}

func (p *person) ask(method, path string, body any, headers ...string) *reply {
	p.t.Helper()
	return p.world.ask(p.token, method, path, body, headers...)
}

func (p *person) get(path string) *reply { p.t.Helper(); return p.ask(http.MethodGet, path, nil) }

func (p *person) post(path string, body any, headers ...string) *reply {
	p.t.Helper()
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
	p.t.Helper()
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
	p.t.Helper()
	id := events.NewUUIDv7(time.Now()).String()
	if m.sender == "" {
		m.sender, m.domain = "shop@example.com", "example.com"
	}
	p.exec(`INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
	            recipients, list_id, received_at, category, risk_score, quarantined, labels, text, truncated, content_hash, updated_at)
	        VALUES (1, $1, $2, $1::uuid::text, '', $3, $4, '', $5, '{}', '', $6, $7, $8, false, '{}', '', false, 0, now())`,
		id, p.id, m.subject, m.sender, m.domain, time.Now().Add(-m.age), m.category, m.risk)
	return id
}

// propose lets the policies propose and returns what they did.
func (p *person) propose(body any) []actionView {
	p.t.Helper()
	return decode[[]actionView](p.post("/actions/propose", body).want(http.StatusOK))
}

// action makes one pending action on a mail of its own.
func (p *person) action() actionView {
	p.t.Helper()
	if scalar[int](p.world, `SELECT count(*) FROM policies WHERE user_id = $1 AND deleted_at IS NULL`, p.id) == 0 {
		p.policy("promos", `{"eq":["category","promo"]}`)
	}
	id := p.mail(mail{subject: "Big sale", category: "promo"})
	list := p.propose(map[string]any{"email_ids": []string{id}})
	if len(list) != 1 {
		p.t.Fatalf("%d proposals, want 1", len(list))
	}
	return list[0]
}

// events decodes what the outbox holds of the person, in order.
func (p *person) events() []events.Event {
	p.t.Helper()
	rows, err := p.pool.Query(p.t.Context(), `SELECT payload, headers::text FROM outbox WHERE user_id = $1 ORDER BY seq`, p.id)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	var list []events.Event
	for rows.Next() {
		var payload []byte
		var text string
		if err := rows.Scan(&payload, &text); err != nil {
			p.t.Fatal(err)
		}
		list = append(list, decodeEvent(p.t, payload, text))
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	return list
}

func decodeEvent(t *testing.T, payload []byte, text string) events.Event {
	t.Helper()
	headers, err := outbox.UnmarshalHeaders([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	decoder := events.NewDecoder()
	head, err := decoder.Head(headers)
	if err != nil {
		t.Fatal(err)
	}
	var e events.Event
	if err := decoder.Decode(&head, payload, &e); err != nil {
		t.Fatal(err)
	}
	return e
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
