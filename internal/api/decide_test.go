package api

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestApproveEmitsOneEvent(t *testing.T) {
	p := newDeployment(t).person("alice")
	a := p.action()
	answer := p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
	got := decode[actionView](answer)
	if got.Status != approved || got.ID != a.ID || got.DecidedAt == nil {
		t.Errorf("answered %s", answer.body)
	}
	again := p.post("/actions/"+a.ID+"/approve", map[string]any{}).want(http.StatusOK)
	same(t, decode[actionView](again), got)
	same(t, again.header.Get("X-Event-Id"), answer.header.Get("X-Event-Id"))

	list := p.events()
	same(t, kinds(list), []events.Type{events.TypeActionProposed, events.TypeActionApproved})
	e := list[1]
	same(t, e.ID, answer.header.Get("X-Event-Id"))
	same(t, e.ID, events.EffectID(&e).String())
	same(t, e.Source, "/applylens/"+world.Scalar[string](p, `SELECT id::text FROM deployment`))
	id, _ := events.ParseUUID(a.ID)
	same(t, *e.Action, events.Action{
		ActionID: id, UserID: "alice", PolicyID: a.PolicyID, Action: "archive_email", Confidence: a.Confidence,
		ProposedAt: a.CreatedAt, DecidedAt: *got.DecidedAt, RecordedAt: e.Action.RecordedAt,
		Features: e.Action.Features, HasFeatures: true, FeatureRule: policy.FeatureRule,
		Mail: events.MailRef{ID: a.EmailID, Category: "promo", SenderDomain: "example.com"},
	})
	same(t, e.Action.Features, events.Features(events.MailRef{ID: a.EmailID, Category: "promo", SenderDomain: "example.com", Subject: "Big sale"}))
	if e.Action.RecordedAt.Before(e.Action.DecidedAt) {
		t.Errorf("recorded %s before decided %s", e.Action.RecordedAt, e.Action.DecidedAt)
	}
}

func TestOppositeDecisionConflicts(t *testing.T) {
	p := newDeployment(t).person("alice")
	a := p.action()
	p.post("/actions/"+a.ID+"/reject", nil).want(http.StatusOK)
	answer := p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusConflict)
	same(t, decode[conflict](answer).State, actionState{a.ID, rejected})
	same(t, kinds(p.events()), []events.Type{events.TypeActionProposed, events.TypeActionRejected})
}

func TestUnknownActionsAreNotFound(t *testing.T) {
	w := newDeployment(t)
	alice, bob := w.person("alice"), w.person("bob")
	a := alice.action()
	for _, id := range []string{a.ID, events.NewUUIDv7(time.Now()).String(), "nonsense"} {
		for _, verb := range []string{"approve", "reject", "revert"} {
			bob.post("/actions/"+id+"/"+verb, nil).want(http.StatusNotFound)
		}
	}
	same(t, len(bob.events()), 0)
}

func TestRevertTakesADecisionBack(t *testing.T) {
	for verb, decision := range map[string]string{"approve": events.DecisionApproved, "reject": events.DecisionRejected} {
		t.Run(verb, func(t *testing.T) {
			p := newDeployment(t).person("alice")
			a := p.action()
			path := "/actions/" + a.ID
			p.post(path+"/revert", nil).want(http.StatusConflict)
			p.post(path+"/"+verb, nil).want(http.StatusOK)
			first := p.post(path+"/revert", nil).want(http.StatusOK)
			same(t, decode[actionView](first).Status, pending)
			again := p.post(path+"/revert", nil).want(http.StatusOK)
			same(t, again.header.Get("X-Event-Id"), first.header.Get("X-Event-Id"))
			p.post(path+"/approve", nil).want(http.StatusOK)

			list := p.events()
			same(t, len(list), 4)
			same(t, kinds(list)[2:], []events.Type{events.TypeActionReverted, events.TypeActionApproved})
			same(t, list[2].Action.Decision, decision)
			same(t, list[2].Action.Round, 0)
			same(t, list[2].Action.Features, list[1].Action.Features)
			same(t, list[2].Action.DecidedAt, list[1].Action.DecidedAt)
			same(t, list[3].Action.Round, 1)
			if list[3].ID == list[1].ID {
				t.Error("the second approval has the id of the first decision")
			}
		})
	}
}

func TestOneOfManyDecisionsWins(t *testing.T) {
	var mu sync.Mutex
	woken := 0
	w := newDeployment(t, func(c *Config) { c.Wake = func() { mu.Lock(); woken++; mu.Unlock() } })
	p := w.person("alice")
	for range 5 {
		a := p.action()
		verbs := []string{"approve", "reject"}
		statuses := make([]int, 16)
		var group sync.WaitGroup
		for i := range statuses {
			group.Go(func() { statuses[i] = p.post("/actions/"+a.ID+"/"+verbs[i%2], nil).status })
		}
		group.Wait()
		final := world.Scalar[string](w, `SELECT status FROM actions WHERE id = $1`, a.ID)
		for i, status := range statuses {
			want := http.StatusConflict
			if (final == approved) == (verbs[i%2] == "approve") {
				want = http.StatusOK
			}
			if status != want {
				t.Errorf("%s answered %d although the action is %s", verbs[i%2], status, final)
			}
		}
		same(t, world.Scalar[int](w, `SELECT count(*) FROM outbox WHERE convert_from(payload, 'UTF8')::jsonb ->> 'action_id' = $1 AND type <> 'applylens.action.proposed.v1'`, a.ID), 1)
	}
	same(t, woken, 10) // a proposal and a decision each
}

