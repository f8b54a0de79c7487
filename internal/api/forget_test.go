package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// folder folds what the outbox holds into the live version, with the code of a group.
type folder struct {
	w     *deployment
	batch consumers.Batch
	seq   int64
}

// newFolder folds as group does, which need not count anything.
func newFolder(w *deployment, group *consumers.Group) *folder {
	return &folder{w: w, batch: group.NewBatch()}
}

// fold folds at most limit more events in one batch, and tells how many those were.
func (f *folder) fold(limit int) int {
	f.w.Helper()
	ctx := f.w.Context()
	rows := f.w.Outbox("seq > $1 AND aggregatetype = 'applylens.actions'", f.seq)
	rows = rows[:min(limit, len(rows))]
	f.batch.Reset()
	for i := range rows {
		f.batch.Add(&rows[i].Event)
		f.seq = rows[i].Seq
	}
	f.w.Must(postgres.InTx(ctx, f.w.Pool, func(tx *postgres.Tx) error { return f.batch.Write(ctx, tx, consumers.Version{Number: 1}) }))
	return len(rows)
}

// step is one thing that a person did: approve, reject or revert an action, pin or forget a feature, or reset.
type step struct {
	verb, what string
	weight     float64
}

// life is all that a person did, from which what is known of them can be told slowly.
type life struct {
	*person
	actions []string
	traits  map[string][]string // the features of an action
	steps   []step
}

// lifeOf makes a person with some proposals that have some features in common.
func lifeOf(w *deployment, id string) *life {
	w.Helper()
	l := &life{person: w.person(id), traits: map[string][]string{}}
	l.policy("all", anySubject)
	for _, m := range []mail{
		{subject: "Big sale", category: "promo"},
		{subject: "Small sale", category: "promo", sender: "x@shop.example", domain: "shop.example"},
		{subject: "A meetup and a sale", category: "event", sender: "x@shop.example", domain: "shop.example"},
		{subject: "Meetup", category: "event"},
	} {
		l.mail(m)
	}
	for _, a := range l.propose(nil) {
		l.actions = append(l.actions, a.ID)
	}
	for _, e := range l.events() {
		l.traits[e.Action.ActionID.String()] = e.Action.Features
	}
	return l
}

