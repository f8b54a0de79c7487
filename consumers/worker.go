package consumers

import (
	"context"
	"errors"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/retry"
)

// worker folds several partitions, one transaction at a time. Everything in it belongs to one goroutine.
//
// Events of our own relay are folded as they are read. As soon as one has to be deduplicated by its effect, which only the
// database can tell, the records of a batch are held instead: decided, but not folded before the transaction has claimed
// their effects (held.go).
type worker struct {
	s         *session
	parts     []*partition
	forgetful bool // the group folds events that it does not remember
	readers   *readers
	decoder   *events.Decoder
	verifier  *Verifier
	event     events.Event

	limit    int           // most records of the next batch
	deadline time.Duration // of the next transaction
	holding  bool          // the records of a batch are held
	closing  bool          // the batch ends before the current record, which the next one holds
	suspects int           // records that are held at least, since the database refused one of them

	cursors map[*partition]*cursor
	current *partition // whose chunk is half consumed; nil when none is
	batch   batch
}

// cursor is how far the open batch has come in one partition.
type cursor struct {
	chunk    *kafkalog.Chunk
	record   *kafkalog.Record // read from chunk, and not used yet
	caughtUp bool
	halt     *ledger.Halt // found behind the records of the batch

	read      int64            // one past the last record that was folded or held
	seen      ledger.Sequences // of records since the commit, also of held ones
	newestKey int              // of partition, with those of seen

	progress
}

// progress is what the open batch does to one partition.
type progress struct {
	next      int64
	epoch     int32
	last      time.Time
	sequences ledger.Sequences
	outcomes  [outcomeCount]int64
	sources   map[string]breaker // of those that the batch counted
	breaker   breaker
}

// batch is what the next transaction writes.
type batch struct {
	effects  Batch
	records  int
	bytes    int  // of what is held, and of dead letters
	erases   bool // persons: some record is a user.erased
	letters  []ledger.Letter
	erasures []ledger.Erasure

	held     held
	advances []ledger.Advance // of the last attempt to write
}

func newWorker(s *session, parts []*partition) *worker {
	return &worker{
		s: s, parts: parts, forgetful: s.cfg.Group.forgetful(), decoder: events.NewDecoder(), verifier: newVerifier(&s.relays, s.log.Topic, s.unsigned), limit: s.cfg.BatchRecords, deadline: s.cfg.BatchDeadline,
		cursors: map[*partition]*cursor{},
		batch:   batch{effects: s.cfg.Group.NewBatch()},
	}
}

