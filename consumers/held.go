package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/postgres"
)

// held are the records of a batch that are decided but not folded, in the order in which they were read. Their transaction
// first claims the effects of those that other producers wrote; then it folds the events whose effect is new. Since
// nothing is folded before, any part of them can be written by itself: a batch that the database refuses is written again in
// halves, until the refused record is alone, without reading the log again.
type held struct {
	entries []entry
	take    int  // how many of them the next transaction is about
	claims  bool // some of them have to be deduplicated by their effect
	keeper  events.Keeper

	// Memory that is used again.
	room    []entry               // of entries, from its beginning
	firsts  map[events.UUID]int32 // the first entry of each effect
	effects []ledger.Effect
}

// entry is what becomes of one record or, with the outcome none, of a stretch of the log without any.
type entry struct {
	part    *partition
	offset  int64
	next    int64 // the position behind it
	epoch   int32
	at      time.Time
	own     bool           // our relay published it
	source  string         // whose quota it counts for; empty for none
	stamp   events.Stamp   // of our relay, when its number is the next
	id      string         // the event's, with a stamp
	key     int            // the number of the key that signed it, with a stamp
	outcome outcome        // as far as it is known before the database was asked
	event   *events.Event  // to be folded; nil when there is nothing to fold
	effect  ledger.Effect  // by which the event is deduplicated; zero when it is not
	force   bool           // an operator wants it folded even if its effect is there with other content
	letter  *ledger.Letter // for a record that cannot be applied

	repeat  bool     // the database has its effect already
	refused *refusal // why it has to become a dead letter after all; its record is to be read again for that
}

// entrySize is roughly how many bytes an entry takes beside its event.
const entrySize = 296

// sequence is what is remembered of the entry's stamp.
func (e *entry) sequence() ledger.Sequence {
	return ledger.Sequence{Seq: e.stamp.Seq, ID: e.id, Key: e.key}
}

func (e *entry) deduplicated() bool { return e.event != nil && e.effect != ledger.Effect{} }

// hold adds a record to those that are held.
func (w *worker) hold(e entry) {
	h := &w.batch.held
	w.batch.bytes += entrySize
	if e.event != nil {
		h.claims = h.claims || e.deduplicated()
		kept, size := h.keeper.Keep(e.event)
		e.event = kept
		w.batch.bytes += size
	}
	h.entries = append(h.entries, e)
	h.take, h.room = len(h.entries), h.entries
}

// pass advances the position over a stretch without records.
func (w *worker) pass(part *partition, c *cursor, end int64) {
	if end <= c.read {
		return
	}
	e := entry{part: part, offset: end, next: end, epoch: c.chunk.Epoch, outcome: none}
	if w.holding {
		w.hold(e)
	} else {
		w.apply(&e)
	}
	c.read = end
}

func (h *held) reset() {
	clear(h.room) // so that no letter outlives its batch
	h.entries, h.take, h.claims = h.room[:0], 0, false
	h.keeper.Reset()
}

// apply folds an entry into the open batch. A halt means that it was not used.
func (w *worker) apply(e *entry) *ledger.Halt {
	c, b := w.cursors[e.part], &w.batch
	if e.outcome == none {
		c.next, c.epoch = e.next, max(e.epoch, c.epoch)
		return nil
	}
	switch {
	case e.source != "":
		w.countSource(e)
	case e.own && c.breaker.add(e.letter != nil):
		return ledger.NewHalt(ledger.ReasonDeadLetters, w.s.where(e.part.id, -1),
			"more than %d of 1,000 records of our relay cannot be applied, the last at offset %d", c.breaker.limit, e.offset)
	}
	result := e.outcome
	switch {
	case e.letter != nil:
		b.letters = append(b.letters, *e.letter)
	case e.repeat:
		result = repeated
	case e.event != nil:
		b.effects.Add(e.event)
		if e.event.Type == events.TypeUserErased {
			erasure := ledger.Erasure{User: e.event.Erasure.UserID, RecordedAt: e.event.Erasure.RecordedAt, Partition: e.part.id, Offset: e.offset}
			if w.forgetful {
				erasure.Effect = effectKey(e.event)
			}
			b.erasures = append(b.erasures, erasure)
		}
	}
	if e.stamp.Seq > 0 {
		c.sequences[e.stamp.Relay] = e.sequence()
	}
	c.outcomes[result]++
	c.next, c.epoch, c.last = e.next, max(e.epoch, c.epoch), e.at
	return nil
}