// allTraits are the features that there are.
func (l *life) allTraits() []string {
	all := map[string]struct{}{}
	for _, features := range l.traits {
		for _, feature := range features {
			all[feature] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// do takes a step through the API. A step that is not possible, such as a second decision, changes nothing.
func (l *life) do(s step) {
	l.Helper()
	l.steps = append(l.steps, s)
	var answer *reply
	switch s.verb {
	case "pin":
		answer = l.ask(http.MethodPut, "/preferences/"+url.PathEscape(s.what), map[string]any{"weight": s.weight})
	case "forget":
		answer = l.ask(http.MethodDelete, "/preferences/"+url.PathEscape(s.what), nil)
	case "reset":
		answer = l.ask(http.MethodDelete, "/preferences", nil)
	default:
		answer = l.post("/actions/"+s.what+"/"+s.verb, nil)
	}
	if answer.status >= 300 && answer.status != http.StatusConflict {
		l.Fatalf("%v: %d %s", s, answer.status, answer.body)
	}
}

// known tells what the steps should have taught: decisions that stand count for the features that were not forgotten
// since they were taken, and so do pins.
func (l *life) known() map[string]preference {
	decided, pinned, forgotten := map[string]int{}, map[string]int{}, map[string]int{} // by the number of the step, from 1
	for i, s := range l.steps {
		switch s.verb {
		case "approve", "reject":
			if decided[s.what] == 0 {
				decided[s.what] = i + 1
			}
		case "revert":
			delete(decided, s.what)
		case "pin":
			pinned[s.what] = i + 1
		case "forget":
			forgotten[s.what] = i + 1
		case "reset":
			for _, feature := range l.allTraits() {
				forgotten[feature] = i + 1
			}
		}
	}
	known := map[string]preference{}
	for _, feature := range l.allTraits() {
		p := preference{Feature: feature}
		for action, at := range decided {
			switch {
			case at < forgotten[feature] || !slices.Contains(l.traits[action], feature):
			case l.steps[at-1].verb == "approve":
				p.Approvals++
			default:
				p.Rejections++
			}
		}
		p.Weight = float64(p.Approvals-p.Rejections) / 5
		if at := pinned[feature]; at > forgotten[feature] {
			p.Pinned, p.Weight = true, l.steps[at-1].weight
		}
		if p.Weight != 0 {
			known[feature] = p
		}
	}
	return known
}

// learned is what the API tells of the person.
func (l *life) learned() map[string]preference {
	l.Helper()
	out := decode[struct{ Liked, Disliked []preference }](l.get("/preferences?limit=1000").want(http.StatusOK))
	learned := map[string]preference{}
	for _, p := range append(out.Liked, out.Disliked...) {
		p.UpdatedAt = time.Time{}
		learned[p.Feature] = p
	}
	return learned
}

func drawStep(t *rapid.T, l *life) step {
	verb := rapid.SampledFrom([]string{"approve", "approve", "reject", "revert", "revert", "revert", "pin", "forget", "forget", "reset"}).Draw(t, "verb")
	switch verb {
	case "pin":
		return step{verb, rapid.SampledFrom(l.allTraits()).Draw(t, "feature"), float64(rapid.IntRange(-3, 3).Draw(t, "weight"))}
	case "forget":
		return step{verb, rapid.SampledFrom(l.allTraits()).Draw(t, "feature"), 0}
	case "reset":
		return step{verb: verb}
	}
	return step{verb, l.actions[rapid.IntRange(0, len(l.actions)-1).Draw(t, "action")], 0}
}

// TestWhatIsLearnedFollowsTheModel lets two persons decide, revert, pin, forget and reset as they like, folds their
// events in batches of any size, and compares what is known with what the slow telling of their lives gives.
func TestWhatIsLearnedFollowsTheModel(t *testing.T) {
	w := newDeployment(t)
	f := newFolder(w, weights.Group(nil, nil))
	count := 0
	rapid.Check(t, func(t *rapid.T) {
		count++
		lives := []*life{lifeOf(w, fmt.Sprint("alice", count)), lifeOf(w, fmt.Sprint("bob", count))}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			l := lives[rapid.IntRange(0, 1).Draw(t, "person")]
			l.do(drawStep(t, l))
			f.fold(rapid.IntRange(0, 3).Draw(t, "batch"))
		}
		for f.fold(rapid.IntRange(1, 20).Draw(t, "rest")) > 0 {
		}
		for _, l := range lives {
			if diff := cmp.Diff(l.known(), l.learned()); diff != "" {
				t.Fatalf("%s after %v (-want +got):\n%s", l.id, l.steps, diff)
			}
		}
	})
}

// TestRevertTakesBackWhatIsStillThere: a revert lists neither what was forgotten by name nor, after a reset, anything.
func TestRevertTakesBackWhatIsStillThere(t *testing.T) {
	p := newDeployment(t).person("alice")
	f := func(name string, forget []string, want ...string) {
		t.Helper()
		a := p.action()
		p.ask(http.MethodDelete, "/preferences/category:promo", nil).want(http.StatusNoContent) // before the decision
		p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
		for _, path := range forget {
			p.ask(http.MethodDelete, path, nil).want(http.StatusNoContent)
		}
		p.post("/actions/"+a.ID+"/revert", nil).want(http.StatusOK)
		list := p.events()
		reverted := list[len(list)-1]
		if reverted.Type != events.TypeActionReverted || !reverted.Action.HasFeatures || !slices.Equal(reverted.Action.Features, want) {
			t.Errorf("%s: %s lists %q, want %q", name, reverted.Type, reverted.Action.Features, want)
		}
		// The next decision teaches all of them again, and its revert takes all of them back.
		for _, verb := range []string{"reject", "revert"} {
			p.post("/actions/"+a.ID+"/"+verb, nil).want(http.StatusOK)
			list = p.events()
			same(t, list[len(list)-1].Action.Features, []string{"category:promo", "contains:sale", "sender_domain:example.com"})
		}
	}
	f("nothing", nil, "category:promo", "contains:sale", "sender_domain:example.com")
	f("one feature", []string{"/preferences/contains:sale"}, "category:promo", "sender_domain:example.com")
	f("another's feature", []string{"/preferences/category:event"}, "category:promo", "contains:sale", "sender_domain:example.com")
	f("everything", []string{"/preferences"})
	f("all by name", []string{"/preferences/contains:sale", "/preferences/category:promo", "/preferences/sender_domain:example.com"})
}
