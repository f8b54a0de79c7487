package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// flush writes the batch, however long PostgreSQL takes to accept it, and then halts what met a fault.
func (w *worker) flush(ctx context.Context) error {
	for attempt, unsure := 0, false; ; attempt++ {
		began := time.Now()
		sent, err := w.write(ctx)
		if errors.Is(err, ledger.ErrFenced) && unsure {
			err = w.checkLanded(ctx)
		}
		unsure = unsure || sent && err != nil
		if unsure && postgres.Classify(err) == postgres.Timeout {
			unsure, err = w.settle(ctx, err)
		}
		why := w.classify(err, unsure)
		switch why {
		case done:
			more, err := w.committed(ctx, began)
			if err != nil || !more {
				return err
			}
			if ctx.Err() != nil { // what is left may be many transactions, and has not begun
				return ctx.Err()
			}
			attempt, unsure = -1, false
			continue
		case fenced:
			w.s.cfg.Metrics.fenced.WithLabelValues(w.s.log.Group).Inc()
			return ledger.ErrFenced
		case truncated:
			continue
		case unacceptable:
			if err := w.makeLetters(ctx); err != nil {
				return err
			}
			continue
		case refused, slow:
			if again, err := w.split(ctx, why, err); err != nil || !again {
				return err
			}
			continue
		case broken:
			return w.haltAll(ctx, err)
		}
		if postgres.Classify(err) == postgres.Timeout && w.batch.records <= 1 {
			w.allowLonger(ctx)
		}
		w.s.cfg.Metrics.retries.WithLabelValues(w.s.log.Group).Inc()
		w.s.cfg.Log.Warn("folding has to wait", "group", w.s.log.Group, "version", w.s.log.Version, "attempt", attempt+1, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// settle finds out by a short transaction, which waits for the one in doubt, whether that one landed, so that a batch which
// took too long need not be written as it is once more. cause is why it took too long; it stays the error if it did not land.
func (w *worker) settle(ctx context.Context, cause error) (unsure bool, err error) {
	comparing, cancel := w.s.finishing(ctx, w.s.cfg.BatchDeadline)
	defer cancel()
	err = postgres.InTx(comparing, w.s.cfg.Pool, func(tx *postgres.Tx) error {
		w.s.log.Compare(tx, w.batch.advances)
		return tx.Flush(comparing)
	})
	switch {
	case err == nil:
		return false, cause
	case errors.Is(err, ledger.ErrFenced):
		return true, w.checkLanded(ctx)
	}
	return true, cause
}

// checkLanded decides what a compare-and-set that found nothing means after a COMMIT without an answer.
func (w *worker) checkLanded(ctx context.Context) error {
	landed, err := w.s.log.Landed(ctx, w.s.cfg.Pool, w.batch.advances)
	if err != nil {
		return err
	}
	if !landed {
		return ledger.ErrFenced
	}
	return nil
}

// verdict is what the outcome of a transaction asks for.
type verdict int

const (
	done         verdict = iota
	again                // wait and repeat
	fenced               // somebody else owns a position
	truncated            // repeat without what is behind a halt
	unacceptable         // repeat with dead letters for some records
	refused              // a record is not acceptable to the database: find it
	slow                 // the transaction did not end in time: repeat with fewer records, or more time for a single one
	broken               // the schema, the rights or our code
)

func (w *worker) classify(err error, unsure bool) verdict {
	switch {
	case err == nil:
		return done
	case errors.Is(err, ledger.ErrFenced):
		return fenced
	case errors.Is(err, errTruncated):
		return truncated
	case errors.Is(err, errRefused):
		return unacceptable
	}
	switch class := postgres.Classify(err); {
	case class == postgres.Permanent:
		return refused
	case class == postgres.Halt:
		return broken
	case class == postgres.Timeout && !unsure && w.batch.records > 1: // otherwise the very same transaction may have landed
		return slow
	}
	return again
}

// advances lists what the batch does to the positions, in the order of their partitions.
func (w *worker) advances() []ledger.Advance {
	var result []ledger.Advance
	for _, part := range w.parts {
		c := w.cursors[part]
		if c.next == part.next {
			continue
		}
		result = append(result, ledger.Advance{
			Partition: part.id, Expected: part.next, OwnerEpoch: part.ownerEpoch,
			Next: c.next, LeaderEpoch: c.epoch, LastEventAt: c.last,
			Applied: c.outcomes[applied], Repeated: c.outcomes[repeated], DeadLettered: c.outcomes[deadLettered],
		})
	}
	return result
}

// mostDeadline bounds how long one transaction may take.
const mostDeadline = 6 * time.Hour

// allowLonger lets the next transaction take twice as long, since no smaller one would do: a single record may take longer than
// all others, such as the erasure of a person with a million mails. A server that does not answer at all gets no more time.
func (w *worker) allowLonger(ctx context.Context) {
	if postgres.Ping(ctx, w.s.cfg.Pool) == nil {
		w.deadline = min(2*w.deadline, max(mostDeadline, w.s.cfg.BatchDeadline))
	}
}

// limited returns the context of a transaction. When ctx ends, a long one may go on for as long as a usual one may take.
func (w *worker) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	usual := w.s.cfg.BatchDeadline
	limited, cancel := w.s.finishing(ctx, w.deadline)
	if w.deadline <= usual {
		return limited, cancel
	}
	stop := retry.CutAfter(ctx, usual, limited, cancel)
	return limited, func() { stop(); cancel() }
}

// drainLimit is how long a transaction may go on in a process that is told to end. It is a part of config.ShutdownTimeout: a database
// that does not answer must not keep the process from ending.
const drainLimit = 3 * time.Second

// finishing returns a context for a transaction that takes at most limit and is not cut short by the end of ctx, unless the process
// ends.
func (s *session) finishing(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := retry.CutAfter(s.cfg.process, drainLimit, limited, cancel)
	return limited, func() { stop(); cancel() }
}

// write runs the transaction. sent tells whether COMMIT was sent, after which an error leaves the outcome open.
func (w *worker) write(ctx context.Context) (sent bool, err error) {
	if w.batch.held.take == 0 && len(w.advances()) == 0 {
		w.batch.advances = nil
		return false, nil
	}
	// A generation that ends must not cut a transaction short: it has its own deadline.
	ctx, cancel := w.limited(ctx)
	defer cancel()
	tx, err := postgres.Begin(ctx, w.s.cfg.Pool)
	if err != nil {
		return false, err
	}
	defer tx.Rollback(ctx)
	if w.deadline > w.s.cfg.BatchDeadline {
		tx.AllowStatements(w.deadline)
	}
	if err := w.writeWithin(ctx, tx); err != nil {
		return false, err
	}
	if err := moment(ctx, tx, "before_commit"); err != nil {
		return false, err
	}
	if sent, err = tx.Commit(ctx); err != nil {
		return sent, err
	}
	failpoint.Hit("after_commit")
	return true, nil
}

// writeWithin queues or runs everything but COMMIT.
func (w *worker) writeWithin(ctx context.Context, tx *postgres.Tx) error {
	if err := moment(ctx, tx, "after_begin"); err != nil {
		return err
	}
	if w.holding {
		if err := w.foldHeld(ctx, tx); err != nil {
			return err
		}
	}
	b := &w.batch
	b.advances = w.advances()
	w.s.log.Advance(tx, b.advances)
	if err := moment(ctx, tx, "after_cas"); err != nil {
		return err
	}
	sequences := map[int]ledger.Sequences{}
	for _, part := range w.parts {
		sequences[part.id] = w.cursors[part].sequences
	}
	w.s.log.RaiseSequences(tx, sequences)
	version := Version{Number: w.s.log.Version, Shadow: w.s.log.Shadow, Fresh: w.s.log.Shadow && w.fresh()}
	if err := b.effects.Write(ctx, tx, version); err != nil {
		return fmt.Errorf("write effects: %w", err)
	}
	if err := moment(ctx, tx, "after_effects"); err != nil {
		return err
	}
	if err := w.s.log.AddLetters(ctx, tx, b.letters); err != nil {
		return err
	}
	if len(b.letters) > 0 {
		failpoint.Hit("deadletter_after_insert")
	}
	return w.s.log.ApplyErasures(ctx, tx, w.s.cfg.Group.Tables, b.erasures)
}

// moment marks a failpoint within a transaction. Only where failpoints are compiled in is everything before it sent first.
func moment(ctx context.Context, tx *postgres.Tx, name string) error {
	if failpoint.Enabled {
		if err := tx.Flush(ctx); err != nil {
			return err
		}
	}
	failpoint.Hit(name)
	return nil
}

// fresh tells whether all partitions of the batch are where reading them began.
func (w *worker) fresh() bool {
	for _, part := range w.parts {
		if part.next != part.beganAt {
			return false
		}
	}
	return true
}

// committed takes over what was written, and begins the next batch. more tells that entries are left to be written.
func (w *worker) committed(ctx context.Context, began time.Time) (more bool, err error) {
	b := &w.batch
	if !w.s.log.Shadow && len(b.advances) > 0 {
		b.effects.Committed()
		w.s.cfg.Metrics.count(w.s.log.Group, b.advances, b.letters, began, time.Now())
	}
	written := b.held.take
	b.held.entries = b.held.entries[written:]
	more = len(b.held.entries) > 0
	for _, part := range w.parts {
		if err := w.takeOver(ctx, part, more); err != nil {
			return false, err
		}
	}
	if more {
		w.deadline = w.s.cfg.BatchDeadline
		b.held.take = min(2*written, len(b.held.entries))
		b.clearFolded()
		return true, nil
	}
	w.limit, w.deadline = min(2*w.limit, w.s.cfg.BatchRecords), w.s.cfg.BatchDeadline
	w.suspects = max(0, w.suspects-b.records)
	switch {
	case w.closing:
		w.holding, w.closing = true, false
	case !b.held.claims && w.suspects == 0:
		w.holding = false
	}
	w.clearBatch()
	return false, nil
}

// takeOver makes the progress of a partition its committed position, and halts it where nothing is left before its halt.
func (w *worker) takeOver(ctx context.Context, part *partition, more bool) error {
	c := w.cursors[part]
	if c.next != part.next && w.s.mirror != nil {
		w.s.mirror.add(part.id, c.next)
	}
	part.next, part.epoch, part.breaker = c.next, c.epoch, c.breaker
	part.status.advance(c.next, c.epoch)
	for relay, last := range c.sequences {
		part.sequences[relay] = last
		part.newestKey = max(part.newestKey, last.Key)
	}
	if err := w.takeOverSources(ctx, part); err != nil {
		return err
	}
	c.progress = part.progress()
	if more {
		return nil
	}
	clear(c.seen)
	if c.halt == nil || part.halted() {
		return nil
	}
	return w.haltPatiently(ctx, part, c.halt)
}

// haltPatiently halts a partition, waiting for PostgreSQL as long as it is away.
func (w *worker) haltPatiently(ctx context.Context, part *partition, halt *ledger.Halt) error {
	return w.retryUnlessFenced(ctx, "halting a partition", func() error { return w.s.halt(ctx, part, halt) })
}

// split makes the next transaction be about half the records, since the database refused them or took too long. A record
// that is refused alone becomes a dead letter, and one that is refused even so halts the partition. It returns false when
// the batch is to be read again, so that its records can be told apart.
func (w *worker) split(ctx context.Context, why verdict, cause error) (again bool, err error) {
	b := &w.batch
	if why == slow {
		w.limit = max(1, min(w.limit, b.records)/2)
	}
	if !w.holding {
		if b.records == 0 {
			return false, fmt.Errorf("the database refused to move a position: %w", cause)
		}
		w.limit = min(w.limit, b.records)
		if why == refused {
			w.holding, w.suspects = true, b.records
		}
		w.restart(ctx)
		return false, nil
	}
	if b.held.take > 1 {
		b.held.take /= 2
		return true, nil
	}
	e := &b.held.entries[0]
	switch {
	case why == slow:
		w.allowLonger(ctx)
		return true, pause(ctx, 1)
	case e.outcome == none:
		return false, fmt.Errorf("the database refused to move a position: %w", cause)
	case e.letter != nil:
		return false, w.haltAll(ctx, cause)
	}
	e.refused = refuse(reasonRefused, "%s", describe(cause))
	return true, w.makeLetters(ctx)
}

// describe names what PostgreSQL objected to without repeating the data.
func describe(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return "refused by the database"
	}
	if pg.ConstraintName != "" {
		return fmt.Sprintf("refused by the database: %s (SQLSTATE %s)", pg.ConstraintName, pg.Code)
	}
	return fmt.Sprintf("refused by the database (SQLSTATE %s)", pg.Code)
}

// haltAll stops the partitions of a batch that the database cannot take as it is.
func (w *worker) haltAll(ctx context.Context, cause error) error {
	for part, c := range w.cursors {
		if c.read == part.next {
			continue
		}
		halt := ledger.NewHalt(ledger.ReasonDatabase, w.s.where(part.id, -1), "the database refused the transaction: %v", cause)
		if err := w.haltPatiently(ctx, part, halt); err != nil {
			return err
		}
	}
	w.restart(ctx)
	return nil
}
