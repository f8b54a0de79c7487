package consumers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/kafkalog"
)

// outcome is how a record ends. There is no fourth way.
type outcome int

const (
	applied      outcome = iota // folded, or of a kind that has no effect in this group
	repeated                    // its effect was there before
	deadLettered                // kept for a person to look at
	outcomeCount

	none // of no record: the position is only advanced
)

// The reasons for a dead letter beside those of package events.
const (
	reasonSource     = "source"       // who wrote it may not
	reasonSignature  = "signature"    // it claims to be of our relay, which did not publish it as it is
	reasonNumber     = "number"       // another event had its number in its relay term
	reasonAside      = "set_aside"    // its source was set aside before
	reasonUnknown    = "unknown_type" // of our namespace, but this version does not know it
	reasonKey        = "key"          // the key or the partition is not that of its user or application
	reasonRefused    = "refused"      // the database does not accept it
	reasonPanic      = "panic"        // folding it failed in our code
	reasonUnreadable = "unreadable"   // its batch cannot be taken apart

	// ReasonConflict marks a record whose effect is there with other content.
	ReasonConflict = "conflict"
)

// refusal is why a record becomes a dead letter.
type refusal struct{ reason, detail string }

func (r *refusal) Error() string { return r.reason + ": " + r.detail }

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

var (
	refusedByPanic    = refuse(reasonPanic, "folding it failed in our code")
	refusedByConflict = refuse(ReasonConflict, "an event with the same identity and other content was applied before")
)

// letter is the dead letter of a record.
func (r *refusal) letter(part *partition, record *kafkalog.Record) ledger.Letter {
	return ledger.Letter{Partition: part.id, Record: record.Clone(), Reason: r.reason, Detail: events.CleanText(r.detail, 1000)}
}

// errSpoiled tells that a record left the open batch in an unknown state: it has to be folded anew without it.
var errSpoiled = errors.New("the batch is spoiled")

// errLater tells that the open batch has to be written before a record can be decided on.
var errLater = errors.New("the record belongs to the next batch")

// use decides on one record and takes it into the open batch. A halt means that the record was not used and the partition
// has to stop before it; an error ends the session.
func (w *worker) use(ctx context.Context, part *partition, c *cursor, r *kafkalog.Record) (halt *ledger.Halt, err error) {
	e := entry{part: part, offset: r.Offset, next: r.Last + 1, epoch: r.Epoch, at: r.Time}
	err = w.decide(ctx, c, r, &e)
	var refused *refusal
	switch {
	case errors.Is(err, errLater):
		w.closing = true
		return nil, nil
	case errors.As(err, &halt):
		return halt, nil
	case errors.As(err, &refused):
		letter := refused.letter(part, r)
		e.outcome, e.event, e.letter = deadLettered, nil, &letter
		w.batch.bytes += letter.Size()
	case err != nil:
		return nil, err
	}
	if e.deduplicated() && !w.holding {
		w.closing = true
		return nil, nil
	}
	if w.holding {
		w.hold(e)
	} else if halt, err = w.applyNow(&e); halt != nil || err != nil {
		return halt, err
	}
	if e.stamp.Seq > 0 {
		c.seen[e.stamp.Relay] = e.sequence()
		c.newestKey = max(c.newestKey, e.key)
	}
	c.read = e.next
	w.batch.records++
	w.batch.erases = w.batch.erases || e.event != nil && e.event.Type == events.TypeUserErased
	return nil, nil
}

// applyNow folds a record that is not held. When our code fails midway, what it left in the batch is unknown, so the batch
// is given up; the second time, the record becomes a dead letter before it is folded.
func (w *worker) applyNow(e *entry) (halt *ledger.Halt, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			w.logPanic(e, crash)
			e.part.failed[e.offset] = struct{}{}
			err = errSpoiled
		}
	}()
	return w.apply(e), nil
}

func (w *worker) logPanic(e *entry, crash any) {
	w.s.cfg.Log.Error("folding a record failed in our code: this is a bug", "group", w.s.log.Group, "topic", w.s.log.Topic,
		"partition", e.part.id, "offset", e.offset, "error", fmt.Sprint(crash), "stack", string(debug.Stack()))
}