// The ways in which writing what is held has to begin anew, with other entries.
var (
	errTruncated = errors.New("the batch is to be written only in part, or without what is behind a halt")
	errRefused   = errors.New("records of the batch are to become dead letters")
)

// foldHeld claims the effects of what is held within tx, and folds what is new. It changes nothing but the open batch, so
// that it can be done again in another transaction.
func (w *worker) foldHeld(ctx context.Context, tx *postgres.Tx) error {
	entries := w.batch.held.entries[:w.batch.held.take]
	if claims := w.batch.held.distinctEffects(); len(claims) > 0 {
		w.s.log.Compare(tx, w.expected(entries))
		before, err := w.s.log.ClaimEffects(ctx, tx, claims)
		if err != nil {
			return err
		}
		whole, conflicts := w.batch.held.judge(before)
		if conflicts > 0 && !w.makeLettersSoon(ctx) {
			return errRefused
		}
		if whole < len(entries) {
			w.batch.held.take = whole
			return errTruncated
		}
	}
	w.beginFolding()
	for i := range entries {
		halt, err := w.applyHeld(&entries[i])
		if err != nil {
			return err
		}
		if halt != nil {
			w.truncate(i, halt)
			return errTruncated
		}
	}
	return nil
}

// beginFolding takes back what was folded of what is held.
func (w *worker) beginFolding() {
	w.batch.clearFolded()
	for _, part := range w.parts {
		w.cursors[part].progress = part.progress()
	}
}

// applyHeld folds one entry. When our code fails at it, it becomes a dead letter.
func (w *worker) applyHeld(e *entry) (halt *ledger.Halt, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			w.logPanic(e, crash)
			e.refused = refusedByPanic
			err = errRefused
		}
	}()
	return w.apply(e), nil
}

// distinctEffects lists the effects of what is taken, each once, with the content of the first entry.
func (h *held) distinctEffects() []ledger.Effect {
	if h.firsts == nil {
		h.firsts = map[events.UUID]int32{}
	}
	clear(h.firsts)
	h.effects = h.effects[:0]
	for i := range h.entries[:h.take] {
		e := &h.entries[i]
		if !e.deduplicated() {
			continue
		}
		if _, there := h.firsts[e.effect.Key]; !there {
			h.firsts[e.effect.Key] = int32(i)
			h.effects = append(h.effects, e.effect)
		}
	}
	return h.effects
}

// conflictsAtOnce bounds the records that are read again for one transaction, and kept in memory: the partition may halt
// after a few of them.
const conflictsAtOnce = 64

// judge tells repeats from conflicts, by the effects that were there before and those of earlier entries. It returns
// how many entries can be written together, and how many conflicts are among those. An entry with the effect of an earlier
// one and other content is left to the next transaction: whether that one has its effect is certain only then. So are
// conflicts that are too many.
func (h *held) judge(before map[events.UUID]uint64) (whole, conflicts int) {
	for i := range h.entries[:h.take] {
		e := &h.entries[i]
		if !e.deduplicated() {
			continue
		}
		e.repeat, e.refused = false, nil
		first := h.firsts[e.effect.Key]
		hash, stored := before[e.effect.Key]
		if !stored {
			hash = h.entries[first].effect.Hash
		}
		switch {
		case !stored && first == int32(i) || e.force:
		case hash == e.effect.Hash:
			e.repeat = true
		case !stored || conflicts == conflictsAtOnce:
			return i, conflicts
		default:
			e.refused = refusedByConflict
			conflicts++
		}
	}
	return h.take, conflicts
}

// expected are the positions from which entries advance.
func (w *worker) expected(entries []entry) []ledger.Advance {
	var list []ledger.Advance
	for _, part := range w.parts {
		for i := range entries {
			if entries[i].part == part {
				list = append(list, ledger.Advance{Partition: part.id, Expected: part.next, OwnerEpoch: part.ownerEpoch})
				break
			}
		}
	}
	return list
}

