package indexer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/search/elastic"
)

// lockKey is the advisory lock of the leading indexer.
const lockKey int64 = 0x6170_6c69_6478 // "aplidx"

// lockEvery is how often a process at most tries to become the leader.
const lockEvery = time.Second

// How often the table of indices is looked at, and how often the indices themselves.
const (
	tendTime  = time.Second
	checkTime = 30 * time.Second
)

// How long a step that failed waits at first, and at most.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// indexer is one process. Its loop alone touches it.
type indexer struct {
	Config
	observers *observers
	held      func(context.Context) error // an error unless this process leads

	targets  []string // indices that take documents
	building bool     // one of them is not searched yet
	tended   time.Time
	checked  time.Time
	flying   map[*batch]bool
	landed   chan landing
	sent     sent
}

func newIndexer(config Config, o *observers) *indexer {
	unled := func(context.Context) error { return nil }
	return &indexer{Config: config, observers: o, held: unled, flying: map[*batch]bool{}, landed: make(chan landing, config.Senders)}
}

// Run keeps the index until ctx ends. Where there is none it makes one.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	o, err := newObservers(config.Registry)
	if err != nil {
		return fmt.Errorf("register indexer metrics: %w", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go watch(watching, &config, o)
	retry.Always(ctx, lockEvery, lockEvery, func(int) {
		x := newIndexer(config, o)
		if err := x.lead(ctx); err != nil && ctx.Err() == nil {
			config.Log.Warn("the indexer was interrupted", "error", err)
		}
		o.leader.Set(0)
	})
	return nil
}

// lead works while it holds the lock; without the lock it returns at once.
func (x *indexer) lead(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, x.Pool, nil)
	if err != nil {
		return fmt.Errorf("connect for the lock: %w", err)
	}
	defer postgres.Close(conn) // the lock goes with it
	if leads, err := postgres.TryLock(ctx, conn, lockKey); err != nil || !leads {
		return err
	}
	x.held = func(ctx context.Context) error {
		if err := postgres.Ping(ctx, conn); err != nil {
			return retry.Stop(fmt.Errorf("hold the lock: %w", err))
		}
		return nil
	}
	x.observers.leader.Set(1)
	x.Log.Info("the indexer leads")
	for ctx.Err() == nil {
		busy, err := x.step(ctx)
		if err != nil {
			return err
		}
		if !busy {
			_ = retry.Wait(ctx, x.Poll)
		}
	}
	return ctx.Err()
}

// step works as soon as that succeeds, as long as this process leads.
func (x *indexer) step(ctx context.Context) (busy bool, err error) {
	err = retry.Until(ctx, firstRetry, lastRetry, func(attempt int) (err error) {
		if err := x.held(ctx); err != nil {
			return err
		}
		busy, err = x.work(ctx, attempt > 0)
		if err != nil && ctx.Err() == nil {
			x.observers.failures.WithLabelValues(reason(err)).Inc()
			x.Log.Warn("the index falls behind", "error", err, "attempt", attempt+1)
		}
		return err
	})
	return busy, err
}

// work takes one step, and tells whether there may be more to do at once. again tells that the last step failed.
func (x *indexer) work(ctx context.Context, again bool) (busy bool, err error) {
	if again { // what was sent before the failure need not wait for what was not
		if err := x.flush(ctx, false); err != nil {
			return false, err
		}
	}
	if err := x.look(ctx, false); err != nil || len(x.targets) == 0 {
		return false, err
	}
	marked, err := x.mark(ctx)
	if err != nil {
		return false, err
	}
	if err := x.launch(ctx); err != nil {
		return false, err
	}
	more := len(x.flying) > 0
	if more {
		if err := x.land(ctx); err != nil {
			return false, err
		}
	}
	if err := x.flush(ctx, more); err != nil || marked || more {
		return err == nil, err
	}
	return false, x.look(ctx, true)
}

