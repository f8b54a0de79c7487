package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/postgres"
)

// worker folds several partitions, one transaction at a time. Everything in it belongs to one goroutine.
//
// It keeps no raw records for a second try: a transaction that failed for a passing reason is repeated with what was
// folded; one that met data that PostgreSQL refuses is undone, and the same records are read again in halves until
// the one record is alone.
type worker struct {
	s       *session
	parts   []*partition
	readers *readers
	decoder *events.Decoder
	event   events.Event
	stamp   events.Stamp // of the record being folded, when its number is the next

	limit   int // most records of the next batch
	careful int // batches for which effects are looked up before they are folded, since repeats were met

	cursors map[*partition]*cursor
	current *partition // whose chunk is half consumed; nil when none is
	batch   pending
}

// cursor is how far the open batch has come in one partition.
type cursor struct {
	chunk    *chunk
	at       int // the next record of chunk
	known    map[events.UUID]uint64
	caughtUp bool
	fault    *HaltError // found behind the records of the batch

	next     int64
	epoch    int32
	last     time.Time
	seqs     map[events.UUID]int64
	outcomes [outcomeCount]int64
	breaker  breaker
}

// pending is what the open batch will write.
type pending struct {
	effects  Batch
	records  int
	bytes    int // of dead letters
	repeats  map[events.UUID]uint64
	letters  []deadLetter
	erasures []erasure
	newest   *partition // of the record that was folded last
	offset   int64      // of that record
}

func newWorker(s *session, parts []*partition) *worker {
	return &worker{
		s: s, parts: parts, decoder: events.NewDecoder(), limit: s.cfg.BatchRecords,
		cursors: map[*partition]*cursor{},
		batch:   pending{effects: s.cfg.Group.NewBatch(), repeats: map[events.UUID]uint64{}},
	}
}

// run folds until ctx ends, the positions are lost, or every partition has reached its stopAt.
func (w *worker) run(ctx context.Context) error {
	defer func() { w.readers.close() }()
	w.restart(ctx)
	pacer := pacer{s: w.s, workers: min(w.s.cfg.Workers, len(w.s.parts)) * max(1, w.s.cfg.beside)}
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
		if w.batch.records == 0 && !w.moved() && !w.faulty() {
			return nil // every partition has reached its end
		}
		pacer.took(w.batch.records)
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
}

// restart forgets the open batch and reads on from the committed positions.
func (w *worker) restart(ctx context.Context) {
	if w.readers != nil {
		w.readers.close()
	}
	for _, part := range w.parts {
		w.cursors[part] = &cursor{next: part.committed.next, epoch: part.committed.leaderEpoch, seqs: map[events.UUID]int64{}, breaker: part.breaker}
	}
	w.current = nil
	w.clearBatch()
	w.readers = w.s.startReaders(ctx, w.parts)
}

func (w *worker) clearBatch() {
	w.batch.effects.Reset()
	clear(w.batch.repeats)
	w.batch.letters = w.batch.letters[:0]
	w.batch.erasures = w.batch.erasures[:0]
	w.batch.records, w.batch.bytes = 0, 0
}

// fill waits for records and folds them into the batch until it is full, the log has no more, or the linger is over.
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
		if w.batch.records > 0 || w.moved() || w.faulty() {
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

// refreshDead follows what the live version adds to the dead letters while this version is being built: a record's
// outcome in an earlier version is its outcome in this one.
func (w *worker) refreshDead(ctx context.Context) error {
	if !w.s.place.version.Shadow {
		return nil
	}
	for _, part := range w.parts {
		if err := w.s.readDead(ctx, w.s.cfg.Pool, part); err != nil {
			return err
		}
	}
	return nil
}

// alreadyOver is a timer that has fired, for a receive that does not wait.
var alreadyOver = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// receive takes the next chunk or fault from the readers; false means that wait was over first.
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

func (w *worker) take(f fed) {
	failpoint.Hit("after_fetch")
	c := w.cursors[f.part]
	if f.fault != nil {
		c.fault, c.caughtUp = f.fault, true
		return
	}
	c.chunk, c.at, c.known = f.chunk, 0, nil
	c.caughtUp = f.chunk.caughtUp()
	if c.fault != nil {
		c.chunk = nil // what stands behind a fault is not for us
		return
	}
	w.current = f.part
}

// consume folds records of the partition's chunk until it is used up or the batch is full.
func (w *worker) consume(ctx context.Context, part *partition) error {
	c := w.cursors[part]
	if w.careful > 0 && c.known == nil {
		known, err := w.lookUp(ctx, part, c.chunk.records[c.at:])
		if err != nil {
			return err
		}
		c.known = known
	}
	for c.at < len(c.chunk.records) && !w.full() {
		r := &c.chunk.records[c.at]
		if part.stopAt >= 0 && r.offset >= part.stopAt {
			break
		}
		fault, err := w.fold(ctx, part, c, r)
		if err != nil {
			return err
		}
		if fault != nil {
			c.fault, c.chunk, w.current, c.caughtUp = fault, nil, nil, true
			return nil
		}
		c.next, c.epoch, c.last = r.offset+1, max(r.epoch, c.epoch), storable(r.time)
		c.at++
		w.batch.records++
		w.batch.newest, w.batch.offset = part, r.offset
	}
	if c.at < len(c.chunk.records) && w.full() {
		return nil
	}
	end := c.chunk.next
	if part.stopAt >= 0 {
		end = min(end, part.stopAt)
	}
	if end > c.next {
		c.next, c.epoch = end, max(c.chunk.epoch, c.epoch)
	}
	c.chunk, w.current = nil, nil
	return nil
}

func (w *worker) full() bool {
	return w.batch.records >= w.limit || w.batch.bytes+w.batch.effects.Size()+24*len(w.batch.repeats) >= w.s.cfg.BatchBytes
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
		if c.next != part.committed.next {
			return true
		}
	}
	return false
}

