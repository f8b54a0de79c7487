package api

import (
	"net/http"
	"sync"
	"testing"

	"github.com/applylens/applylens/consumers/policystats"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/world"
)

func did(mail, action string) map[string]any {
	return map[string]any{"email_id": mail, "action": action}
}

func (p *person) performed(mail, action string) performedView {
	p.Helper()
	return decode[performedView](p.post("/actions/performed", did(mail, action)).want(http.StatusOK))
}

func TestPerformedTellsWhatMissedTheMail(t *testing.T) {
	p := newDeployment(t).person("alice")
	later := p.policy("later", `{"eq":["category","promo"]}`, "priority", 200)
	first := p.policy("first", `{"eq":["category","promo"]}`, "priority", 50)
	p.policy("other action", anySubject, "action", "create_task")
	p.policy("other mail", `{"eq":["category","event"]}`)
	p.policy("disabled", anySubject, "enabled", false)
	m := p.mail(mail{subject: "Big sale", category: "promo"})
	answer := p.post("/actions/performed", did(m, "archive_email")).want(http.StatusOK)
	got := decode[performedView](answer)
	same(t, got, performedView{got.ID, m, "archive_email", []int64{first, later}, got.PerformedAt})

	list := p.events()
	same(t, kinds(list), []events.Type{events.TypeActionPerformed})
	e := list[0]
	same(t, []string{e.ID, answer.header.Get("X-Event-Id")}, []string{got.ID, got.ID})
	id, _ := events.ParseUUID(got.ID)
	same(t, *e.Action, events.Action{ActionID: id, UserID: "alice", Action: "archive_email", ProposedAt: got.PerformedAt, RecordedAt: got.PerformedAt,
		Features: []string{"category:promo", "contains:sale", "sender_domain:example.com"}, HasFeatures: true, FeatureRule: policy.FeatureRule,
		Mail: events.MailRef{ID: m, Category: "promo", SenderDomain: "example.com"}, Policies: []int64{first, later}})

	same(t, p.performed(p.mail(mail{category: "finance"}), "archive_email").Policies, []int64{})
}

// TestPerformedCountsOnceForMailAndAction: told again in any way, with any key, at the same time or when mail and
// policies are gone, a manual action is that of the first time.
func TestPerformedCountsOnceForMailAndAction(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	policy := p.policy("promos", `{"eq":["category","promo"]}`)
	m := p.mail(mail{category: "promo"})
	first := p.post("/actions/performed", did(m, "archive_email"), "Idempotency-Key", "a").want(http.StatusOK)
	again := func(headers ...string) {
		t.Helper()
		answer := p.post("/actions/performed", did(m, "archive_email"), headers...).want(http.StatusOK)
		same(t, decode[performedView](answer), decode[performedView](first))
		same(t, answer.header.Get("X-Event-Id"), first.header.Get("X-Event-Id"))
	}
	again("Idempotency-Key", "a")
	again("Idempotency-Key", "b")
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() { again() })
	}
	group.Wait()
	p.policy("more promos", `{"eq":["category","promo"]}`)
	again()
	w.Exec(`DELETE FROM mails`)
	again()
	same(t, len(p.events()), 1)

	f := newFolder(w, policystats.Group(nil, nil))
	f.fold(10)
	stats := decode[[]policyStats](p.get("/policy/stats").want(http.StatusOK))
	zero := 0.0
	name := "promos"
	same(t, stats, []policyStats{{PolicyID: policy, Name: &name, PrecisionHigh: 1, Recall: &zero, WindowDays: 30, UpdatedAt: stats[0].UpdatedAt}})
	same(t, world.Scalar[int](w, `SELECT missed::integer FROM policy_days`), 1)
}

func TestPerformedIsAnotherForAnotherMailOrAction(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	m, n := p.mail(mail{category: "promo"}), p.mail(mail{category: "promo"})
	ids := map[string]bool{}
	for _, id := range []string{p.performed(m, "archive_email").ID, p.performed(m, "create_task").ID, p.performed(n, "archive_email").ID,
		other.performed(other.mail(mail{}), "archive_email").ID} {
		ids[id] = true
	}
	same(t, len(ids), 4)
	same(t, len(p.events()), 3)
}

// TestPerformedIsNoMissOfWhatProposed: whatever became of the proposal.
func TestPerformedIsNoMissOfWhatProposed(t *testing.T) {
	for _, state := range []string{pending, approved, rejected, expired} {
		t.Run(state, func(t *testing.T) {
			p := newDeployment(t).person("alice")
			a := p.action()
			silent := p.policy("silent", `{"eq":["category","promo"]}`, "priority", 1000)
			switch state {
			case approved:
				p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
			case rejected:
				p.post("/actions/"+a.ID+"/reject", nil).want(http.StatusOK)
			case expired:
				p.Exec(`UPDATE actions SET status = 'expired'`)
			}
			same(t, p.performed(a.EmailID, a.Action).Policies, []int64{silent})
			same(t, world.Scalar[string](p, `SELECT status FROM actions WHERE id = $1`, a.ID), state)
		})
	}
}

func TestPerformedRefusals(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	m := p.mail(mail{category: "promo"})
	f := func(body any, location string, status int) {
		t.Helper()
		same(t, p.post("/actions/performed", body).want(status).problem().Errors[0].Location, location)
	}
	f(did("nonsense", "archive_email"), "body.email_id", http.StatusNotFound)
	f(did(w.person("bob").mail(mail{}), "archive_email"), "body.email_id", http.StatusNotFound)
	f(did(m, "delete_email"), "body.action", http.StatusUnprocessableEntity)
	f(map[string]any{"email_id": m}, "body", http.StatusUnprocessableEntity)
	p.post("/actions/performed", nil).want(http.StatusBadRequest)
	same(t, len(p.events()), 0)
}
