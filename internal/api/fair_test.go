package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// send sends a request to a real server in the background.
func (p *person) send(t *testing.T, answers chan<- *reply, address, method, path, body string) {
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Error(err)
			answers <- &reply{t: t}
			return
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Error(err)
		}
		answers <- &reply{t, answer.StatusCode, answer.Header, text}
	}()
}

// call sends a request and waits for its answer.
func (p *person) call(t *testing.T, address, method, path, body string) *reply {
	t.Helper()
	answers := make(chan *reply, 1)
	p.send(t, answers, address, method, path, body)
	return <-answers
}

// TestCostlyRequestsOfOnePerson: what is too much is refused as the person's own, and others are answered meanwhile, also by
// costly operations, and the person by others.
func TestCostlyRequestsOfOnePerson(t *testing.T) {
	entered, release := make(chan struct{}, 100), make(chan struct{})
	w := newDeployment(t, func(c *Config) {
		c.ATS = func(_ context.Context, user string, _ []string) (map[string]policy.ATS, error) {
			if user == "alice" {
				entered <- struct{}{}
				<-release
			}
			return nil, nil
		}
	})
	goOn := sync.OnceFunc(func() { close(release) })
	t.Cleanup(goOn)
	s := w.handler.(*server)
	s.costly.patience = time.Hour
	alice, bob := w.person("alice"), w.person("bob")
	for _, p := range []*person{alice, bob} {
		p.policy("all", anySubject)
		p.mail(mail{subject: "Sale", category: "promo"})
	}
	address := w.listen()
	answers := make(chan *reply, 100)
	const tooMany = 5
	admitted := s.costly.atOnce + s.costly.waiting
	for range admitted + tooMany {
		alice.send(t, answers, address, "POST", "/actions/propose", `{}`)
	}
	for range tooMany {
		answer := (<-answers).want(http.StatusTooManyRequests)
		if detail := answer.problem().Detail; answer.header.Get("Retry-After") == "" || !strings.HasPrefix(detail, "you have ") {
			t.Errorf("%v %s", answer.header, answer.body)
		}
	}
	for range s.costly.atOnce {
		<-entered
	}
	s.costly.untilWaiting(t, "alice", s.costly.waiting)
	same(t, len(entered), 0)
	same(t, len(decode[[]actionView](bob.call(t, address, "POST", "/actions/propose", `{}`).want(http.StatusOK))), 1)
	bob.call(t, address, "POST", "/policy/test", `{"condition":`+anySubject+`}`).want(http.StatusOK)
	bob.call(t, address, "GET", "/search?q=sale", ``).want(http.StatusOK)
	for _, p := range []*person{alice, bob} {
		p.call(t, address, "GET", "/actions/tray", ``).want(http.StatusOK)
	}
	goOn()
	for range admitted {
		(<-answers).want(http.StatusOK)
	}
}

