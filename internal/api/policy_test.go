package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/world"
)

const anySubject = `{"exists":["subject"]}`

func TestPolicyFieldsAreChecked(t *testing.T) {
	p := newDeployment(t).person("alice")
	f := func(fault, location string) {
		t.Helper()
		body := map[string]json.RawMessage{"name": json.RawMessage(`"n"`), "condition": json.RawMessage(anySubject), "action": json.RawMessage(`"create_task"`)}
		change := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(fault), &change); err != nil {
			t.Fatal(err)
		}
		for key, value := range change {
			if body[key] = value; string(value) == `"absent"` {
				delete(body, key)
			}
		}
		answer := p.post("/policy", body)
		if answer.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d: %s", fault, answer.status, answer.body)
			return
		}
		if errs := answer.problem().Errors; len(errs) == 0 || errs[0].Location != location || errs[0].Message == "" {
			t.Errorf("%s: %s, want location %s", fault, answer.body, location)
		}
	}
	f(`{"name":""}`, "body.name")
	f(`{"name":"   "}`, "body.name")
	f(`{"name":"`+fmt.Sprintf("%0256d", 1)+`"}`, "body.name")
	f(`{"name":7}`, "body.name")
	f(`{"name":"absent"}`, "body")
	f(`{"enabled":"yes"}`, "body.enabled")
	f(`{"priority":0}`, "body.priority")
	f(`{"priority":1001}`, "body.priority")
	f(`{"priority":1.5}`, "body.priority")
	f(`{"confidence_threshold":-0.1}`, "body.confidence_threshold")
	f(`{"confidence_threshold":1.1}`, "body.confidence_threshold")
	f(`{"action":"send_money"}`, "body.action")
	f(`{"user_id":"bob"}`, "body.user_id")
	f(`{"id":7}`, "body.id")
	f(`{"condition":"absent"}`, "body")
	f(`{"condition":[]}`, "body.condition")
	f(`{"condition":{}}`, "body.condition")
	f(`{"condition":{"all":[]}}`, "body.condition.all")
	f(`{"condition":{"eq":["category","promo"],"eq":["color","red"]}}`, "body.condition.eq")
	f(`{"condition":{"eq":["color","red"]}}`, "body.condition.eq[0]")
	f(`{"condition":{"any":[{"eq":["category","promo"]},{"like":["subject","x"]}]}}`, "body.condition.any[1].like")
	f(`{"condition":{"gt":["risk_score","high"]}}`, "body.condition.gt[1]")
	f(`{"condition":{"regex":["subject","("]}}`, "body.condition.regex[1]")
}

func TestPolicyLifeCycle(t *testing.T) {
	p := newDeployment(t).person("alice")
	created := p.post("/policy", map[string]any{"name": "n", "condition": json.RawMessage(anySubject), "action": "create_task"}).want(http.StatusCreated)
	got := decode[policyView](created)
	want := policyView{ID: got.ID, Name: "n", Enabled: true, Priority: 100, Condition: got.Condition, Action: "create_task",
		ConfidenceThreshold: 0.7, CreatedAt: got.CreatedAt, UpdatedAt: got.UpdatedAt}
	same(t, got, want)
	path := fmt.Sprint("/policy/", got.ID)
	same(t, decode[policyView](p.get(path).want(http.StatusOK)), want)

	replaced := decode[policyView](p.ask(http.MethodPut, path, map[string]any{"name": "m", "enabled": false, "priority": 1,
		"condition": json.RawMessage(`{"eq":["category","promo"]}`), "action": "archive_email", "confidence_threshold": 0}).want(http.StatusOK))
	want.Name, want.Enabled, want.Priority, want.Action, want.ConfidenceThreshold = "m", false, 1, "archive_email", 0
	want.Condition, want.UpdatedAt = replaced.Condition, replaced.UpdatedAt
	same(t, replaced, want)

	other := p.policy("n", anySubject)
	taken := p.ask(http.MethodPut, path, map[string]any{"name": "n", "condition": json.RawMessage(anySubject), "action": "create_task"}).want(http.StatusConflict)
	same(t, taken.problem().Errors[0].Location, "body.name")
	list := decode[[]policyView](p.get("/policy").want(http.StatusOK))
	same(t, []int64{list[0].ID, list[1].ID}, []int64{got.ID, other})

	p.ask(http.MethodDelete, path, nil).want(http.StatusNoContent)
	for _, method := range []string{http.MethodDelete, http.MethodGet} {
		p.ask(method, path, nil).want(http.StatusNotFound)
	}
	p.policy("m", anySubject) // the name is free again
}