// decide fills in what is to become of a record. Its error is a *refusal, a *ledger.Halt, or one that ends the session.
func (w *worker) decide(ctx context.Context, c *cursor, r *kafkalog.Record, e *entry) (err error) {
	defer func() {
		if crash := recover(); crash != nil {
			w.logPanic(e, crash)
			w.decoder = events.NewDecoder()
			err = refusedByPanic
		}
	}()
	_, dead := e.part.dead[r.Offset]
	if r.Err != nil {
		if dead {
			e.outcome = deadLettered
			return nil
		}
		e.source = noSource
		return refuse(reasonUnreadable, "%v", r.Err)
	}
	head, data, headErr := w.decoder.Open(r.Headers, r.Value)
	if headErr != nil {
		head = events.Head{Stamp: StampOf(r.Headers)} // a redriven record may be as broken as before
	}
	repeat, err := w.checkSequence(ctx, c, &head, r, e)
	var hole *ledger.Halt
	if dead && (err == nil || errors.As(err, &hole) || isRefusal(err)) {
		e.outcome = deadLettered // also when its number came too early: it was passed over for that
		return nil
	}
	if repeat {
		e.outcome = repeated
	}
	if err != nil {
		return err
	}
	if repeat {
		if headErr != nil {
			return nil
		}
		return w.decideRepeat(ctx, r, data, &head, e)
	}
	if _, failed := e.part.failed[r.Offset]; failed {
		return refusedByPanic
	}
	if headErr != nil {
		if !e.own {
			e.source = noSource
		}
		return asRefusal(headErr)
	}
	if head.Relay.IsZero() && head.Source != w.s.source {
		e.source = head.Source
		if e.part.isAside(e.source, e.offset) {
			e.source = ""
			return refuse(reasonAside, "too many records of its source could not be applied; see applylens sources show")
		}
	}
	if err := w.checkSource(&head); err != nil {
		return err
	}
	return w.decideType(ctx, r, data, &head, e)
}

// decideType passes over what has no effect in this group.
func (w *worker) decideType(ctx context.Context, r *kafkalog.Record, data []byte, head *events.Head, e *entry) error {
	switch {
	case head.Type == events.TypeUnknown && !e.own:
		return refuse(reasonUnknown, "it is of a type of ours that this version does not know; redrive it after an upgrade")
	case head.Type == events.TypeUnknown:
		return ledger.NewHalt(ledger.ReasonUnknownType, w.s.where(e.part.id, -1), "the record at offset %d is of a type that this version does not know", r.Offset)
	case head.RedriveGroup != "" && head.RedriveGroup != w.s.log.Group:
		return nil
	case !slices.Contains(w.s.cfg.Group.Folds, head.Type):
		return nil
	}
	if head.RedrivenFrom != "" {
		if w.batch.erases {
			return errLater // the look-up would not see whom the batch erases
		}
		if done, err := w.nothingToRedrive(ctx, head.RedrivenFrom); err != nil || done {
			return err
		}
	}
	if err := w.decidePayload(r, data, head, e); err != nil {
		return err
	}
	return w.decideErasure(ctx, e)
}

// nothingToRedrive tells whether the record that was redriven has nothing more to effect: this version applied it, since
// it became a dead letter only in a later one, whose fold is stricter; or its person was erased since.
func (w *worker) nothingToRedrive(ctx context.Context, from string) (done bool, err error) {
	parts := strings.Split(from, "/")
	if len(parts) != 4 {
		return false, nil
	}
	topic, topicErr := events.ParseUUID(parts[1])
	partition, partitionErr := strconv.Atoi(parts[2])
	offset, offsetErr := strconv.ParseInt(parts[3], 10, 64)
	if topicErr != nil || partitionErr != nil || offsetErr != nil {
		return false, nil
	}
	err = w.retry(ctx, "looking up a redriven record", func() error {
		since, erased, err := ledger.Redriven(ctx, w.s.cfg.Pool, w.s.log.Group, topic, partition, offset)
		done = erased || since > w.s.log.Version
		return err
	})
	return done, err
}

// readsAgain tells whether a record is one that was folded before, by a group that does not remember its events: since folding
// them again is harmless, those that are read again are folded again. Then what takes them away has to be folded again too.
func (w *worker) readsAgain(e *entry) bool {
	return w.forgetful && e.offset < e.part.rereadTo
}

// decideRepeat decides on a record of our relay that was applied before. Sent again, it has no effect; read again, it has the
// effect that others have that are read again.
func (w *worker) decideRepeat(ctx context.Context, r *kafkalog.Record, data []byte, head *events.Head, e *entry) error {
	group := w.s.cfg.Group
	if !w.readsAgain(e) || head.RedriveGroup != "" && head.RedriveGroup != group.Name || !slices.Contains(group.Folds, head.Type) {
		return nil
	}
	if err := w.decidePayload(r, data, head, e); err != nil {
		e.event = nil
		return nil // as before
	}
	e.effect = ledger.Effect{}
	if head.Type != events.TypeUserErased {
		return nil
	}
	again, err := w.erasesAgain(ctx, e)
	if !again {
		e.event = nil
	}
	return err
}

// erasesAgain tells whether an erasure that was applied before is read where it was read then, or in a log that replaced that
// one, where all that it erased is read before it. Anywhere else it was sent again, and would erase what came since.
func (w *worker) erasesAgain(ctx context.Context, e *entry) (again bool, err error) {
	if w.batch.erases {
		return false, errLater // the look-up would not see what the batch erases
	}
	err = w.retry(ctx, "looking up an erasure", func() error {
		before, err := w.s.log.Applied(ctx, w.s.cfg.Pool, effectKey(e.event))
		switch {
		case before.Placed:
			again = before.Partition == e.part.id && before.Offset == e.offset
		default:
			again = before.Known || e.own
		}
		return err
	})
	return again, err
}

