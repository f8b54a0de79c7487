package proposer

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/turns"
)

// deployment is a database in which mail is folded, and what proposes.
type deployment struct {
	*world.World
}

func newDeployment(t testing.TB) *deployment {
	t.Helper()
	return &deployment{world.New(t)}
}

func (w *deployment) config(adjust ...func(*Config)) Config {
	chooser := &proposals.Chooser{Mails: proposals.Mails{Pool: w.Pool}, Processors: turns.New()}
	c := Config{Pool: w.Pool, Chooser: chooser, Log: w.Logger, Registry: prometheus.NewRegistry(), Poll: 10 * time.Millisecond, Quiet: time.Millisecond}
	for _, set := range adjust {
		set(&c)
	}
	return c
}

// run runs a proposer until the returned function is called or the test ends.
func (w *deployment) run(adjust ...func(*Config)) (stop func()) {
	w.Helper()
	c := w.config(adjust...)
	return w.Background("a proposer", func(ctx context.Context) error { return Run(ctx, c) })
}

// rounds makes a proposer that asks for no lock.
func (w *deployment) rounds(adjust ...func(*Config)) *rounds {
	w.Helper()
	c := w.config(adjust...)
	w.Must(c.Validate())
	o, err := newObservers(prometheus.NewRegistry())
	w.Must(err)
	return newRounds(&proposer{Config: c, observers: o, source: w.Source})
}

// person adds somebody with one policy: to archive mail whose subject contains "offer".
func (w *deployment) person(id string) {
	w.Helper()
	_, err := auth.NewStore(w.Pool).CreateUser(w.Context(), auth.User{ID: id})
	w.Must(err)
	w.Exec(`DELETE FROM policies WHERE user_id = $1`, id)
	w.policy(id, "offers", `{"contains":["subject","offer"]}`)
}

// policy adds a policy. No test of this package is about what a condition means.
func (w *deployment) policy(user, name, condition string) {
	w.Helper()
	w.Exec(`INSERT INTO policies (user_id, name, condition, action) VALUES ($1, $2, $3, 'archive_email')`, user, name, json.RawMessage(condition))
}

// insertMails folds mails as the mailbox does: $2 of them, one a second, the last of which came $4 ago.
const insertMails = `
WITH folded AS (
    INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
        received_at, category, quarantined, labels, text, truncated, content_hash, updated_at)
    SELECT 1, gen_random_uuid(), $1, $3 || ' ' || n, '', $3 || ' ' || n, 'shop@example.com', '', 'example.com', '{}', '',
        now() - $4::interval - ($2::integer - n) * interval '1 second', 'promo', false, '{}', '', false, 0, now()
    FROM generate_series(1, $2) n
    RETURNING id, user_id, received_at)
SELECT add_new_mails(array_agg(user_id), array_agg(id), array_agg(received_at)) FROM folded`

// fold folds so many mails of a person about something, the newest of which has an age.
func (w *deployment) fold(user string, count int, about string, age time.Duration) {
	w.Helper()
	w.Exec(insertMails, user, count, about, age)
}

// awaitConsidered waits until no mail of known persons waits.
func (w *deployment) awaitConsidered() {
	w.Helper()
	w.Eventually("no mail waits", func() error {
		n := w.Int(`SELECT count(*) FROM new_mails n JOIN users u ON u.id = n.user_id WHERE considered_at IS NULL`)
		return world.Want(n == 0, "%d mails wait", n)
	})
}

// proposed lists for which mails of a person there are proposals, by their subjects, each as often as there are, in the order in
// which they were made.
func (w *deployment) proposed(user string) []string {
	w.Helper()
	return world.Column[string](w, `SELECT m.subject FROM actions a JOIN live_mails m ON m.id::text = a.email_id
		WHERE a.user_id = $1 ORDER BY a.created_at, m.received_at`, user)
}

// emitted counts the proposals of a person in the outbox, and by how many different actions.
func (w *deployment) emitted(user string) (rows, actions int) {
	w.Helper()
	list := w.Outbox("user_id = $1 AND type = 'applylens.action.proposed.v1'", user)
	ids := map[events.UUID]bool{}
	for _, row := range list {
		ids[row.Event.Action.ActionID] = true
	}
	return len(list), len(ids)
}

// wantProposed holds what was proposed to a person: for these mails, in this order, once each, with an event each.
func (w *deployment) wantProposed(user string, subjects ...string) {
	w.Helper()
	if diff := cmp.Diff(subjects, w.proposed(user), cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("proposed to %s (-want +got):\n%s", user, diff)
	}
	if rows, actions := w.emitted(user); rows != len(subjects) || actions != len(subjects) {
		w.Errorf("%d events of %d proposals in the outbox of %s, want %d", rows, actions, user, len(subjects))
	}
}

// numbered lists "about from" to "about to".
func numbered(about string, from, to int) []string {
	var list []string
	for n := from; n <= to; n++ {
		list = append(list, fmt.Sprint(about, " ", n))
	}
	return list
}

// lookThrough looks through so many mails of a version.
func (w *deployment) lookThrough(r *rounds, limit int) (more bool, err error) {
	w.Helper()
	err = pgx.BeginFunc(w.Context(), r.Pool, func(tx pgx.Tx) error {
		more, err = actions.LookThroughVersions(w.Context(), tx, limit)
		return err
	})
	return more, err
}

// counted returns a counter of a proposer.
func counted(t testing.TB, vector *prometheus.CounterVec, label string) int {
	t.Helper()
	return int(testutil.ToFloat64(vector.WithLabelValues(label)))
}

// pool returns another pool on the database, as another process has.
func (w *deployment) pool() *pgxpool.Pool {
	w.Helper()
	pool, err := pgxpool.NewWithConfig(w.Context(), w.Pool.Config())
	w.Must(err)
	w.Cleanup(pool.Close)
	return pool
}