func TestConditionIsStoredAsItWasChecked(t *testing.T) {
	p := newDeployment(t).person("alice")
	id := p.policy("n", `{"eq":["risk_score", 1e-20000]}`)
	got := decode[policyView](p.get(fmt.Sprint("/policy/", id)).want(http.StatusOK)).Condition
	same(t, string(got), `{"eq":["risk_score",0]}`)
}

func TestNewPersonHasDefaultPolicies(t *testing.T) {
	w := newDeployment(t)
	if _, err := w.users.CreateUser(t.Context(), auth.User{ID: "new"}); err != nil {
		t.Fatal(err)
	}
	secret, err := w.users.CreateToken(t.Context(), "new", auth.Bearer, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	list := decode[[]policyView](w.ask(secret, http.MethodGet, "/policy", nil).want(http.StatusOK))
	same(t, len(list), len(policy.Defaults()))
}

func TestPolicyTestCreatesNothing(t *testing.T) {
	p := newDeployment(t).person("alice")
	id := p.policy("promos", `{"eq":["category","promo"]}`, "enabled", false)
	old := p.mail(mail{category: "promo", age: 48 * time.Hour})
	p.mail(mail{category: "personal"})
	young := p.mail(mail{category: "promo"})
	path := fmt.Sprintf("/policy/%d/test", id)
	f := func(body any, want ...string) {
		t.Helper()
		var got struct {
			Matches []string
			Count   int
		}
		if err := json.Unmarshal(p.post(path, body).want(http.StatusOK).body, &got); err != nil {
			t.Fatal(err)
		}
		same(t, got.Matches, want)
		same(t, got.Count, len(want))
	}
	f(nil, young, old)
	f(map[string]any{}, young, old)
	f(map[string]any{"limit": 1}, young)
	f(map[string]any{"email_ids": []string{old}}, old)
	same(t, world.Scalar[int](p, `SELECT count(*) FROM actions`), 0)
	p.post(path, map[string]any{"email_ids": []string{old, "nonsense"}}).want(http.StatusNotFound)
}

func TestPolicyLimit(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.Exec(`INSERT INTO policies (user_id, name, condition, action) SELECT 'alice', 'p' || n, '{}', 'create_task' FROM generate_series(1, 500) n`)
	p.post("/policy", map[string]any{"name": "n", "condition": json.RawMessage(anySubject), "action": "create_task"}).want(http.StatusUnprocessableEntity)
}

func TestProposeChoosesAndStores(t *testing.T) {
	p := newDeployment(t).person("alice")
	promos := p.policy("promos", `{"eq":["category","promo"]}`)
	p.policy("all", anySubject, "priority", 500, "action", "create_task")
	first := p.policy("old tie", `{"eq":["category","event"]}`, "priority", 50)
	second := p.policy("new tie", `{"eq":["category","event"]}`, "priority", 50)
	if first > second {
		t.Fatal("ids do not grow")
	}
	promo := p.mail(mail{category: "promo", subject: "Big sale", age: time.Hour})
	event := p.mail(mail{category: "event", subject: "Meetup", sender: "x@meet.example", domain: "meet.example"})
	list := p.propose(nil)
	same(t, []string{list[0].EmailID, list[1].EmailID}, []string{event, promo})
	same(t, []int64{list[0].PolicyID, list[1].PolicyID}, []int64{second, promos})
	same(t, list[1].Confidence, 0.8) // 0.7, and 0.1 since the sender sends nothing else
	same(t, list[0].Status, pending)

	tray := decode[[]trayItem](p.get("/actions/tray").want(http.StatusOK))
	same(t, []string{tray[0].ID, tray[1].ID}, []string{list[0].ID, list[1].ID})
	same(t, tray[1].Policy, trayPolicy{promos, "promos"})
	same(t, tray[1].Email, trayEmail{promo, "Big sale", "shop@example.com", tray[1].Email.ReceivedAt})
	same(t, len(decode[[]trayItem](p.get("/actions/tray?limit=1").want(http.StatusOK))), 1)
	same(t, len(p.propose(nil)), 0)
}

func TestProposeUsesWhatWasLearned(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("meetups", `{"contains":["subject","meetup"]}`)
	p.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at)
	        VALUES (1, 'alice', 'contains:meetup', 2, 0, now()), (1, 'alice', 'category:event', 2, 0, now()),
	               (1, 'bob', 'category:event', 90, 0, now())`)
	p.mail(mail{category: "event", subject: "Go meetup"})
	same(t, p.propose(nil)[0].Confidence, 0.74)
}

// TestRejectedPolicyFallsSilent but for the mails that the lot of mail and policy falls on: those are proposed and marked
// wherever somebody looks, however often they are asked about.
func TestRejectedPolicyFallsSilent(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	id := p.policy("promos", `{"eq":["category","promo"]}`)
	p.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', 'contains:sale', 0, 10, now())`)
	explored := map[string]bool{}
	for i := 0; i < 100 || len(explored) == 0; i++ {
		m := p.mail(mail{subject: "sale", category: "promo", sender: "x@y.example", domain: "y.example"})
		if _, lot := policy.Fires(0.6, 0.7, m, id); lot {
			explored[m] = true
		}
		p.mail(mail{category: "personal", subject: "hello", sender: "x@y.example", domain: "y.example"})
	}
	list := p.propose(map[string]any{"limit": 1000})
	same(t, len(list), len(explored))
	for _, a := range list {
		same(t, []any{explored[a.EmailID], a.Explored, a.Confidence}, []any{true, true, 0.6})
	}
	for _, item := range decode[[]trayItem](p.get("/actions/tray").want(http.StatusOK)) {
		same(t, item.Explored, true)
	}
	for _, e := range p.events() {
		same(t, e.Action.Explored, true)
	}
	same(t, len(p.propose(map[string]any{"limit": 1000})), 0)
	p.Exec(`UPDATE actions SET created_at = now() - interval '31 days'`)
	same(t, len(p.propose(map[string]any{"limit": 1000})), len(explored))
}