// truncate drops entry i and all later ones of its partition, which halts before it.
func (w *worker) truncate(i int, halt *ledger.Halt) {
	h := &w.batch.held
	part := h.entries[i].part
	kept := h.entries[:i]
	taken := h.take
	for j := i; j < len(h.entries); j++ {
		if h.entries[j].part != part {
			kept = append(kept, h.entries[j])
		} else if j < taken {
			h.take--
		}
	}
	clear(h.entries[len(kept):])
	h.entries = kept
	if h.take == 0 {
		h.take = len(kept)
	}
	w.beginFolding()
	w.stopBefore(part, halt)
	c := w.cursors[part]
	c.read = part.next
	for j := range kept {
		if kept[j].part == part {
			c.read = kept[j].next
		}
	}
}

// readAgainLimit bounds how long a transaction waits for Kafka.
const readAgainLimit = time.Second

// makeLettersSoon does what makeLetters does while a transaction is open, and tells whether it could at once. Nothing was
// claimed for a conflict, so that the transaction can go on.
func (w *worker) makeLettersSoon(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readAgainLimit)
	defer cancel()
	for _, part := range w.parts {
		if w.readRefused(ctx, part) != nil {
			return false
		}
	}
	return true
}

// makeLetters turns refused entries into dead letters, however long Kafka is away. Their records are read again for that.
func (w *worker) makeLetters(ctx context.Context) error {
	for _, part := range w.parts {
		if err := w.retry(ctx, "reading refused records again", func() error { return w.readRefused(ctx, part) }); err != nil {
			return err
		}
	}
	return nil
}

// readRefused reads the records of a partition's refused entries again, those of one fetch together.
func (w *worker) readRefused(ctx context.Context, part *partition) error {
	var waiting []*entry // in the order of the log
	for i := range w.batch.held.entries {
		if e := &w.batch.held.entries[i]; e.part == part && e.refused != nil && e.letter == nil {
			waiting = append(waiting, e)
		}
	}
	log := kafkalog.Reader{Conn: w.s.cfg.Broker, Topic: w.s.topic, MaxBytes: 16 << 10} // at least the whole batch comes
	for len(waiting) > 0 {
		chunk, err := log.Fetch(ctx, part.id, waiting[0].offset)
		if errors.Is(err, kafkalog.ErrOffsetOutOfRange) {
			waiting[0].becomeLetter(waiting[0].gone())
			waiting = waiting[1:]
			continue
		}
		if err != nil {
			return err
		}
		if chunk.Next <= waiting[0].offset { // its leader is new, and does not show all of its log yet
			chunk.Release()
			return fmt.Errorf("nothing came of %s/%d at %d", w.s.topic, part.id, waiting[0].offset)
		}
		waiting = takeRecords(chunk, waiting)
		chunk.Release()
	}
	return nil
}

// takeRecords makes letters of the entries whose records a chunk has, or lacks although it begins with the first, and
// returns the others.
func takeRecords(chunk *kafkalog.Chunk, waiting []*entry) []*entry {
	first := waiting[0].offset
	for r := chunk.Read(); r != nil && len(waiting) > 0; r = chunk.Read() {
		for len(waiting) > 0 && waiting[0].offset < r.Offset { // it was compacted away
			waiting[0].becomeLetter(waiting[0].gone())
			waiting = waiting[1:]
		}
		if len(waiting) > 0 && waiting[0].offset == r.Offset {
			waiting[0].becomeLetter(r)
			waiting = waiting[1:]
		}
	}
	if len(waiting) > 0 && waiting[0].offset == first {
		waiting[0].becomeLetter(waiting[0].gone())
		waiting = waiting[1:]
	}
	return waiting
}

// gone stands for the record of an entry that the log no longer holds.
func (e *entry) gone() *kafkalog.Record {
	return &kafkalog.Record{Offset: e.offset, Last: e.offset, Epoch: e.epoch, Time: e.at, Err: errGone}
}

// becomeLetter makes a dead letter of a refused entry.
func (e *entry) becomeLetter(record *kafkalog.Record) {
	letter := e.refused.letter(e.part, record)
	e.outcome, e.event, e.effect, e.letter = deadLettered, nil, ledger.Effect{}, &letter
}

var errGone = errors.New("the log no longer holds the record")