// TestOutboxKeepsTheOrderOfDecisions decides many actions of one person at once: the lock lets one transaction after
// the other take its time and its place in the outbox.
func TestOutboxKeepsTheOrderOfDecisions(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("promos", `{"eq":["category","promo"]}`)
	for range 60 {
		p.mail(mail{category: "promo"})
	}
	var group sync.WaitGroup
	for i, a := range p.propose(nil) {
		group.Go(func() {
			verb := []string{"approve", "reject"}[i%2]
			p.post("/actions/"+a.ID+"/"+verb, nil).want(http.StatusOK)
			if i%3 == 0 {
				p.post("/actions/"+a.ID+"/revert", nil).want(http.StatusOK)
			}
		})
	}
	group.Wait()
	list := p.events()
	same(t, len(list), 60+60+20)
	for i := range list[1:] {
		if !list[i].Action.RecordedAt.Before(list[i+1].Action.RecordedAt) {
			t.Fatalf("event %d was recorded at %s, the next at %s", i, list[i].Action.RecordedAt, list[i+1].Action.RecordedAt)
		}
	}
}

func TestGateHoldsDecisionsBack(t *testing.T) {
	w := newDeployment(t)
	w.Must(outbox.AcceptIdentity(t.Context(), w.Pool))
	p := w.person("alice")
	a := p.action()
	w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1") // the server has just become another one
	bodies := map[string]any{"/actions/propose": nil, "/actions/decide": map[string]any{"decisions": []decision{{a.ID, "approve"}}},
		"/actions/performed": did(a.EmailID, "create_task"),
		"/policy":            map[string]any{"name": "n", "condition": json.RawMessage(anySubject), "action": "create_task"}}
	for _, verb := range []string{"approve", "reject", "revert", "always"} {
		bodies["/actions/"+a.ID+"/"+verb] = nil
	}
	refused := []*reply{p.pin("category:promo", 1), p.forget("category:promo"), p.ask(http.MethodDelete, "/preferences", nil)}
	for path, body := range bodies {
		refused = append(refused, p.post(path, body))
	}
	for _, answer := range refused {
		same(t, answer.want(http.StatusServiceUnavailable).header.Get("Retry-After"), "5")
	}
	p.get("/actions/tray").want(http.StatusOK)
	same(t, len(p.events()), 1)
	w.Must(outbox.AcceptIdentity(t.Context(), w.Pool))
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
}

// What concerns one person waits for theirs only. The number of a new policy must not be one that the log has, whoever's.
func TestGateIsThePersons(t *testing.T) {
	w := newDeployment(t)
	w.Must(outbox.AcceptIdentity(t.Context(), w.Pool))
	alice, bob := w.person("alice"), w.person("bob")
	const partitions = 5
	if events.Partition([]byte("alice"), partitions) == events.Partition([]byte("bob"), partitions) {
		t.Fatal("both are in one partition")
	}
	policy := map[string]any{"name": "n", "condition": json.RawMessage(anySubject), "action": "create_task"}
	a, b := alice.action(), bob.action()
	w.Exec("UPDATE deployment SET timeline_id = timeline_id - 1") // the server has just become another one
	accept := func(person string) {
		w.Must(outbox.AcceptPartition(t.Context(), w.Pool, events.TopicActions, events.Partition([]byte(person), partitions), partitions))
	}
	accept("bob")
	alice.post("/actions/"+a.ID+"/approve", nil).want(http.StatusServiceUnavailable)
	bob.post("/actions/"+b.ID+"/approve", nil).want(http.StatusOK)
	accept("alice")
	alice.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
	alice.post("/policy", policy).want(http.StatusServiceUnavailable)
	alice.post("/actions/"+a.ID+"/always", nil).want(http.StatusServiceUnavailable)
	w.Must(outbox.AcceptIdentity(t.Context(), w.Pool))
	alice.post("/policy", policy).want(http.StatusCreated)
}

func TestDecideMany(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	a, b, c, foreign := p.action(), p.action(), p.action(), other.action()
	p.post("/actions/"+b.ID+"/approve", nil).want(http.StatusOK)
	p.post("/actions/"+c.ID+"/reject", nil).want(http.StatusOK)
	answer := p.post("/actions/decide", map[string]any{"decisions": []decision{
		{b.ID, "approve"}, {c.ID, "approve"}, {foreign.ID, "approve"}, {"nonsense", "reject"}, {a.ID, "reject"}, {a.ID, "reject"},
	}}).want(http.StatusOK)
	same(t, decode[decidedList](answer).Results, []decided{
		{b.ID, "repeated", approved}, {c.ID, "conflict", rejected}, {foreign.ID, "not_found", ""},
		{"nonsense", "not_found", ""}, {a.ID, "decided", rejected}, {a.ID, "decided", rejected},
	})
	list := p.events()
	same(t, answer.header.Get("X-Event-Id"), list[len(list)-1].ID)
	same(t, list[len(list)-1].Type, events.TypeActionRejected)
	same(t, len(list), 6)

	twice := p.post("/actions/decide", map[string]any{"decisions": []decision{{a.ID, "reject"}, {a.ID, "approve"}}})
	same(t, twice.want(http.StatusUnprocessableEntity).problem().Errors[0].Location, "body.decisions[1]")
}