func TestDecidedMailIsNotProposedAgain(t *testing.T) {
	p := newDeployment(t).person("alice")
	a := p.action()
	again := map[string]any{"email_ids": []string{a.EmailID}}
	p.post("/actions/"+a.ID+"/reject", nil).want(http.StatusOK)
	same(t, len(p.propose(again)), 0)
	p.post("/actions/"+a.ID+"/revert", nil).want(http.StatusOK)
	same(t, len(p.propose(again)), 0) // pending again
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
	same(t, len(p.propose(again)), 0)
}

func TestProposingAtOnceIsUnique(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("promos", `{"eq":["category","promo"]}`)
	for range 40 {
		p.mail(mail{category: "promo"})
	}
	var group sync.WaitGroup
	counts := make([]int, 8)
	for i := range counts {
		group.Go(func() { counts[i] = len(p.propose(nil)) })
	}
	group.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	same(t, sum, 40)
	same(t, len(p.events()), 40)
	same(t, world.Scalar[int](p, `SELECT count(*) FROM (SELECT FROM actions GROUP BY email_id, policy_id) x`), 40)
}

func TestProposeRefusals(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	f := func(body, location string, status int) {
		t.Helper()
		same(t, p.post("/actions/propose", body).want(status).problem().Errors[0].Location, location)
	}
	f(`{"query":"category:promo AND"}`, "body.query", http.StatusUnprocessableEntity)
	f(`{"limit":0}`, "body.limit", http.StatusUnprocessableEntity)
	f(`{"limit":1001}`, "body.limit", http.StatusUnprocessableEntity)
	f(`{"email_ids":["x"]}`, "body.email_ids[0]", http.StatusNotFound)
	f(fmt.Sprintf(`{"email_ids":[%q]}`, w.person("bob").mail(mail{})), "body.email_ids[0]", http.StatusNotFound)
}
