package api

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/testkit/world"
)

// What a request asks for goes out together with the question whether it was answered before. If it was, nothing of it
// may stay.
func TestARememberedRequestChangesNothing(t *testing.T) {
	p := newDeployment(t).person("alice")
	a, b := p.action(), p.action()
	path := "/actions/" + a.ID
	first := p.post(path+"/approve", nil, "Idempotency-Key", "k").want(http.StatusOK)
	p.post(path+"/revert", nil).want(http.StatusOK)
	count := len(p.events())

	again := p.post(path+"/approve", nil, "Idempotency-Key", "k").want(http.StatusOK)
	same(t, string(again.body), string(first.body))
	same(t, again.header.Get("X-Event-Id"), first.header.Get("X-Event-Id"))
	p.post("/actions/"+b.ID+"/reject", nil, "Idempotency-Key", "k").want(http.StatusUnprocessableEntity)

	for _, id := range []string{a.ID, b.ID} {
		same(t, world.Scalar[string](p, `SELECT status FROM actions WHERE id = $1`, id), pending)
	}
	same(t, len(p.events()), count)
	p.post(path+"/approve", nil, "Idempotency-Key", "another").want(http.StatusOK)
	same(t, len(p.events()), count+1)
}

// A decision goes out together with the person's lock. If the person is erased between authentication and lock, and
// somebody else gets the id, the decision must not stay.
func TestADecisionOfAnErasedPersonChangesNothing(t *testing.T) {
	between := func() {}
	w := newDeployment(t, func(c *Config) {
		c.Gate = func(*pgx.Batch, string) { between() }
	})
	p := w.person("alice")
	a := p.action()
	between = func() { p.Exec(`UPDATE users SET created_at = created_at + interval '1 second'`) }
	for _, verb := range []string{"approve", "reject"} {
		p.post("/actions/"+a.ID+"/"+verb, nil).want(http.StatusUnauthorized)
	}
	same(t, world.Scalar[string](w, `SELECT status FROM actions WHERE id = $1`, a.ID), pending)
	same(t, len(p.events()), 1)
}
