package actions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var recorded = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a database of its own.
type world struct {
	*testing.T
	pool *pgxpool.Pool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	pool, _ := testenv.Database(t)
	return &world{t, pool}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// do sends what is queued.
func (w *world) do(queue func(b *pgx.Batch)) error {
	b := &pgx.Batch{}
	queue(b)
	return w.pool.SendBatch(w.Context(), b).Close()
}

func (w *world) texts(sql string) []string {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), sql)
	w.must(err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.must(err)
	return list
}

func (w *world) same(got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("(-want +got)\n%s", diff)
	}
}

// user adds a person and returns when.
func (w *world) user(id string) time.Time {
	w.Helper()
	_, err := actions.AddUser(w.Context(), w.pool, id)
	w.must(err)
	_, _, at, err := actions.ExtendUser(w.Context(), w.pool, id, []string{}, []string{})
	w.must(err)
	return at
}

// propose adds a proposal of a policy for a mail and returns its id; zero when it was not added.
func (w *world) propose(user, mail string, policy int64) events.UUID {
	w.Helper()
	id := events.NewUUIDv7(time.Now())
	p := actions.Proposal{ID: id.String(), PolicyID: policy, EmailID: mail, Action: "archive_email", Params: map[string]string{}, Confidence: 0.7,
		Features: []string{"category:promo", "contains:sale"}, FeatureRule: events.FeatureRule, Category: "promo"}
	var added actions.ByID
	w.must(w.do(func(b *pgx.Batch) { actions.Propose(b, user, []actions.Proposal{p}, &added) }))
	if added[id] == nil {
		return events.UUID{}
	}
	return id
}

// decide decides one action and returns it; nil when it was not pending.
func (w *world) decide(user string, id events.UUID, status string) *actions.Action {
	w.Helper()
	var won actions.ByID
	w.must(w.do(func(b *pgx.Batch) { actions.Decide(b, user, []events.UUID{id}, []string{status}, &won) }))
	return won[id]
}

// revert takes a decision back and returns its event; nil when there was no decision.
func (w *world) revert(user string, id events.UUID) *events.Event {
	w.Helper()
	var r actions.Reverted
	w.must(w.do(func(b *pgx.Batch) { actions.Revert(b, user, id, &r) }))
	return r.Event(id, user, "/test")
}

func (w *world) forget(user, feature string) {
	w.Helper()
	var at time.Time
	w.must(w.do(func(b *pgx.Batch) { actions.Forget(b, user, feature, &at) }))
	if at.IsZero() {
		w.Error("a forget without a time")
	}
}
