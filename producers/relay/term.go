package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/relaykey"
	"github.com/applylens/applylens/internal/retry"
)

// term is one leadership. Its loop alone uses the connection that holds the lock, and touches the partitions;
// goroutines publish and read, one per partition at a time, and hand their results back.
type term struct {
	*relay
	conn    *pgx.Conn
	id      events.UUID
	source  string
	trust   *trust
	watcher *watcher

	layout     *layout  // the last one; nil at first
	topics     []string // those that exist
	partitions map[topicPartition]*partition
	sequences  map[topicPartition]sequence // they go on when a topic is recreated
	reconciled bool                        // every partition was read to its end
	more       bool                        // the table has more rows to sequence
	acked      acknowledged
	floors     floors

	results chan result
	helpers sync.WaitGroup
	request context.Context // of publishing and reading: it outlives the signal to stop, but not the term
}

func newTerm(ctx context.Context, r *relay, conn *pgx.Conn) (*term, error) {
	source, err := outbox.Source(ctx, conn)
	if err != nil {
		return nil, err
	}
	keys, err := relaykey.Ensure(ctx, conn, r.Secret, source)
	if err != nil {
		return nil, err
	}
	if keys.Fault() != nil {
		r.Log.Error("the relay's master secret is ignored", "error", keys.Fault())
	}
	id, err := beginTerm(ctx, conn, keys.Current().Number)
	if err != nil {
		return nil, err
	}
	trust, err := r.loadTrust(ctx, conn, keys, source)
	if err != nil {
		return nil, err
	}
	floors, err := readFloors(ctx, conn)
	if err != nil {
		return nil, err
	}
	failed := func(err error) { r.Log.Warn("Kafka does not answer the relay", "error", err) }
	return &term{
		relay: r, conn: conn, id: id, source: source, trust: trust,
		watcher:    &watcher{conn: r.Conn, limits: map[kadm.TopicID]int{}, out: make(chan *layout, 1), failed: failed},
		partitions: map[topicPartition]*partition{},
		sequences:  map[topicPartition]sequence{},
		results:    make(chan result),
		acked:      acknowledged{partitions: map[*partition]bool{}},
		floors:     floors,
	}, nil
}

// run leads until ctx ends, and then lets requests in flight finish, or until the connection is lost.
func (t *term) run(ctx context.Context) error {
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer t.helpers.Wait()
	defer cancel()
	t.request = request
	statements, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer retry.CutAfter(ctx, drainLimit, statements, cut)()
	for {
		if err := t.turn(statements); err != nil {
			return err
		}
		if err := t.await(ctx, statements); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return t.drain(statements)
		}
	}
}

// turn does what there is to do without waiting for anything but PostgreSQL. Published rows are noted after the next ones
// are sent, unless the table is asked for them before.
func (t *term) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*statementLimit)
	defer cancel()
	if t.asksWhatIsPublished() {
		if err := t.notePublished(ctx); err != nil {
			return err
		}
	}
	if t.fresh() {
		if err := t.publishNext(ctx); err != nil {
			return err
		}
	}
	if t.noteDue() {
		if err := t.notePublished(ctx); err != nil {
			return err
		}
	}
	return t.raiseFloors(ctx)
}

// publishNext inspects the partitions that need it, and publishes what waits for the others. A partition that cannot be
// read holds up its own rows only.
func (t *term) publishNext(ctx context.Context) error {
	t.inspectAll()
	if !t.reconciled {
		if err := t.finishReconciling(ctx); err != nil {
			return err
		}
	}
	if err := t.loadSpilled(ctx); err != nil {
		return err
	}
	asked, err := t.assignNext(ctx)
	if err != nil {
		return err
	}
	// An answer on the connection proves that the lock is held, before anything is published.
	if !asked {
		if err := postgres.Ping(ctx, t.conn); err != nil {
			return fmt.Errorf("keep the relay's lock: %w", err)
		}
	}
	t.publishAll()
	return nil
}

// fresh tells whether the layout of the topics is recent enough to publish by it.
func (t *term) fresh() bool { return t.layout != nil && time.Since(t.layout.at) < layoutFresh }

// await returns when there is something to do, or ctx has ended. It receives layouts and results.
func (t *term) await(ctx, statements context.Context) error {
	pause := min(pollEvery, t.untilRetry())
	if len(t.acked.partitions) > 0 {
		pause = min(pause, noteEvery-time.Since(t.acked.since))
	}
	if t.more {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-t.wake:
	case <-timer.C:
	case found := <-t.watcher.out:
		return t.applyLayout(statements, found)
	case r := <-t.results:
		return t.receiveAll(statements, r)
	}
	return nil
}

func (t *term) untilRetry() time.Duration {
	pause := pollEvery
	for _, p := range t.partitions {
		if left := time.Until(p.retryAt); left > 0 {
			pause = min(pause, left)
		}
	}
	return pause
}