// TestWaitingChangesOfOnePerson: changes that wait for the person's lock leave connections to others.
func TestWaitingChangesOfOnePerson(t *testing.T) {
	w := newDeployment(t)
	s := w.handler.(*server)
	s.ordinary.patience = time.Hour
	alice, bob := w.person("alice"), w.person("bob")
	a, b := alice.action(), bob.action()
	address := w.listen()
	other, err := pgxpool.NewWithConfig(t.Context(), w.Pool.Config()) // another process
	w.Must(err)
	defer other.Close()
	tx, err := other.Begin(t.Context())
	w.Must(err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // after a commit it does nothing
	_, err = tx.Exec(t.Context(), `SELECT FROM users WHERE id = 'alice' FOR UPDATE`)
	w.Must(err)
	answers := make(chan *reply, 100)
	many := 3 * int(w.Pool.Config().MaxConns)
	for range many {
		alice.send(t, answers, address, "POST", "/actions/"+a.ID+"/approve", ``)
	}
	s.ordinary.untilWaiting(t, "alice", many-s.ordinary.atOnce)
	bob.call(t, address, "POST", "/actions/"+b.ID+"/approve", ``).want(http.StatusOK)
	bob.call(t, address, "GET", "/preferences", ``).want(http.StatusOK)
	w.Must(tx.Commit(t.Context()))
	for range many {
		(<-answers).want(http.StatusOK)
	}
}

// TestRequestsOfOnePersonAreCounted: also those whose bodies are still under way.
func TestRequestsOfOnePersonAreCounted(t *testing.T) {
	w := newDeployment(t)
	s := w.handler.(*server)
	s.requests.atOnce = 2
	alice, bob := w.person("alice"), w.person("bob")
	address := w.listen()
	for range s.requests.atOnce {
		begin(t, address, "POST", "/policy", "Authorization: Bearer "+alice.token+"\r\n"+sized)
	}
	testenv.Eventually(t, 30*time.Second, time.Millisecond, "both are under way", func() error {
		s.requests.mu.Lock()
		defer s.requests.mu.Unlock()
		if l := s.requests.persons["alice"]; l == nil || l.running < s.requests.atOnce {
			return errors.New("not yet")
		}
		return nil
	})
	answer := alice.call(t, address, "GET", "/policy", ``).want(http.StatusTooManyRequests)
	same(t, answer.header.Get("Retry-After"), "1")
	same(t, answer.problem().Detail, "you have 2 requests under way: wait for an answer before you send another")
	bob.call(t, address, "GET", "/policy", ``).want(http.StatusOK)
}

// TestWaitersRest: requests that wait for their event let the person's others run.
func TestWaitersRest(t *testing.T) {
	w := newDeployment(t)
	s := w.handler.(*server)
	p := w.person("alice")
	event := p.post("/actions/"+p.action().ID+"/approve", nil).want(http.StatusOK).header.Get("X-Event-Id")
	s.ordinary.atOnce = 1
	address := w.listen()
	answers := make(chan *reply, 10)
	for range 5 {
		p.send(t, answers, address, "GET", "/preferences?timeout=30s&wait="+event, ``)
	}
	p.call(t, address, "GET", "/policy", ``).want(http.StatusOK)
	p.stamp(1)
	p.fold("weights", 1, 1)
	for range 5 {
		(<-answers).want(http.StatusOK)
	}
	p.get("/policy").want(http.StatusOK)
	same(t, len(s.ordinary.persons), 0)
}

// TestWhatTakesTooLongBlamesNobody: neither the database is said to be away nor the person to be wrong.
func TestWhatTakesTooLongBlamesNobody(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a := p.action()
	soon := func(method, path string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		asked := *p
		asked.deployment = &deployment{&world.World{TB: t, Pool: w.Pool}, w.users, http.HandlerFunc(func(writer http.ResponseWriter, r *http.Request) {
			w.handler.ServeHTTP(writer, r.WithContext(ctx))
		})}
		answer := asked.ask(method, path, nil).want(http.StatusServiceUnavailable)
		if detail := answer.problem().Detail; answer.header.Get("Retry-After") == "" || !strings.Contains(detail, "took too long") {
			t.Errorf("%v %s", answer.header, detail)
		}
	}
	tx, err := w.Pool.Begin(t.Context())
	w.Must(err)
	_, err = tx.Exec(t.Context(), `SELECT FROM users WHERE id = 'alice' FOR UPDATE`)
	w.Must(err)
	soon("POST", "/actions/"+a.ID+"/approve")
	w.Must(tx.Rollback(t.Context()))

	var held []*pgxpool.Conn
	for range w.Pool.Config().MaxConns {
		conn, err := w.Pool.Acquire(t.Context())
		w.Must(err)
		held = append(held, conn)
	}
	soon("GET", "/policy")
	for _, conn := range held {
		conn.Release()
	}
	p.get("/policy").want(http.StatusOK)
}

// TestCostlyPoliciesAreRefused: policies that compute for too long are the person's own fault, and named so.
func TestCostlyPoliciesAreRefused(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	w.handler.(*server).compute = -1
	p.policy("all", anySubject)
	id := p.mail(mail{subject: "Sale", category: "promo"})
	for path, body := range map[string]any{"/actions/propose": map[string]any{}, "/actions/performed": did(id, "archive_email")} {
		fault := p.post(path, body).want(http.StatusUnprocessableEntity).problem().Errors[0]
		same(t, fault.Location, "body")
		if !strings.Contains(fault.Message, "your policies compute for more than") {
			t.Errorf("%s: %s", path, fault.Message)
		}
	}
	same(t, decode[tried](p.post("/policy/test", map[string]any{"condition": json.RawMessage(anySubject)}).want(http.StatusOK)).Count, 1)
}
