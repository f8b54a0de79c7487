package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/outbox"
)

// term is one leadership. Its loop alone uses the connection that holds the lock, and touches the partitions;
// goroutines publish and read, one per partition at a time, and hand their results back.
type term struct {
	*relay
	conn    *pgx.Conn
	id      events.UUID
	source  string
	watcher *watcher

	layout     *layout // the last one; nil at first
	partitions map[place]*partition
	numbers    map[place]numbers // they go on, whatever becomes of a topic
	topics     []string          // those that exist
	reconciled bool
	results    chan result
	helpers    sync.WaitGroup
	request    context.Context // of publishing and reading: it outlives the signal to stop, but not the term
	more       bool            // the table has more to stamp or load
	marks      marks
}

// result is what a goroutine brings back: either rows published or an inspection.
type result struct {
	p *partition

	rows []*row
	base int64

	inspection *inspection
	err        error
}

// numbers are the greatest of this term in a partition: given to a row, and sent at least once.
type numbers struct{ given, sent int64 }

// marks are what the next transaction notes as published.
type marks struct {
	seqs, offsets []int64
	partitions    map[*partition]bool
	since         time.Time // of the first
}

func newTerm(ctx context.Context, r *relay, conn *pgx.Conn) (*term, error) {
	source, err := outbox.Source(ctx, conn)
	if err != nil {
		return nil, err
	}
	id, err := beginTerm(ctx, conn)
	if err != nil {
		return nil, err
	}
	failed := func(err error) { r.Log.Warn("Kafka does not answer the relay", "error", err) }
	return &term{
		relay: r, conn: conn, id: id, source: source,
		watcher:    &watcher{conn: r.Conn, limits: map[kadm.TopicID]int{}, out: make(chan *layout, 1), failed: failed},
		partitions: map[place]*partition{},
		numbers:    map[place]numbers{},
		results:    make(chan result),
		marks:      marks{partitions: map[*partition]bool{}},
	}, nil
}

// run leads until ctx ends, and then lets what is in flight finish, or until the connection is lost.
func (t *term) run(ctx context.Context) error {
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer t.helpers.Wait()
	defer cancel()
	t.request = request
	for {
		if err := t.turn(ctx); err != nil {
			return err
		}
		if err := t.await(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return t.drain()
		}
	}
}

// turn does what there is to do without waiting for anything but PostgreSQL.
func (t *term) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*statementLimit)
	defer cancel()
	if t.markDue() {
		if err := t.mark(ctx); err != nil {
			return err
		}
	}
	if !t.fresh() {
		return nil
	}
	t.inspectAll()
	if !t.reconciled {
		if err := t.finishReconciling(ctx); err != nil || !t.reconciled {
			return err
		}
	}
	if err := t.loadSpilled(ctx); err != nil {
		return err
	}
	asked, err := t.stampNext(ctx)
	if err != nil {
		return err
	}
	// An answer on the connection proves that the lock is held, before anything is published.
	if !asked {
		if err := t.conn.Ping(ctx); err != nil {
			return fmt.Errorf("keep the relay's lock: %w", err)
		}
	}
	t.publishAll()
	return nil
}

// fresh tells whether the layout of the topics is recent enough to publish by it.
func (t *term) fresh() bool { return t.layout != nil && time.Since(t.layout.at) < layoutFresh }

// await returns when there is something to do, and takes the news in.
func (t *term) await(ctx context.Context) error {
	pause := min(pollEvery, t.untilRetry())
	if len(t.marks.partitions) > 0 {
		pause = min(pause, markEvery-time.Since(t.marks.since))
	}
	if t.more {
		pause = 0
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	statements := context.WithoutCancel(ctx)
	select {
	case <-ctx.Done():
	case <-t.wake:
	case <-timer.C:
	case found := <-t.watcher.out:
		return t.adopt(statements, found)
	case r := <-t.results:
		return t.receiveAll(statements, r)
	}
	return nil
}

// receiveAll takes the results that are there already, so that one transaction marks them all.
func (t *term) receiveAll(ctx context.Context, r result) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	for {
		if err := t.receive(ctx, r); err != nil {
			return err
		}
		select {
		case r = <-t.results:
		default:
			return nil
		}
	}
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

// drain waits for the requests in flight and marks what they published.
func (t *term) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	for _, p := range t.partitions {
		for p.busy {
			select {
			case <-ctx.Done():
				return errors.New("requests to Kafka did not end in time")
			case r := <-t.results:
				if err := t.receive(ctx, r); err != nil {
					return err
				}
			}
		}
	}
	return t.mark(ctx)
}

// start runs work for a partition in a goroutine of its own.
func (t *term) start(p *partition, work func(ctx context.Context) result) {
	p.busy, p.since = true, time.Now()
	t.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(t.request, requestLimit)
		defer cancel()
		r := work(ctx)
		r.p = p
		select {
		case t.results <- r:
		case <-t.request.Done():
		}
	})
}

func (t *term) receive(ctx context.Context, r result) error {
	p := t.partitions[r.p.place]
	p.busy = false
	if p != r.p {
		return nil // the topic is another by now
	}
	if r.inspection != nil {
		return t.receiveInspection(ctx, r)
	}
	return t.receivePublished(ctx, r)
}

// markDue tells whether what was published is to be noted now. It waits a little, so that a busy relay notes many rows
// in one transaction, but not where the table is about to be asked what was published.
func (t *term) markDue() bool {
	if len(t.marks.seqs) >= stampRows || time.Since(t.marks.since) >= markEvery {
		return true
	}
	for _, p := range t.partitions {
		if p.stage != stageReady || p.spilled {
			return true
		}
	}
	return false
}

// mark notes as published what was, and how far that reaches.
func (t *term) mark(ctx context.Context) error {
	if len(t.marks.partitions) == 0 {
		return nil
	}
	failpoint.Hit("relay_after_produce")
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(quick)
	batch.Queue(markPublished, t.marks.seqs, t.marks.offsets)
	for p := range t.marks.partitions {
		t.queueEnd(batch, p)
	}
	batch.Queue("COMMIT")
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("mark published rows: %w", err)
	}
	failpoint.Hit("relay_after_mark")
	t.marks = marks{partitions: map[*partition]bool{}}
	return nil
}

func (t *term) queueEnd(batch *pgx.Batch, p *partition) {
	batch.Queue(saveEnd, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, p.next)
}

// finishReconciling ends the reading of the log that comes before the term's first publish, once every partition is
// ready. What it writes becomes visible at once: whoever sees that the relay has reconciled finds the database accepted.
func (t *term) finishReconciling(ctx context.Context) error {
	for _, p := range t.partitions {
		if p.stage != stageReady {
			return nil
		}
	}
	failpoint.Hit("relay_reconcile")
	var dead int64
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) (err error) {
		if _, err = tx.Exec(ctx, endReconcile, [16]byte(t.id)); err != nil {
			return err
		}
		if err = outbox.AcceptIdentity(ctx, tx); err != nil {
			return err
		}
		dead, err = giveUpUnknownTopics(ctx, tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish reconciling: %w", err)
	}
	t.reconciled = true
	t.Log.Info("relay has read the log to its end", "relay_id", t.id.String(), "partitions", len(t.partitions))
	if dead > 0 {
		t.metrics.dead.Add(float64(dead))
		t.Log.Error("outbox rows given up: their topic is unknown", "rows", dead)
	}
	return nil
}
