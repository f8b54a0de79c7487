package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
)

func TestBodiesAreChecked(t *testing.T) {
	p := newDeployment(t).person("alice")
	f := func(name string, status int, contentType, body string) {
		t.Helper()
		answer := p.post("/policy", body, "Content-Type", contentType)
		if answer.status != status {
			t.Errorf("%s: status %d, want %d: %s", name, answer.status, status, answer.body)
			return
		}
		answer.want(status)
		if strings.Contains(string(answer.body), "json:") || strings.Contains(string(answer.body), "float64") {
			t.Errorf("%s: the answer tells of Go: %s", name, answer.body)
		}
	}
	const json = "application/json"
	f("no JSON type", http.StatusUnsupportedMediaType, "text/plain", `{}`)
	f("form", http.StatusUnsupportedMediaType, "application/x-www-form-urlencoded", `a=b`)
	f("no type", http.StatusUnsupportedMediaType, "", `{}`)
	f("charset", http.StatusUnprocessableEntity, "application/json; charset=utf-8", `{}`)
	f("empty", http.StatusBadRequest, json, ``)
	f("no JSON", http.StatusBadRequest, json, `{"name":`)
	f("trailing text", http.StatusBadRequest, json, `{} x`)
	f("invalid UTF-8", http.StatusBadRequest, json, "{\"name\":\"\xff\"}")
	f("NUL escape", http.StatusBadRequest, json, `{"name":"a\u0000"}`)
	f("NUL byte", http.StatusBadRequest, json, "{\"name\":\"a\x00\"}")
	f("lone high surrogate", http.StatusBadRequest, json, `{"name":"\ud83d"}`)
	f("lone low surrogate", http.StatusBadRequest, json, `{"name":"\ude00x"}`)
	f("escaped backslash before u", http.StatusUnprocessableEntity, json, `{"name":"\\u0000"}`)
	f("surrogate pair", http.StatusUnprocessableEntity, json, `{"name":"\ud83d\ude00"}`)
	f("too large", http.StatusRequestEntityTooLarge, json, `{"name":"`+strings.Repeat("x", maxBody)+`"}`)
	f("number out of range", http.StatusBadRequest, json, `{"priority":1e999}`)
	f("integer with an exponent", http.StatusUnprocessableEntity, json, `{"name":"n","condition":{"exists":["subject"]},"action":"create_task","priority":1e2}`)
	f("largest", http.StatusUnprocessableEntity, json, `{"name":"`+strings.Repeat("x", maxBody-11)+`"}`)
}

func TestPathsAndQueriesAreChecked(t *testing.T) {
	p := newDeployment(t).person("alice")
	f := func(method, path string, status int) {
		t.Helper()
		answer := p.ask(method, path, nil)
		if answer.status != status {
			t.Errorf("%s %s: status %d, want %d: %s", method, path, answer.status, status, answer.body)
		} else {
			answer.want(status)
		}
	}
	f("GET", "/nowhere", http.StatusNotFound)
	f("GET", "/api/nowhere", http.StatusNotFound)
	f("GET", "/api/metrics", http.StatusNotFound)
	f("GET", "/api/healthz", http.StatusNotFound)
	f("GET", "/api/api/policy", http.StatusNotFound)
	f("PATCH", "/policy", http.StatusMethodNotAllowed)
	f("GET", "/policy?x=%00", http.StatusBadRequest)
	f("GET", "/policy?x=%ff", http.StatusBadRequest)
	f("GET", "/policy?x=%zz", http.StatusBadRequest)
	f("POST", "/actions/%00/approve", http.StatusBadRequest)
	f("GET", "/policy/abc", http.StatusUnprocessableEntity)
	f("GET", "/policy/99", http.StatusNotFound)
	f("GET", "/policy/99999999999999999999", http.StatusUnprocessableEntity)
	f("GET", "/actions/tray?limit=0", http.StatusUnprocessableEntity)
	f("GET", "/actions/tray?limit=1001", http.StatusUnprocessableEntity)
	f("GET", "/policy/stats?window_days=366", http.StatusUnprocessableEntity)
	f("GET", "/preferences?min=NaN", http.StatusUnprocessableEntity)
	f("GET", "/preferences?min=-1", http.StatusUnprocessableEntity)
	f("GET", "/preferences?wait=x&timeout=soon", http.StatusUnprocessableEntity)
	f("GET", "/preferences?wait=x&timeout=31s", http.StatusUnprocessableEntity)
	for _, path := range []string{"/policy", "/api/policy"} {
		f("GET", path, http.StatusOK)
	}
	same(t, p.ask("PATCH", "/policy", nil).header.Get("Allow"), "GET, HEAD, POST")
}

