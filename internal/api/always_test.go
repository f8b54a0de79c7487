package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testkit/world"
)

func (p *person) always(id string) policyView {
	p.Helper()
	return decode[policyView](p.post("/actions/"+id+"/always", nil).want(http.StatusOK))
}

func TestAlwaysMakesOnePolicyOfAKind(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a, b := p.action(), p.action()
	made := p.always(a.ID)
	same(t, made, policyView{ID: made.ID, Name: "Always archive email: promo from example.com", Enabled: true, Priority: 40,
		Condition: made.Condition, Action: "archive_email", ConfidenceThreshold: 0.75, // that of the proposals, 0.8, less 0.05
		CreatedAt: made.CreatedAt, UpdatedAt: made.UpdatedAt})
	same(t, p.always(a.ID), made)
	same(t, p.always(b.ID), made)
	same(t, world.Scalar[string](w, `SELECT status FROM actions WHERE id = $1`, a.ID), pending)
	same(t, len(p.events()), 2) // the proposals

	alike := p.mail(mail{subject: "Another sale", category: "promo"})
	p.mail(mail{subject: "Hello", category: "personal"})
	proposed := p.propose(map[string]any{"email_ids": []string{alike}})
	same(t, []int64{int64(len(proposed)), proposed[0].PolicyID}, []int64{1, made.ID})
}

func TestAlwaysAfterThePolicyWasChanged(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a := p.action()
	made := p.always(a.ID)
	path := fmt.Sprint("/policy/", made.ID)
	edit := func(change func(*policyView)) policyView {
		t.Helper()
		changed := made
		change(&changed)
		return decode[policyView](p.ask(http.MethodPut, path, map[string]any{"name": changed.Name, "enabled": changed.Enabled, "priority": changed.Priority,
			"condition": changed.Condition, "action": changed.Action, "confidence_threshold": changed.ConfidenceThreshold}).want(http.StatusOK))
	}
	edited := edit(func(v *policyView) { v.Name, v.Priority, v.ConfidenceThreshold = "Mine", 7, 0.9 })
	same(t, p.always(a.ID), edited)

	disabled := edit(func(v *policyView) { v.Enabled = false })
	enabled := p.always(a.ID)
	disabled.Enabled, disabled.UpdatedAt = true, enabled.UpdatedAt
	same(t, enabled, disabled)

	edit(func(v *policyView) { v.Action = "create_task" })
	second := p.always(a.ID)
	same(t, second.Name, made.Name+" (2)") // the edited one has the name
	if second.ID == made.ID {
		t.Error("a policy with another action was taken for the one that was asked for")
	}

	p.ask(http.MethodDelete, fmt.Sprint("/policy/", second.ID), nil).want(http.StatusNoContent)
	third := p.always(a.ID)
	same(t, third.Name, made.Name+" (2)")
	if third.ID == second.ID {
		t.Error("a deleted policy is back")
	}
	p.ask(http.MethodDelete, path, nil).want(http.StatusNoContent)
	same(t, p.always(a.ID), third)
}

func TestAlwaysTakesAPolicyThatIsThere(t *testing.T) {
	p := newDeployment(t).person("alice")
	a := p.action()
	const alike = `{"all": [{"eq": ["category", "promo"]}, {"eq": ["sender_domain", "example.com"]}]}`
	disabled := p.policy("by hand", alike, "enabled", false)
	enabled := p.policy("again by hand", alike)
	same(t, p.always(a.ID).ID, enabled)
	same(t, decode[policyView](p.get(fmt.Sprint("/policy/", disabled)).want(http.StatusOK)).Enabled, false)
	p.ask(http.MethodDelete, fmt.Sprint("/policy/", enabled), nil).want(http.StatusNoContent)
	got := p.always(a.ID)
	same(t, []any{got.ID, got.Name, got.Enabled}, []any{disabled, "by hand", true})
}

