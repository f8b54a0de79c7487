package actions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/testkit/world"
)

var recorded = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// owner is a World whose tables the package owns.
type owner struct{ *world.World }

func newOwner(t *testing.T) *owner {
	t.Helper()
	t.Parallel()
	return &owner{world.New(t)}
}

// do sends what is queued.
func (w *owner) do(queue func(b *pgx.Batch)) error {
	b := &pgx.Batch{}
	queue(b)
	return w.Pool.SendBatch(w.Context(), b).Close()
}

func (w *owner) texts(sql string) []string {
	w.Helper()
	return world.Column[string](w, sql)
}

func (w *owner) same(got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("(-want +got)\n%s", diff)
	}
}

// user adds a person and returns when.
func (w *owner) user(id string) time.Time {
	w.Helper()
	_, err := actions.AddUser(w.Context(), w.Pool, id)
	w.Must(err)
	_, at, err := actions.ExtendUser(w.Context(), w.Pool, id, []string{})
	w.Must(err)
	return at
}

// propose adds a proposal of a policy for a mail and returns its id; zero when it was not added.
func (w *owner) propose(user, mail string, policy int64) events.UUID {
	w.Helper()
	id := events.NewUUIDv7(time.Now())
	p := actions.Proposal{ID: id.String(), PolicyID: policy, EmailID: mail, Action: "archive_email", Params: map[string]string{}, Confidence: 0.7,
		Features: []string{"category:promo", "contains:sale"}, FeatureRule: events.FeatureRule, Category: "promo"}
	var added actions.ByID
	w.Must(w.do(func(b *pgx.Batch) { actions.Propose(b, user, []actions.Proposal{p}, &added) }))
	if added[id] == nil {
		return events.UUID{}
	}
	return id
}

// decide decides one action and returns it; nil when it was not pending.
func (w *owner) decide(user string, id events.UUID, status string) *actions.Action {
	w.Helper()
	var won actions.ByID
	w.Must(w.do(func(b *pgx.Batch) { actions.Decide(b, user, []events.UUID{id}, []string{status}, &won) }))
	return won[id]
}

// revert takes a decision back and returns its event; nil when there was no decision.
func (w *owner) revert(user string, id events.UUID) *events.Event {
	w.Helper()
	var r actions.Reverted
	w.Must(w.do(func(b *pgx.Batch) { actions.Revert(b, user, id, &r) }))
	return r.Event(id, user, "/test")
}

func (w *owner) pin(user, feature string) {
	w.Helper()
	var at time.Time
	w.Must(w.do(func(b *pgx.Batch) { actions.Pin(b, user, feature, &at) }))
	if at.IsZero() {
		w.Error("a pin without a time")
	}
}

// forget forgets a feature, and tells whether there was anything to forget.
func (w *owner) forget(user, feature string) bool {
	w.Helper()
	var at time.Time
	w.Must(w.do(func(b *pgx.Batch) { actions.Forget(b, user, feature, events.NewUUIDv7(time.Now()).String(), &at) }))
	return !at.IsZero()
}