// TestMethodsOfPathsAreTold: a method that a path does not know answers 405 with those that it knows.
func TestMethodsOfPathsAreTold(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	known := map[string][]string{}
	for _, op := range routes(t, w) {
		known[op.Path] = append(known[op.Path], op.Method)
	}
	for path := range known {
		path = strings.NewReplacer("{id}", "1", "{feature}", "category:promo").Replace(path)
		methods := methodsOf(known, path)
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if slices.Contains(methods, method) {
				continue
			}
			answer := p.ask(method, path, nil).want(http.StatusMethodNotAllowed)
			allowed := strings.Split(answer.header.Get("Allow"), ", ")
			same(t, slices.DeleteFunc(allowed, func(m string) bool { return m == http.MethodHead }), methods)
		}
	}
}

// methodsOf returns the methods that a path knows, also by a pattern of which it is one case: /policy/test is one of
// /policy/{id}.
func methodsOf(known map[string][]string, path string) []string {
	var methods []string
	for pattern, list := range known {
		pattern = "^" + strings.NewReplacer("{id}", "[^/]+", "{feature}", "[^/]+").Replace(pattern) + "$"
		if regexp.MustCompile(pattern).MatchString(path) {
			methods = append(methods, list...)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// TestEveryPostTakesAnIdempotencyKey: and refuses one that a header should not have.
func TestEveryPostTakesAnIdempotencyKey(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits()).deployment
	p := w.person("alice")
	action := p.action()
	mine := map[string]any{"name": "mine", "condition": json.RawMessage(anySubject), "action": "archive_email"}
	account := decode[accountView](p.post("/accounts", map[string]any{"address": "alice@example.org", "host": "127.0.0.1", "port": 1, "password": "x"}).want(http.StatusCreated)).ID
	posts := map[string]struct {
		path string
		body any
	}{
		"/policy":               {"/policy", mine},
		"/policy/test":          {"/policy/test", mine},
		"/policy/{id}/test":     {fmt.Sprintf("/policy/%d/test", action.PolicyID), nil},
		"/actions/propose":      {"/actions/propose", nil},
		"/actions/performed":    {"/actions/performed", did(action.EmailID, "create_task")},
		"/actions/decide":       {"/actions/decide", map[string]any{"decisions": []decision{{action.ID, "approve"}}}},
		"/actions/{id}/approve": {"/actions/" + action.ID + "/approve", nil},
		"/actions/{id}/reject":  {"/actions/" + p.action().ID + "/reject", nil},
		"/actions/{id}/revert":  {"/actions/" + action.ID + "/revert", nil},
		"/actions/{id}/always":  {"/actions/" + action.ID + "/always", nil},
		"/chat":                 {"/chat", map[string]any{"q": "hello"}},
		"/uploads":              {"/uploads", map[string]any{"name": "a.mbox", "size": 1}},
		"/demo":                 {"/demo", nil},
		"/preferences/forget":   {"/preferences/forget", map[string]any{"feature": "category:promo"}},
		"/accounts":             {"/accounts", map[string]any{"address": "ann@example.org", "host": "127.0.0.1", "port": 1, "password": "x"}},
		"/accounts/{id}/test":   {"/accounts/" + account + "/test", nil},
	}
	for _, op := range routes(t, w) {
		if op.Method != http.MethodPost {
			continue
		}
		post, known := posts[op.Path]
		if !known {
			t.Errorf("POST %s is not in this test", op.Path)
			continue
		}
		if op.Path == "/actions/{id}/revert" {
			p.post("/actions/"+action.ID+"/approve", nil).want(http.StatusOK)
		}
		p.post(post.path, post.body, "Idempotency-Key", "ü").want(http.StatusUnprocessableEntity)
		first := p.post(post.path, post.body, "Idempotency-Key", op.Path)
		if first.status >= 300 {
			t.Errorf("POST %s: %d %s", op.Path, first.status, first.body)
		}
		count := len(p.events())
		again := p.post(post.path, post.body, "Idempotency-Key", op.Path)
		same(t, again.status, first.status)
		same(t, decode[any](again), decode[any](first))
		same(t, again.header.Get("X-Event-Id"), first.header.Get("X-Event-Id"))
		same(t, len(p.events()), count)
	}
}

// TestWhatEmitsNamesItsEvent: the answer of every request that adds to the outbox names the last of its events, and an
// answer names nothing else.
func TestWhatEmitsNamesItsEvent(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("promos", `{"eq":["category","promo"]}`)
	m := p.mail(mail{category: "promo"})
	f := func(method, path string, body any) *reply {
		t.Helper()
		before := len(p.events())
		answer := p.ask(method, path, body)
		if answer.status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, answer.status, answer.body)
		}
		list := p.events()
		if len(list) == before {
			t.Errorf("%s %s emits nothing", method, path)
		}
		same(t, answer.header.Get("X-Event-Id"), list[len(list)-1].ID)
		return answer
	}
	action := "/actions/" + decode[[]actionView](f("POST", "/actions/propose", map[string]any{"email_ids": []string{m}}))[0].ID
	f("POST", action+"/approve", nil)
	f("POST", action+"/revert", nil)
	f("POST", action+"/reject", nil)
	f("POST", action+"/revert", nil)
	f("POST", "/actions/decide", map[string]any{"decisions": []decision{{strings.TrimPrefix(action, "/actions/"), "approve"}}})
	f("POST", "/actions/performed", did(m, "create_task"))
	f("PUT", "/preferences/category:promo", map[string]any{"weight": 1})
	f("DELETE", "/preferences/category:promo", nil)
	f("DELETE", "/preferences", nil)
	for _, answer := range []*reply{
		p.post("/actions/propose", nil), p.post(action+"/always", nil), p.post("/policy/test", `{"condition":`+anySubject+`}`),
	} {
		same(t, answer.want(http.StatusOK).header.Get("X-Event-Id"), "")
	}
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	p := newDeployment(t).person("alice")
	for _, path := range []string{"/policy", "/nowhere"} {
		h := p.get(path).header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			same(t, h.Get(name), want)
		}
	}
}