// run folds until ctx ends, the positions are lost, or every partition has reached its stopAt.
func (w *worker) run(ctx context.Context) error {
	defer func() { w.readers.close() }()
	w.restart(ctx)
	pacer := pacer{s: w.s, partitions: len(w.parts)}
	for {
		if err := pacer.wait(ctx); err != nil {
			return err
		}
		w.limit = pacer.bound(w.limit)
		err := w.fill(ctx)
		if errors.Is(err, errSpoiled) {
			w.restart(ctx)
			continue
		}
		if err != nil {
			return err
		}
		if !w.open() {
			if w.closing { // before its first record
				w.closing, w.holding = false, true
				continue
			}
			return nil // every partition has reached its end
		}
		pacer.took(w.batch.records)
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
}

// open tells whether there is anything to write or to halt.
func (w *worker) open() bool {
	return w.batch.records > 0 || w.moved() || w.faulty()
}

// restart forgets the open batch and reads on from the committed positions.
func (w *worker) restart(ctx context.Context) {
	if w.readers != nil {
		w.readers.close()
	}
	for _, part := range w.parts {
		if c := w.cursors[part]; c != nil {
			c.drop()
		}
		w.cursors[part] = &cursor{caughtUp: part.halted(), read: part.next, seen: ledger.Sequences{}, newestKey: part.newestKey, progress: part.progress()}
	}
	w.current, w.closing = nil, false
	w.clearBatch()
	w.readers = w.s.startReaders(ctx, w.parts)
}

// progress is where a batch begins.
func (p *partition) progress() progress {
	return progress{next: p.next, epoch: p.epoch, sequences: ledger.Sequences{}, breaker: p.breaker}
}

// drop gives up what is left of the chunk.
func (c *cursor) drop() {
	if c.chunk != nil {
		c.chunk.Release()
	}
	c.chunk, c.record = nil, nil
}

func (w *worker) clearBatch() {
	w.batch.clearFolded()
	w.batch.held.reset()
	w.batch.records, w.batch.bytes, w.batch.erases = 0, 0, false
}

// clearFolded takes back what was folded into the batch, but not what is held.
func (b *batch) clearFolded() {
	b.effects.Reset()
	clear(b.letters)
	b.letters = b.letters[:0]
	b.erasures = b.erasures[:0]
}

// fill waits for records and takes them into the batch until it is full, the log has no more, or the linger is over.
func (w *worker) fill(ctx context.Context) error {
	if err := w.refreshDead(ctx); err != nil {
		return err
	}
	var linger <-chan time.Time
	for !w.full() {
		if w.current != nil {
			if err := w.consume(ctx, w.current); err != nil {
				return err
			}
			continue
		}
		if w.finished() {
			return nil
		}
		wait := linger
		if w.open() {
			if w.caughtUp() {
				wait = alreadyOver
			} else if linger == nil {
				timer := time.NewTimer(w.s.cfg.BatchLinger)
				defer timer.Stop()
				linger, wait = timer.C, timer.C
			}
		}
		received, err := w.receive(ctx, wait)
		if err != nil || !received {
			return err
		}
	}
	return nil
}

// refreshDead follows what the live version adds to the dead letters, and which sources it sets aside, while this version is being built: a record's
// outcome in an earlier version is its outcome in this one.
func (w *worker) refreshDead(ctx context.Context) error {
	if !w.s.log.Shadow {
		return nil
	}
	for _, part := range w.parts {
		if part.ownerEpoch == 0 {
			continue
		}
		if err := w.retry(ctx, "reading dead letters", func() error { return w.s.readDead(ctx, w.s.cfg.Pool, part) }); err != nil {
			return err
		}
	}
	return w.retry(ctx, "reading which sources are set aside", func() error { return w.s.readAside(ctx, w.s.cfg.Pool, w.parts) })
}

// retry tries until it succeeds, however long a server is away, or ctx ends.
func (w *worker) retry(ctx context.Context, what string, try func() error) error {
	return retry.Until(ctx, firstPause, mostPause, func(attempt int) error {
		err := try()
		if err != nil && ctx.Err() == nil {
			w.s.cfg.Log.Warn(what+" has to wait", "group", w.s.log.Group, "attempt", attempt+1, "error", err)
		}
		return err
	})
}

// retryUnlessFenced is retry that ends when the partition has another owner.
func (w *worker) retryUnlessFenced(ctx context.Context, what string, try func() error) error {
	var lost error
	err := w.retry(ctx, what, func() error {
		err := try()
		if errors.Is(err, ledger.ErrFenced) {
			lost = err
			return nil
		}
		return err
	})
	return errors.Join(lost, err)
}

// alreadyOver is a timer that has fired, for a receive that does not wait.
var alreadyOver = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// receive takes the next chunk or halt from the readers; false means that wait was over first.
func (w *worker) receive(ctx context.Context, wait <-chan time.Time) (bool, error) {
	select {
	case f := <-w.readers.feed:
		w.take(f)
		return true, nil
	default:
	}
	select {
	case f := <-w.readers.feed:
		w.take(f)
		return true, nil
	case <-wait:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (w *worker) take(f fetched) {
	failpoint.Hit("after_fetch")
	c := w.cursors[f.part]
	if f.halt != nil {
		c.halt, c.caughtUp = f.halt, true
		return
	}
	if c.halt != nil { // nothing behind a halt is used
		f.chunk.Release()
		return
	}
	c.chunk, c.record, c.caughtUp = f.chunk, nil, f.chunk.CaughtUp()
	w.current = f.part
}

// consume takes records of the partition's chunk into the batch until it is used up or the batch is full.
func (w *worker) consume(ctx context.Context, part *partition) error {
	c := w.cursors[part]
	for {
		if c.record == nil {
			c.record = c.chunk.Read()
		}
		if c.record == nil || part.stopAt >= 0 && c.record.Offset >= part.stopAt {
			break
		}
		if w.full() {
			return nil
		}
		halt, err := w.use(ctx, part, c, c.record)
		if err != nil || w.closing {
			return err
		}
		if halt != nil {
			w.stopBefore(part, halt)
			return nil
		}
		c.record = nil
	}
	end := c.chunk.Next
	if part.stopAt >= 0 {
		end = min(end, part.stopAt)
	}
	w.pass(part, c, end)
	c.drop()
	w.current = nil
	return nil
}

// stopBefore notes the halt that is behind the records of the batch.
func (w *worker) stopBefore(part *partition, halt *ledger.Halt) {
	c := w.cursors[part]
	c.halt, c.caughtUp = halt, true
	c.drop()
	if w.current == part {
		w.current = nil
	}
}

func (w *worker) full() bool {
	return w.closing || w.batch.records >= w.limit || w.batch.bytes+w.batch.effects.Size() >= w.s.cfg.BatchBytes
}

// caughtUp tells whether no partition is known to have more.
func (w *worker) caughtUp() bool {
	for _, c := range w.cursors {
		if !c.caughtUp {
			return false
		}
	}
	return true
}

// moved tells whether a position is to be advanced, be it only past control records.
func (w *worker) moved() bool {
	for part, c := range w.cursors {
		if c.read != part.next {
			return true
		}
	}
	return false
}

func (w *worker) faulty() bool {
	for part, c := range w.cursors {
		if c.halt != nil && !part.halted() {
			return true
		}
	}
	return false
}

// finished tells whether every partition has reached its stopAt or is halted.
func (w *worker) finished() bool {
	for part, c := range w.cursors {
		if part.stopAt < 0 || c.read < part.stopAt && c.halt == nil && !part.halted() {
			return false
		}
	}
	return true
}
