package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/testkit/world"
)

// stamp gives the person's last event its place, as the relay does.
func (p *person) stamp(seq int64) {
	p.Helper()
	p.Exec(`UPDATE outbox SET relay_id = '11111111-1111-4111-8111-111111111111', partition = 3, relay_seq = $2
	        WHERE seq = (SELECT max(seq) FROM outbox WHERE user_id = $1)`, p.id, seq)
}

// fold moves a group to a number, as its consumer does.
func (p *person) fold(group string, version int, seq int64) {
	p.Helper()
	p.Exec(`DELETE FROM relay_sequences WHERE group_name = $1 AND version = $2`, group, version)
	p.Exec(`INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq)
	        VALUES ($1, $2, 'applylens.actions', 3, '11111111-1111-4111-8111-111111111111', $3)`, group, version, seq)
}

func TestWaitAnswersWhenTheEventIsFolded(t *testing.T) {
	p := newDeployment(t).person("alice")
	a := p.action()
	event := p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK).header.Get("X-Event-Id")
	for path, group := range map[string]string{"/preferences": "weights", "/policy/stats": "policystats"} {
		f := func(state string, status int) {
			t.Helper()
			answer := p.get(path + "?timeout=20ms&wait=" + event)
			if answer.status != status {
				t.Errorf("%s, %s: status %d, want %d", path, state, answer.status, status)
			} else {
				answer.want(status)
			}
		}
		f("not stamped", http.StatusGatewayTimeout)
		p.stamp(7)
		f("not folded", http.StatusGatewayTimeout)
		p.fold(group, 1, 6)
		f("its predecessor folded", http.StatusGatewayTimeout)
		p.fold(group, 2, 7)
		f("folded in a version that is not live", http.StatusGatewayTimeout)
		p.fold(group, 1, 7)
		f("folded", http.StatusOK)
		p.fold(group, 1, 8)
		f("folded long ago", http.StatusOK)
		p.Exec(`UPDATE outbox SET relay_id = NULL, partition = NULL, relay_seq = NULL`)
	}
}

func TestWaitEndsAsSoonAsTheEventIsFolded(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.action()
	p.stamp(1)
	event := p.events()[0].ID
	answered := make(chan *reply)
	go func() { answered <- p.get("/preferences?timeout=30s&wait=" + event) }()
	p.fold("weights", 1, 1)
	select {
	case answer := <-answered:
		answer.want(http.StatusOK)
	case <-within(t).Done():
		t.Fatal("no answer")
	}
}

func TestIdempotencyKey(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	body := map[string]any{"name": "n", "condition": map[string]any{"exists": []string{"subject"}}, "action": "create_task"}
	first := p.post("/policy", body, "Idempotency-Key", "k1").want(http.StatusCreated)
	again := p.post("/api/policy", body, "Idempotency-Key", "k1").want(http.StatusCreated)
	same(t, decode[policyView](again), decode[policyView](first))
	same(t, world.Scalar[int](w, `SELECT count(*) FROM policies WHERE user_id = 'alice'`), 1)
	p.post("/policy", body, "Idempotency-Key", "k2").want(http.StatusConflict)
	other.post("/policy", body, "Idempotency-Key", "k1").want(http.StatusCreated)
	body["name"] = "m"
	reused := p.post("/policy", body, "Idempotency-Key", "k1").want(http.StatusUnprocessableEntity)
	same(t, reused.problem().Errors[0].Location, "header.Idempotency-Key")
	p.post("/policy", body, "Idempotency-Key", "k2").want(http.StatusCreated) // a failure is not remembered
	p.post("/policy", body, "Idempotency-Key", strings.Repeat("k", 201)).want(http.StatusUnprocessableEntity)
	p.post("/policy", body, "Idempotency-Key", "ü").want(http.StatusUnprocessableEntity)
}

func TestIdempotencyKeysAreForgotten(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a := p.action()
	p.post("/actions/"+a.ID+"/approve", nil, "Idempotency-Key", "old").want(http.StatusOK)
	p.Exec(`UPDATE idempotency_keys SET created_at = created_at - interval '8 days'`)
	p.post("/actions/"+a.ID+"/approve", nil, "Idempotency-Key", "new").want(http.StatusOK)
	same(t, world.Scalar[string](w, `SELECT string_agg(key, ',') FROM idempotency_keys`), "new")
}

func TestIdempotentProposal(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("promos", `{"eq":["category","promo"]}`)
	p.mail(mail{category: "promo"})
	first := p.post("/actions/propose", nil, "Idempotency-Key", "k").want(http.StatusOK)
	again := p.post("/actions/propose", nil, "Idempotency-Key", "k").want(http.StatusOK)
	same(t, decode[[]actionView](again), decode[[]actionView](first))
	same(t, again.header.Get("X-Event-Id"), first.header.Get("X-Event-Id"))
	same(t, len(p.events()), 1)
	same(t, len(decode[[]actionView](p.post("/actions/propose", nil).want(http.StatusOK))), 0)
}