func TestAuthentication(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	session, err := w.users.CreateToken(t.Context(), "alice", auth.Session, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	login, err := w.users.CreateToken(t.Context(), "alice", auth.Login, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ended, err := w.users.CreateToken(t.Context(), "alice", auth.Bearer, "", time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, status int, method string, headers ...string) {
		t.Helper()
		answer := w.ask("", method, "/policy/1/test", nil, headers...)
		if answer.status != status {
			t.Errorf("%s: status %d, want %d: %s", name, answer.status, status, answer.body)
		}
		if status == http.StatusUnauthorized && !strings.HasPrefix(answer.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	cookie := auth.Cookie + "=" + session
	f("token", http.StatusNotFound, "POST", "Authorization", "bearer "+p.token)
	f("nothing", http.StatusUnauthorized, "POST")
	f("other scheme", http.StatusUnauthorized, "POST", "Authorization", "Basic "+p.token)
	f("unknown token", http.StatusUnauthorized, "POST", "Authorization", "Bearer "+p.token[:len(p.token)-2]+"AA")
	f("expired token", http.StatusUnauthorized, "POST", "Authorization", "Bearer "+ended)
	f("session as token", http.StatusUnauthorized, "POST", "Authorization", "Bearer "+session)
	f("login as session", http.StatusUnauthorized, "POST", "Cookie", auth.Cookie+"="+login)
	f("bad token beside a session", http.StatusUnauthorized, "POST", "Authorization", "Bearer x", "Cookie", cookie)
	f("session", http.StatusNotFound, "POST", "Cookie", cookie, "Sec-Fetch-Site", "same-origin")
	f("session from another site", http.StatusForbidden, "POST", "Cookie", cookie, "Sec-Fetch-Site", "cross-site")
	f("session from another origin", http.StatusForbidden, "POST", "Cookie", cookie, "Origin", "https://evil.example")
}

func TestRevokedTokenStopsAtOnce(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	p.get("/policy").want(http.StatusOK)
	tokens, err := w.users.Tokens(t.Context(), "alice")
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	if found, err := w.users.Revoke(t.Context(), tokens[0].ID); err != nil || !found {
		t.Fatal(found, err)
	}
	p.get("/policy").want(http.StatusUnauthorized)
}

func TestRoles(t *testing.T) {
	w := newDeployment(t, func(c *Config) {
		c.Extend = []func(huma.API){func(api huma.API) {
			Route(api, huma.Operation{OperationID: "thing", Method: http.MethodGet, Path: "/ops/thing"},
				func(ctx context.Context, _ *struct{}) (*struct{ Body string }, error) {
					return &struct{ Body string }{auth.From(ctx).ID}, nil
				})
		}}
	})
	owner, operator, both := w.person("a"), w.person("b", auth.Operator), w.person("c", auth.Operator, auth.Owner)
	owner.get("/ops/thing").want(http.StatusForbidden)
	owner.get("/api/ops/thing").want(http.StatusForbidden)
	operator.get("/policy").want(http.StatusForbidden)
	operator.get("/api/ops/thing").want(http.StatusOK)
	both.get("/policy").want(http.StatusOK)
	same(t, decode[string](both.get("/ops/thing").want(http.StatusOK)), "c")
	w.ask("", "GET", "/ops/thing", nil).want(http.StatusUnauthorized)
}

// TestRolesAreTheTokens: an operator's token for the person does not make operators of tokens that the person has already.
func TestRolesAreTheTokens(t *testing.T) {
	w := newDeployment(t, func(c *Config) {
		c.Extend = []func(huma.API){func(api huma.API) {
			Route(api, huma.Operation{OperationID: "thing", Method: http.MethodGet, Path: "/ops/thing"},
				func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		}}
	})
	old := w.person("alice")
	operator := w.person("alice", auth.Owner, auth.Operator)
	operator.get("/ops/thing").want(http.StatusNoContent)
	old.get("/ops/thing").want(http.StatusForbidden)
	tokens, err := w.users.Tokens(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range tokens {
		if slices.Contains(token.Roles, auth.Operator) {
			if found, err := w.users.Demote(t.Context(), token.ID); err != nil || !found {
				t.Fatal(found, err)
			}
		}
	}
	operator.get("/ops/thing").want(http.StatusForbidden)
	operator.get("/policy").want(http.StatusOK)
}

func TestRequestsAreLimitedPerPerson(t *testing.T) {
	w := newDeployment(t, func(c *Config) { c.Rate, c.Burst = 0.1, 3 })
	alice, bob := w.person("alice"), w.person("bob")
	for range 3 {
		alice.get("/policy").want(http.StatusOK)
	}
	answer := alice.get("/policy").want(http.StatusTooManyRequests)
	same(t, answer.header.Get("Retry-After"), "10")
	bob.get("/policy").want(http.StatusOK)
}

func TestInnerErrorsStayInside(t *testing.T) {
	const secret = "password=hunter2 at /srv"
	route := func(path string, err error) func(huma.API) {
		return func(api huma.API) {
			op := huma.Operation{OperationID: path, Method: http.MethodGet, Path: "/" + path}
			handler := func(context.Context, *struct{}) (*struct{}, error) {
				if err == nil {
					panic(secret)
				}
				return nil, err
			}
			if path == "raw" {
				huma.Register(api, op, handler) // without Route
				return
			}
			Route(api, op, handler)
		}
	}
	w := newDeployment(t, func(c *Config) {
		c.Extend = []func(huma.API){route("plain", errors.New(secret)), route("panic", nil), route("raw", errors.New(secret))}
	})
	p := w.person("alice")
	for _, path := range []string{"/plain", "/panic", "/raw"} {
		answer := p.get(path).want(http.StatusInternalServerError)
		if strings.Contains(string(answer.body), "hunter2") {
			t.Errorf("%s tells: %s", path, answer.body)
		}
	}
}

func TestDatabaseDown(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://nobody:hunter2@127.0.0.1:1/none?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	handler, err := New(Config{Pool: pool, Search: postgres.New(pool), Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w := &deployment{World: &world.World{TB: t, Pool: pool}, handler: handler}
	token := "applylens_" + strings.Repeat("A", 43)
	for _, path := range []string{"/policy", "/readyz"} {
		answer := w.ask(token, http.MethodGet, path, nil).want(http.StatusServiceUnavailable)
		if answer.header.Get("Retry-After") == "" || strings.Contains(string(answer.body), "127.0.0.1") {
			t.Errorf("%s: %v %s", path, answer.header, answer.body)
		}
	}
	w.ask("", http.MethodGet, "/healthz", nil).want(http.StatusOK)
	w.ask("", http.MethodGet, "/policy", nil).want(http.StatusUnauthorized)
}

// TestDatabaseGoesAway loses all connections and gets no new ones for a while, as in a restart of PostgreSQL.
func TestDatabaseGoesAway(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a := p.action()
	admin, err := pgx.Connect(t.Context(), os.Getenv("DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	name := w.Pool.Config().ConnConfig.Database
	do := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	do(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS false`)
	do(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '` + name + `'`)
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusServiceUnavailable)
	do(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS true`)
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
}

func TestRootPaths(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	p.get("/policy/7").want(http.StatusNotFound)
	same(t, string(w.ask("", "GET", "/readyz", nil).want(http.StatusOK).body), "ready\n")
	metrics := string(w.ask("", "GET", "/metrics", nil).want(http.StatusOK).body)
	if !strings.Contains(metrics, `applylens_api_requests_total{method="GET",route="/policy/{id}",status="404"} 1`) {
		t.Errorf("metrics lack the request:\n%s", metrics)
	}
}

func TestPageAnswersTheRest(t *testing.T) {
	w := newDeployment(t, func(c *Config) {
		c.Page = func(http.Handler) (Page, error) { return somePage{}, nil }
	})
	f := func(want, method, path string, headers ...string) {
		t.Helper()
		got := w.ask("", method, path, nil, headers...)
		if body := string(got.body); !strings.HasPrefix(body, want) {
			t.Errorf("%s %s %q: %d %s", method, path, headers, got.status, body)
		}
	}
	const html, form = "text/html,*/*;q=0.8", "application/x-www-form-urlencoded; charset=utf-8"
	f("page /preferences", "GET", "/preferences", "Accept", html)
	f(`{"type"`, "GET", "/preferences", "Accept", "*/*")
	f(`{"type"`, "GET", "/api/preferences", "Accept", html)
	f(`{"type"`, "GET", "/policy", "Accept", html) // the page has none
	f("page /nothing", "GET", "/nothing", "Accept", html)
	f(`{"type"`, "GET", "/api/nothing", "Accept", html)
	f(`{"type"`, "GET", "/preferences", "Accept", html, "Authorization", "Bearer x") // a program
	f(`{"type"`, "GET", "/nothing", "Accept", "application/json")
	f("page /preferences", "POST", "/preferences", "Content-Type", form)
	f(`{"type"`, "POST", "/preferences", "Content-Type", "application/json") // 405
	f("page /static/x.css", "GET", "/static/x.css")
	f("# HELP", "GET", "/metrics", "Accept", html)
	metrics := string(w.ask("", "GET", "/metrics", nil).want(http.StatusOK).body)
	for _, line := range []string{
		`{method="GET",route="page /preferences",status="200"} 1`, `{method="POST",route="page /preferences",status="200"} 1`,
		`{method="GET",route="page /static/",status="200"} 1`, `{method="GET",route="none",status="200"} 2`,
	} {
		if !strings.Contains(metrics, "applylens_api_requests_total"+line) {
			t.Errorf("metrics lack %s:\n%s", line, metrics)
		}
	}
	w.ask("", "PUT", "/policy", nil).want(http.StatusMethodNotAllowed)
}

// somePage has the pages /preferences and those below /static/.
type somePage struct{}

func (somePage) Route(r *http.Request) string {
	switch {
	case r.URL.Path == "/preferences":
		return r.Method + " /preferences"
	case strings.HasPrefix(r.URL.Path, "/static/"):
		return "GET /static/"
	}
	return ""
}

func (somePage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	writeText(w, "page "+r.URL.Path)
}

func TestServeDrains(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		writeText(w, "done")
	})
	listener := httptest.NewUnstartedServer(nil).Listener
	ctx, stop := context.WithCancel(within(t))
	served, answered := make(chan error, 1), make(chan string, 1)
	go func() { served <- Serve(ctx, listener, handler, slog.New(slog.DiscardHandler)) }()
	go func() {
		answer, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		answered <- string(body)
	}()
	<-begun
	stop()
	close(finish)
	same(t, <-answered, "done")
	if err := <-served; err != nil {
		t.Error(err)
	}
}
