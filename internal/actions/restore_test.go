package actions_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/testkit/world"
)

// decision is an event about an action of ann.
func decision(kind events.Type, id events.UUID, round int) *events.Event {
	a := &events.Action{ActionID: id, UserID: "ann", PolicyID: 1, Action: "archive_email", Confidence: 0.7, ProposedAt: recorded,
		RecordedAt: recorded, Round: round, Features: []string{"category:promo"}, HasFeatures: true, Mail: events.MailRef{ID: "m"}}
	if kind != events.TypeActionProposed {
		a.DecidedAt = recorded
	}
	return &events.Event{Envelope: events.Envelope{Type: kind}, Action: a}
}

func told(op, feature string) *events.Event {
	return &events.Event{Envelope: events.Envelope{ID: events.NewUUIDv7(time.Now()).String(), Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: "ann", Op: op, Feature: feature, RecordedAt: recorded}}
}

// restore puts events back and returns how many of them left anything.
func (w *owner) restore(list ...*events.Event) (left int) {
	w.Helper()
	w.Must(w.do(func(b *pgx.Batch) {
		for _, e := range list {
			if actions.Restore(b, e) {
				left++
			}
		}
	}))
	return left
}

func TestRestoreMovesActionsForwardOnly(t *testing.T) {
	w := newOwner(t)
	id := events.NewUUIDv7(recorded)
	f := func(want string, list ...*events.Event) {
		t.Helper()
		w.restore(list...)
		w.same(w.texts("SELECT status || ' ' || round || ' ' || (decided_at IS NOT NULL) FROM actions"), []string{want})
	}
	f("pending 0 false", decision(events.TypeActionProposed, id, 0))
	f("approved 0 true", decision(events.TypeActionApproved, id, 0))
	f("approved 0 true", decision(events.TypeActionProposed, id, 0), decision(events.TypeActionRejected, id, 0))
	f("pending 1 false", decision(events.TypeActionReverted, id, 0))
	f("pending 1 false", decision(events.TypeActionApproved, id, 0))
	f("rejected 1 true", decision(events.TypeActionRejected, id, 1))
	w.restore(decision(events.TypeActionProposed, events.NewUUIDv7(recorded), 0))
	w.restore(decision(events.TypeActionProposed, events.NewUUIDv7(recorded), 0)) // the same mail and policy
	w.same(w.texts("SELECT status FROM actions ORDER BY status"), []string{"expired", "pending", "rejected"})
}

// What a restored database counts is what the database counted that is lost: both are made by the same statements.
func TestRestoredForgetsAreThoseOfThePerson(t *testing.T) {
	const state = `
SELECT 'user ' || forgets FROM users UNION ALL SELECT 'action ' || forgets FROM actions
UNION ALL SELECT feature || ' ' || forget FROM forgotten_features ORDER BY 1`
	lost, restored := newOwner(t), &owner{world.New(t)}
	lost.user("ann")
	lost.forget("ann", "category:event") // which ann never had: no event, and no row
	lost.pin("ann", "category:promo")
	lost.pin("ann", "category:event")
	lost.forget("ann", "category:promo")
	lost.pin("ann", "category:promo")
	id := lost.propose("ann", "m", 1)
	lost.forget("ann", actions.Everything)
	lost.decide("ann", id, actions.Approved)
	lost.forget("ann", "category:promo")
	left := restored.restore(told(events.PreferencePin, "category:promo"), told(events.PreferencePin, "category:event"),
		told(events.PreferenceForget, "category:promo"), told(events.PreferencePin, "category:promo"),
		decision(events.TypeActionProposed, id, 0), told(events.PreferenceReset, ""), decision(events.TypeActionApproved, id, 0),
		told(events.PreferenceForget, "category:promo"))
	restored.same(left, 8)
	restored.same(restored.texts(state), lost.texts(state))
}

// A log that is read once more, as one that was mirrored to another cluster, tells of forgets that came before decisions:
// they count once, and taking such a decision back takes back what it taught.
func TestForgetsCountOnceHoweverOftenTheyAreTold(t *testing.T) {
	w := newOwner(t)
	id := events.NewUUIDv7(recorded)
	list := []*events.Event{told(events.PreferenceForget, "category:promo"), told(events.PreferenceReset, ""),
		told(events.PreferenceForget, "category:promo"), decision(events.TypeActionProposed, id, 0), decision(events.TypeActionApproved, id, 0)}
	w.restore(list...)
	w.restore(list...)
	w.same(w.texts("SELECT 'user ' || forgets FROM users UNION ALL SELECT 'action ' || forgets FROM actions ORDER BY 1"), []string{"action 3", "user 3"})
	w.same(w.revert("ann", id).Action.Features, []string{"category:promo"})
}

func TestRestoredManualActionStaysAsItWas(t *testing.T) {
	w := newOwner(t)
	performed := func(id events.UUID, policies ...int64) *events.Event {
		return &events.Event{Envelope: events.Envelope{Type: events.TypeActionPerformed}, Action: &events.Action{
			ActionID: id, UserID: "ann", Action: "create_task", ProposedAt: recorded, RecordedAt: recorded,
			Mail: events.MailRef{ID: "m"}, Policies: policies}}
	}
	first := events.NewUUIDv7(recorded)
	w.restore(performed(first, 5, 3), performed(events.NewUUIDv7(recorded)))
	w.same(w.texts("SELECT id || ' ' || policies::text FROM performed_actions"), []string{first.String() + " {5,3}"})
}

func TestPolicyIDsAreNotGivenAgain(t *testing.T) {
	w := newOwner(t)
	for _, greatest := range []int64{41, 7} {
		w.Must(w.do(func(b *pgx.Batch) { actions.AdvancePolicies(b, greatest) }))
	}
	w.same(w.texts("SELECT nextval('policies_id_seq')::text"), []string{"42"})
}