// look tends the indices, now and then or when one may be complete, and checks that they are where they should be.
func (x *indexer) look(ctx context.Context, idle bool) error {
	if time.Since(x.checked) >= checkTime {
		if err := x.check(ctx); err != nil {
			return err
		}
		x.checked = time.Now()
	}
	if len(x.targets) > 0 && time.Since(x.tended) < tendTime && !(idle && x.building) {
		return nil
	}
	list, err := x.tend(ctx, idle)
	if err != nil {
		return err
	}
	x.targets, x.building, x.tended = list.writable(), list.in(building) != nil, time.Now()
	return nil
}

// mark turns all marks into marks of mails, and tells whether there may be some.
func (x *indexer) mark(ctx context.Context) (bool, error) {
	aged, err := x.age(ctx)
	if err != nil {
		return false, err
	}
	turned := addressesAtOnce
	for turned == addressesAtOnce {
		if turned, err = x.turnAddresses(ctx); err != nil {
			return false, err
		}
	}
	passed, err := x.turnVersions(ctx)
	return aged || turned > 0 || passed, err
}

// errDelayed tells that Elasticsearch cannot take documents just now.
var errDelayed = errors.New("no documents are taken by Elasticsearch at the moment")

// landing is a batch that was sent, and what became of it.
type landing struct {
	batch    *batch
	outcomes []elastic.Outcome
	err      error
	took     time.Duration
}

// launch reads and sends batches, each in a goroutine, as long as there are marks and senders, and this process leads.
func (x *indexer) launch(ctx context.Context) error {
	for len(x.flying) < x.Senders {
		b, err := x.take(ctx, x.targets)
		if err != nil || b == nil {
			return err
		}
		failpoint.Hit("index_after_read")
		if err := x.held(ctx); err != nil { // a process that stood still may find that another has taken over
			return err
		}
		x.flying[b] = true
		go func() {
			began := time.Now()
			outcomes, err := x.send(ctx, b)
			failpoint.Hit("index_after_bulk")
			x.landed <- landing{b, outcomes, err, time.Since(began)}
		}()
	}
	return nil
}

// send makes the documents of a batch and sends them.
func (x *indexer) send(ctx context.Context, b *batch) ([]elastic.Outcome, error) {
	if err := b.build(); err != nil {
		return nil, err
	}
	return x.Client.Send(ctx, &b.bulk)
}

// land waits until one of the batches has landed, and notes what became of it.
func (x *indexer) land(ctx context.Context) error {
	l := <-x.landed
	delete(x.flying, l.batch)
	if l.err != nil {
		return l.err
	}
	r := l.batch.judge(l.outcomes)
	x.observers.count(&r, l.took)
	x.sent.add(l.batch, r)
	if err := x.delay(ctx, r.refused); err != nil {
		return err
	}
	if r.missing {
		x.checked = time.Time{}
	}
	if r.delayed > 0 {
		return fmt.Errorf("%w: %d of %d", errDelayed, r.delayed, len(l.batch.marks))
	}
	return nil
}

// atWork are the mails that are being sent, or were and cannot be found yet: their marks are still there.
func (x *indexer) atWork() [][16]byte {
	list := ids(x.sent.marks)
	for b := range x.flying {
		list = append(list, ids(b.marks)...)
	}
	return list
}

// flush lets searches find what was sent and takes the marks away, when it is time.
func (x *indexer) flush(ctx context.Context, more bool) error {
	if !x.sent.due(more) {
		return nil
	}
	if err := x.Client.Refresh(ctx, x.targets...); err != nil {
		if elastic.IsMissing(err) { // nothing of it can be found: the marks stay
			x.sent, x.checked = sent{}, time.Time{}
		}
		return err
	}
	failpoint.Hit("index_after_refresh")
	if err := x.clear(ctx, x.sent.marks, x.sent.readAt); err != nil {
		return err
	}
	x.observers.enriched.WithLabelValues().Add(float64(x.sent.enriched))
	x.sent = sent{}
	return nil
}

// begin takes the lock that whoever changes marks takes first, and lets the transaction plan for the tables as they are: a
// plan kept from when they were empty would read them as a whole.
const begin = `
SELECT lock_marks(), set_config('plan_cache_mode', 'force_custom_plan', true)`

// transact runs work in a transaction that may change marks.
func (x *indexer) transact(ctx context.Context, work func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, begin); err != nil {
			return err
		}
		return work(tx)
	})
}
