package relay

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// roundTrips counts how often a client has waited for an answer on a connection.
type roundTrips struct {
	net.Conn
	asked *atomic.Bool
	count *atomic.Int64
}

func (c roundTrips) Write(b []byte) (int, error) {
	c.asked.Store(true)
	return c.Conn.Write(b)
}

func (c roundTrips) Read(b []byte) (int, error) {
	if c.asked.Swap(false) {
		c.count.Add(1)
	}
	return c.Conn.Read(b)
}

// counted returns a pool whose connections, and those that are made like them, count round trips.
func (w *deployment) counted(count *atomic.Int64) *pgxpool.Pool {
	w.Helper()
	config := w.Pool.Config()
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return roundTrips{conn, &atomic.Bool{}, count}, err
	}
	pool, err := pgxpool.NewWithConfig(w.Context(), config)
	w.Must(err)
	w.Cleanup(pool.Close)
	return pool
}

// leader returns a term that has reconciled and whose loop the test runs turn by turn.
func (w *deployment) leader(pool *pgxpool.Pool) *term {
	w.Helper()
	config := Config{Pool: pool, Conn: w.Conn}
	w.Must(config.Validate())
	m, err := newMetrics(config.Registry)
	w.Must(err)
	r := &relay{Config: config, metrics: m, wake: make(chan struct{}, 1)}
	conn, err := r.connect(w.Context())
	w.Must(err)
	w.Cleanup(func() { postgres.Close(conn) })
	t, err := newTerm(w.Context(), r, conn)
	w.Must(err)
	ctx, cancel := context.WithCancel(context.Background())
	w.Cleanup(t.helpers.Wait)
	w.Cleanup(cancel)
	t.request = ctx
	t.helpers.Go(func() { t.watcher.run(ctx) })
	w.run(t, func() bool { return t.reconciled })
	return t
}

// run takes turns until a condition holds.
func (w *deployment) run(t *term, holds func() bool) {
	w.Helper()
	w.Until("the term gets there", func() bool {
		w.Must(t.turn(w.Context()))
		if holds() {
			return true
		}
		w.Must(t.await(w.Context(), w.Context()))
		return false
	})
}

// A row is on its way after two round trips to PostgreSQL: read the outbox, assign the sequence.
func TestPublishingTakesTwoRoundTrips(t *testing.T) {
	w := newDeployment(t)
	var count atomic.Int64
	leader := w.leader(w.counted(&count))
	for publish := range 5 {
		w.add(1, "ann")
		leader.layout.at = time.Now() // fresh, however slow the machine is
		before := count.Load()
		w.Must(leader.turn(t.Context()))
		trips, busy := count.Load()-before, false
		for _, p := range leader.partitions {
			busy = busy || p.busy
		}
		if !busy {
			t.Fatalf("publish %d: nothing was sent in the turn after the commit", publish)
		}
		if publish > 1 && trips > 2 { // at first the statements are prepared
			t.Errorf("publish %d took %d round trips, want at most 2", publish, trips)
		}
		w.run(leader, func() bool { return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0 })
	}
	w.checkLog()
}

// Rows are sequenced together or not at all: a sequence of a row that is gone would be missing in the log.
func TestSequencesAreAllOrNone(t *testing.T) {
	w := newDeployment(t)
	w.add(3, "ann")
	_, err := w.Pool.Exec(t.Context(), assignSequencesSQL, [16]byte{1}, []int64{1, 2, 99}, []int32{0, 0, 0}, []int64{1, 2, 3})
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.ConstraintName != "outbox_stamp" {
		t.Errorf("with a row that is gone: %v, want outbox_stamp to refuse it", err)
	}
	if n := w.Int("SELECT count(*) FROM outbox WHERE relay_id IS NOT NULL"); n != 0 {
		t.Errorf("%d rows have sequences, want none", n)
	}
}

// A transaction that holds rows delays their sequences. If it has deleted one, the others get theirs without a gap; if it
// has erased one, the row goes out without content.
func TestRowsThatChangeWhileTheyAreSequenced(t *testing.T) {
	for name, test := range map[string]struct {
		change string
		events int
	}{
		"deleted": {"DELETE FROM outbox WHERE seq = 2", 3},
		"erased":  {"UPDATE outbox SET state = 'void', payload = '', headers = '[]', aggregateid = '', user_id = '' WHERE seq = 2", 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			w.add(4, "ann")
			holder, err := w.Pool.Begin(t.Context())
			w.Must(err)
			defer holder.Rollback(context.Background())
			_, err = holder.Exec(t.Context(), test.change)
			w.Must(err)
			w.start()
			w.untilLocked()
			w.Must(holder.Commit(t.Context()))
			w.AwaitPublished()
			w.added = test.events
			w.checkLog()
			for _, r := range w.log() {
				if erased := name == "erased" && r.sequence.Seq == 2; (r.kind == events.TypeVoid) != erased {
					t.Errorf("record %d is of type %s", r.sequence.Seq, r.kind)
				}
			}
		})
	}
}

// untilLocked waits until the relay waits for a lock.
func (w *deployment) untilLocked() {
	w.Helper()
	w.Until("the relay waits for a lock", func() bool {
		return w.Int(`
SELECT count(*) FROM pg_locks
WHERE NOT granted AND pid IN (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'applylens-relay')`) > 0
	})
}