func (w *worker) faulty() bool {
	for part, c := range w.cursors {
		if _, known := part.standing.get(); c.fault != nil && known == nil {
			return true
		}
	}
	return false
}

// finished tells whether every partition has reached its stopAt or stands still.
func (w *worker) finished() bool {
	for part, c := range w.cursors {
		_, halted := part.standing.get()
		if part.stopAt < 0 || c.next < part.stopAt && c.fault == nil && halted == nil {
			return false
		}
	}
	return true
}

// flush writes the batch, however long PostgreSQL takes to accept it, and then halts what met a fault.
func (w *worker) flush(ctx context.Context) error {
	advances := w.advances()
	for attempt, unsure := 0, false; ; attempt++ {
		began := time.Now()
		committing, err := w.write(ctx, advances)
		if errors.Is(err, errFenced) && unsure {
			err = w.settle(ctx, advances)
		}
		unsure = unsure || committing && err != nil
		switch w.classify(err) {
		case done:
			return w.committed(ctx, advances, began)
		case fenced:
			w.s.cfg.Metrics.fenced.WithLabelValues(w.s.place.group).Inc()
			return errFenced
		case repeated:
			w.careful = 20
			w.restart(ctx)
			return nil
		case refused:
			return w.bisect(ctx, err)
		case broken:
			return w.haltAll(ctx, err)
		}
		w.s.cfg.Metrics.retries.WithLabelValues(w.s.place.group).Inc()
		w.s.cfg.Log.Warn("folding has to wait", "group", w.s.place.group, "version", w.s.place.version.Number, "attempt", attempt+1, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// settle decides what a compare-and-set that found nothing means after a COMMIT without an answer.
func (w *worker) settle(ctx context.Context, advances []advance) error {
	landed, err := w.s.place.landed(ctx, w.s.cfg.Pool, advances)
	if err != nil {
		return err
	}
	if !landed {
		return errFenced
	}
	return nil
}

// verdict is what the outcome of a transaction asks for.
type verdict int

const (
	done     verdict = iota
	again            // wait and repeat
	fenced           // somebody else owns a position
	repeated         // an effect was there already: look before folding
	refused          // a record is not acceptable
	broken           // the schema, the rights or our code
)

// errRepeats tells that an unstamped event of the batch had its effect before.
var errRepeats = errors.New("the batch holds repeats")

func (w *worker) classify(err error) verdict {
	switch {
	case err == nil:
		return done
	case errors.Is(err, errFenced):
		return fenced
	case errors.Is(err, errRepeats):
		return repeated
	}
	switch postgres.Classify(err) {
	case postgres.Permanent:
		return refused
	case postgres.Halt:
		return broken
	}
	return again
}

// advances lists what the batch does to the positions, in the order of their partitions.
func (w *worker) advances() []advance {
	var result []advance
	for _, part := range w.parts {
		c := w.cursors[part]
		if c.next == part.committed.next {
			continue
		}
		result = append(result, advance{
			partition: part.id, expected: part.committed.next, ownerEpoch: part.committed.ownerEpoch,
			next: c.next, leaderEpoch: c.epoch, lastEventAt: c.last,
			applied: c.outcomes[applied], repeated: c.outcomes[wasRepeated], deadLettered: c.outcomes[deadLettered],
		})
	}
	return result
}

// write runs the transaction. committing tells whether COMMIT was sent, after which an error leaves the outcome open.
func (w *worker) write(ctx context.Context, advances []advance) (committing bool, err error) {
	if len(advances) == 0 {
		return false, nil
	}
	// A generation that ends must not cut a transaction short: it has its own deadline.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.s.cfg.BatchDeadline)
	defer cancel()
	tx, err := w.s.cfg.Pool.Begin(ctx)
	if err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing, and its failure closes the connection
	failpoint.Hit("after_begin")
	guarded := !failpoint.Broken("cas")
	if err := w.s.place.compareAndSet(ctx, tx, advances, guarded); err != nil {
		return false, err
	}
	failpoint.Hit("after_cas")
	if err := w.writeMemory(ctx, tx); err != nil {
		return false, err
	}
	version := w.s.place.version
	version.Fresh = version.Shadow && w.fresh()
	if err := w.batch.effects.Write(ctx, tx, version); err != nil {
		return false, fmt.Errorf("write effects: %w", err)
	}
	failpoint.Hit("after_effects")
	if err := w.s.place.addDeadLetters(ctx, tx, w.batch.letters); err != nil {
		return false, err
	}
	if len(w.batch.letters) > 0 {
		failpoint.Hit("deadletter_after_insert")
	}
	if err := w.s.place.obey(ctx, tx, w.s.cfg.Group.Tables, w.batch.erasures); err != nil {
		return false, err
	}
	failpoint.Hit("before_commit")
	if err := tx.Commit(ctx); err != nil {
		return !errors.Is(err, pgx.ErrTxCommitRollback), fmt.Errorf("commit: %w", err)
	}
	failpoint.Hit("after_commit")
	return true, nil
}

// fresh tells whether all partitions of the batch stand where reading them began.
func (w *worker) fresh() bool {
	for _, part := range w.parts {
		if part.committed.next != part.committed.beganAt {
			return false
		}
	}
	return true
}

// writeMemory adds the numbers and effects by which repeats are known later.
func (w *worker) writeMemory(ctx context.Context, tx pgx.Tx) error {
	p := &w.s.place
	var partitions []int32
	var relays []events.UUID
	var seqs []int64
	for _, part := range w.parts {
		for relay, seq := range w.cursors[part].seqs {
			partitions, relays, seqs = append(partitions, int32(part.id)), append(relays, relay), append(seqs, seq)
		}
	}
	if len(seqs) > 0 {
		if _, err := tx.Exec(ctx, addSequencesSQL, p.group, p.version.Number, p.topic, partitions, relays, seqs); err != nil {
			return fmt.Errorf("add relay numbers: %w", err)
		}
	}
	if len(w.batch.repeats) == 0 {
		return nil
	}
	keys, hashes := make([]events.UUID, 0, len(w.batch.repeats)), make([]int64, 0, len(w.batch.repeats))
	for key, hash := range w.batch.repeats {
		keys, hashes = append(keys, key), append(hashes, int64(hash))
	}
	tag, err := tx.Exec(ctx, addRepeatsSQL, p.group, p.version.Number, keys, hashes)
	if err != nil {
		return fmt.Errorf("add effects: %w", err)
	}
	if tag.RowsAffected() != int64(len(keys)) {
		return errRepeats
	}
	return nil
}

// committed takes the batch over into what is known, and begins the next one.
func (w *worker) committed(ctx context.Context, advances []advance, began time.Time) error {
	shadow := w.s.place.version.Shadow
	if !shadow && len(advances) > 0 {
		w.batch.effects.Committed()
		w.s.cfg.Metrics.count(w.s.place.group, advances, w.batch.letters, began, time.Now())
	}
	for _, part := range w.parts {
		c := w.cursors[part]
		if c.next != part.committed.next && w.s.mirror != nil {
			w.s.mirror.add(part.id, c.next)
		}
		part.committed.next, part.committed.leaderEpoch = c.next, c.epoch
		part.standing.move(c.next, c.epoch)
		for relay, seq := range c.seqs {
			part.seqs[relay] = seq
		}
		clear(c.seqs)
		c.outcomes = [outcomeCount]int64{}
		part.breaker = c.breaker
		if _, known := part.standing.get(); c.fault != nil && known == nil {
			if err := w.s.haltPatiently(ctx, part, c.fault); err != nil {
				return err
			}
		}
	}
	w.limit = min(2*w.limit, w.s.cfg.BatchRecords)
	w.careful = max(0, w.careful-1)
	w.clearBatch()
	return nil
}

// haltPatiently halts a partition, waiting for PostgreSQL as long as it is away.
func (s *session) haltPatiently(ctx context.Context, part *partition, fault *HaltError) error {
	for attempt := 0; ; attempt++ {
		err := s.halt(ctx, part, fault)
		if err == nil || errors.Is(err, errFenced) {
			return err
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// bisect reads the refused batch again in halves; a record that is refused alone becomes a dead letter, and one that is
// refused even so halts the partition.
func (w *worker) bisect(ctx context.Context, cause error) error {
	switch w.batch.records {
	case 0:
		return fmt.Errorf("the database refused to move a position: %w", cause)
	case 1:
		if w.batch.newest.refused[w.batch.offset] != nil { // as a dead letter, too
			return w.haltAll(ctx, cause)
		}
		w.batch.newest.refuse(w.batch.offset, refuse(reasonRefused, "%s", describe(cause)))
	default:
		w.limit = w.batch.records / 2
	}
	w.restart(ctx)
	return nil
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
	fault := halt(HaltDatabase, "%s: %v; run applylens migrate, or check the rights of the role; it is tried again every 30 s", "the database refused the transaction", cause)
	for part, c := range w.cursors {
		if c.next == part.committed.next {
			continue
		}
		if err := w.s.haltPatiently(ctx, part, fault); err != nil {
			return err
		}
	}
	w.restart(ctx)
	return nil
}