func TestAlwaysNeedsNoMailAndNoPendingAction(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a, b := p.action(), p.action()
	made := p.always(a.ID)
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
	p.post("/actions/"+b.ID+"/reject", nil).want(http.StatusOK)
	w.Exec(`DELETE FROM mails`)
	w.Exec(`UPDATE actions SET created_at = created_at - interval '31 days'`)
	same(t, p.always(a.ID), made)
	same(t, p.always(b.ID), made)
}

func TestAlwaysAtOnceMakesOnePolicy(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	actions := []string{p.action().ID, p.action().ID, p.action().ID}
	ids := make([]int64, 24)
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() { ids[i] = p.always(actions[i%len(actions)]).ID })
	}
	group.Wait()
	for _, id := range ids {
		same(t, id, ids[0])
	}
	same(t, world.Scalar[int](w, `SELECT count(*) FROM policies WHERE name LIKE 'Always%'`), 1)
}

func TestAlwaysRefusals(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	a := p.action()
	w.person("bob").post("/actions/"+a.ID+"/always", nil).want(http.StatusNotFound)
	p.post("/actions/nonsense/always", nil).want(http.StatusNotFound)
	w.Exec(`UPDATE actions SET mail_sender_domain = ''`)
	p.post("/actions/"+a.ID+"/always", nil).want(http.StatusUnprocessableEntity)
	w.Exec(`UPDATE actions SET mail_sender_domain = 'shop.example'`)
	w.Exec(`INSERT INTO policies (user_id, name, condition, action) SELECT 'alice', 'p' || n, '{}', 'create_task' FROM generate_series(1, 499) n`)
	p.post("/actions/"+a.ID+"/always", nil).want(http.StatusUnprocessableEntity)
}

// One sender of a domain where everybody can have an address is not the others, also for a proposal from before there was a feature
// of the address, as long as the mail tells who sent it.
func TestAlwaysOfOneSenderOfMany(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	p.policy("all", anySubject)
	id := p.mail(mail{subject: "Hello", sender: "ann@gmail.com", domain: "gmail.com", category: "personal"})
	a := p.propose(map[string]any{"email_ids": []string{id}})[0]
	same(t, p.events()[0].Action.Features, []string{"category:personal", "sender:ann@gmail.com"})
	made := p.always(a.ID)
	same(t, string(made.Condition), `{"all":[{"eq":["category","personal"]},{"eq":["sender","ann@gmail.com"]}]}`)
	w.Exec(`UPDATE actions SET features = '{category:personal,sender_domain:gmail.com}', feature_rule = 1`)
	same(t, p.always(a.ID), made)
	w.Exec(`DELETE FROM mails`)
	p.post("/actions/"+a.ID+"/always", nil).want(http.StatusUnprocessableEntity)
	same(t, world.Scalar[int](w, `SELECT count(*) FROM policies WHERE user_id = 'alice'`), 2)
}

func TestAlwaysIsIdempotentByKey(t *testing.T) {
	p := newDeployment(t).person("alice")
	path := "/actions/" + p.action().ID + "/always"
	first := decode[policyView](p.post(path, nil, "Idempotency-Key", "k").want(http.StatusOK))
	p.ask(http.MethodDelete, fmt.Sprint("/policy/", first.ID), nil).want(http.StatusNoContent)
	same(t, decode[policyView](p.post(path, nil, "Idempotency-Key", "k").want(http.StatusOK)), first)
	p.get(fmt.Sprint("/policy/", first.ID)).want(http.StatusNotFound)
}

func TestFreeName(t *testing.T) {
	f := func(want string, taken ...string) {
		t.Helper()
		same(t, freeName("n", taken), want)
	}
	f("n")
	f("n", "m", "n (2)")
	f("n (2)", "n")
	f("n (4)", "n (3)", "n", "n (2)", "n (5)")
	long := policy.Always("unsubscribe_via_header", strings.Repeat("c", 100), strings.Repeat("d", 253), "", 0.9)
	if long.Name = freeName(long.Name, []string{long.Name}); len(long.Validate()) > 0 {
		t.Errorf("%d characters are refused", len(long.Name))
	}
}
