package actions_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
)

func TestAProposalIsPendingOnce(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	none := events.UUID{}
	first := w.propose("ann", "m", 1)
	if first == none || w.propose("ann", "m", 1) != none {
		t.Error("a mail with a pending proposal of the policy was proposed again")
	}
	if w.propose("ann", "m", 2) == none || w.propose("ann", "n", 1) == none {
		t.Error("another policy or mail was not proposed")
	}
	w.decide("ann", first, actions.Rejected)
	if w.propose("ann", "m", 1) != none {
		t.Error("a mail was proposed again although the decision stands")
	}
	w.revert("ann", first)
	w.Exec("UPDATE actions SET created_at = now() - interval '30 days'")
	if w.propose("ann", "m", 1) == none {
		t.Error("a mail whose proposal has expired was not proposed again")
	}
}

func TestADecisionIsWonOnce(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.user("bob")
	id := w.propose("ann", "m", 1)
	if w.decide("bob", id, actions.Approved) != nil {
		t.Error("somebody else decided")
	}
	a := w.decide("ann", id, actions.Approved)
	if a == nil || a.Status != actions.Approved || a.DecidedAt == nil || a.RecordedAt.Before(*a.DecidedAt) {
		t.Fatalf("decided: %+v", a)
	}
	if w.decide("ann", id, actions.Rejected) != nil {
		t.Error("a decided action was decided again")
	}
	e := a.Event(actions.KindOf(a.Status), "ann", "/test")
	w.Must(e.Validate())
	w.same(e.ID, events.EffectID(e).String())
}

func TestARevertTakesBackWhatWasNotForgottenSince(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.forget("ann", "contains:sale") // before the decision: it is taught again
	id := w.propose("ann", "m", 1)
	if w.revert("ann", id) != nil {
		t.Error("an action without a decision was reverted")
	}
	f := func(forgotten []string, want ...string) {
		t.Helper()
		w.decide("ann", id, actions.Rejected)
		for _, feature := range forgotten {
			w.forget("ann", feature)
		}
		e := w.revert("ann", id)
		w.Must(e.Validate())
		w.same(e.Action.Decision, events.DecisionRejected)
		w.same(e.Action.Features, append([]string{}, want...))
		var now actions.ByID
		w.Must(w.do(func(b *pgx.Batch) { actions.Read(b, "ann", []events.UUID{id}, &now) }))
		w.same(now[id].Status, actions.Pending)
		w.same(now[id].RevertedEventID("ann", "/test"), e.ID)
	}
	f(nil, "category:promo", "contains:sale")
	f([]string{"contains:sale", "contains:other"}, "category:promo")
	f([]string{actions.Everything})
	f(nil, "category:promo", "contains:sale")
}

func TestAManualActionIsRecordedOnce(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.propose("ann", "m", 2)
	look := func() (p actions.Performed, recorded bool) {
		p = actions.Performed{EmailID: "m", Action: "create_task"}
		w.Must(w.do(func(b *pgx.Batch) { actions.LookPerformed(b, "ann", []int64{3, 2, 1}, &p, &recorded) }))
		return p, recorded
	}
	p, recorded := look()
	if recorded {
		t.Fatal("recorded before it was")
	}
	w.same(p.Policies, []int64{3, 1}) // policy 2 proposed something
	p.ID = events.NewUUIDv7(time.Now())
	w.Must(w.do(func(b *pgx.Batch) { p.Record(b, "ann") }))
	again, recorded := look()
	if !recorded {
		t.Error("not recorded")
	}
	w.same(again, p)
	if err := w.do(func(b *pgx.Batch) { p.Record(b, "ann") }); err == nil {
		t.Error("it was recorded twice")
	}
}

func TestTheLockIsOfThePersonWhoAsks(t *testing.T) {
	w := newOwner(t)
	since := w.user("ann")
	lock := func() error { return w.do(func(b *pgx.Batch) { actions.Lock(b, "ann", since) }) }
	w.Must(lock())
	rows, err := actions.Erase(t.Context(), w.Pool, "ann", since)
	w.Must(err)
	w.same(rows["users"], int64(1))
	if err := lock(); !errors.Is(err, actions.ErrErased) {
		t.Errorf("%v after erasing, want ErrErased", err)
	}
	w.user("ann")
	if err := lock(); !errors.Is(err, actions.ErrErased) {
		t.Errorf("%v when somebody else has the id, want ErrErased", err)
	}
}

func TestEraseLeavesWhatIsNewer(t *testing.T) {
	w := newOwner(t)
	since := w.user("ann")
	w.propose("ann", "m", 1)
	w.forget("ann", "a")
	rows, err := actions.Erase(t.Context(), w.Pool, "ann", since.Add(-time.Microsecond))
	w.Must(err)
	for table, n := range rows {
		if n != 0 {
			t.Errorf("%d rows of %s are gone, which are newer", n, table)
		}
	}
	_, err = actions.Erase(t.Context(), w.Pool, "ann", time.Now().Add(time.Hour))
	w.Must(err)
	for _, table := range actions.Erased() {
		if n := len(w.texts("SELECT 'row' FROM " + table)); n != 0 {
			t.Errorf("%d rows of %s are left", n, table)
		}
	}
}