// decidePayload decodes the data of a record of a kind that has an effect here.
func (w *worker) decidePayload(r *kafkalog.Record, data []byte, head *events.Head, e *entry) error {
	if err := w.decoder.Decode(head, data, &w.event); err != nil {
		return asRefusal(err)
	}
	if w.event.Key() != string(r.Key) {
		return refuse(reasonKey, "the key is not that of its user or application")
	}
	if !w.rightPartition(r.Key, e.part.id) {
		return refuse(reasonKey, "partition %d is not that of its key: producers must partition by murmur2", e.part.id)
	}
	if head.Source != w.s.source && slices.Contains(w.s.cfg.Group.Deduplicated, head.Type) {
		e.effect = ledger.Effect{Key: effectKey(&w.event), Hash: events.ContentHash(&w.event)}
		e.force = head.RedriveForce
	}
	e.event = &w.event
	return nil
}

// decideErasure lets another producer's erasure be applied again where it is read again.
func (w *worker) decideErasure(ctx context.Context, e *entry) error {
	if e.event.Type != events.TypeUserErased || !e.deduplicated() || !w.readsAgain(e) {
		return nil
	}
	again, err := w.erasesAgain(ctx, e)
	if again {
		e.effect, e.outcome = ledger.Effect{}, repeated
	}
	return err
}

func isRefusal(err error) bool {
	var refused *refusal
	return errors.As(err, &refused)
}

func asRefusal(err error) error {
	var refused *events.Error
	if errors.As(err, &refused) {
		return refuse(string(refused.Reason), "%s", refused.Error())
	}
	return refuse("malformed", "it cannot be decoded")
}

func (w *worker) rightPartition(key []byte, partition int) bool {
	for _, count := range w.s.counts {
		if events.Partition(key, count) == partition {
			return true
		}
	}
	return false
}

// checkSequence looks at the number of a record that carries a stamp of our relay, notes it in e, and tells whether it was
// applied before. A number that is missing in the log halts the partition. It is what the idempotent producer does, with
// PostgreSQL as the memory. A record that our relay did not publish as it is is refused; its number is not followed.
func (w *worker) checkSequence(ctx context.Context, c *cursor, head *events.Head, r *kafkalog.Record, e *entry) (repeat bool, err error) {
	if head.Relay.IsZero() || failpoint.Broken("stamps") {
		return false, nil
	}
	term, err := w.verifier.Check(ctx, e.part.id, head.Relay, r)
	if err != nil {
		return false, err
	}
	e.own = true
	last, seen := c.seen[head.Relay]
	if !seen {
		last, seen = e.part.sequences[head.Relay]
	}
	switch {
	case head.Seq == last.Seq && last.ID != "" && head.ID != "" && head.ID != last.ID:
		return false, refuse(reasonNumber, "number %d of relay term %s was event %s before", head.Seq, head.Relay, last.ID)
	case head.Seq <= last.Seq:
		return true, nil
	case term.Key < c.newestKey:
		// Terms are published one after the other. Whoever has got hold of a key that was replaced cannot go on with its terms.
		return false, refuse(reasonSignature, "it is a new record by relay key %d, which key %d has replaced in this partition", term.Key, c.newestKey)
	case head.Seq == last.Seq+1, !seen && e.part.beganAt > 0 && !term.Began.After(e.part.createdAt):
	default:
		return false, ledger.NewHalt(ledger.ReasonSequence, w.s.where(e.part.id, -1),
			"number %d of relay term %s follows %d: the records between them are not before it in the log", head.Seq, head.Relay, last.Seq)
	}
	e.stamp, e.id, e.key = head.Stamp, head.ID, term.Key
	return false, nil
}

// checkSource refuses records whose source does not fit their stamp. A redriven record keeps the source of its first
// producer and carries the stamp of the relay.
func (w *worker) checkSource(head *events.Head) error {
	stamped, own := !head.Relay.IsZero(), head.Source == w.s.source
	switch {
	case own && !stamped:
		return refuse(reasonSource, "it has our source but no stamp of our relay")
	case stamped && !own && head.RedrivenFrom == "" && head.Type != events.TypeVoid:
		return refuse(reasonSource, "it has a stamp of our relay but another source")
	case !own && !stamped && len(w.s.cfg.AllowedSources) > 0 && !slices.Contains(w.s.cfg.AllowedSources, head.Source):
		return refuse(reasonSource, "its source is not among --allowed-sources")
	}
	return nil
}

// effectKey identifies the effect of an event within its user: 128 bits of a SHA-256, so that nobody can make one
// that collides with another's, and nothing of a person is kept.
func effectKey(event *events.Event) events.UUID {
	effect := events.EffectID(event)
	buffer := make([]byte, 0, 128)
	buffer = append(buffer, effect[:]...)
	buffer = append(buffer, event.UserID()...)
	sum := sha256.Sum256(buffer)
	return events.UUID(sum[:16])
}
