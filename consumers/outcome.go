package consumers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
)

// outcome is how a record ends. There is no fourth way.
type outcome int

const (
	applied      outcome = iota // folded, or of a kind that has no effect in this group
	wasRepeated                 // its effect was there before
	deadLettered                // kept for a person to look at
	outcomeCount
)

// The reasons for a dead letter beside those of package events.
const (
	reasonSource   = "source"   // who wrote it may not
	reasonKey      = "key"      // the key or the partition is not that of its user or application
	reasonConflict = "conflict" // the effect is there with other content
	reasonRefused  = "refused"  // the database does not accept it
	reasonPanic    = "panic"    // folding it failed in our code
)

// refusal is why a record becomes a dead letter.
type refusal struct{ reason, detail string }

func (r *refusal) Error() string { return r.reason + ": " + r.detail }

func refuse(reason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

// refuse remembers that the record at offset is not acceptable, for the next time that it is read.
func (p *partition) refuse(offset int64, why *refusal) {
	if p.refused == nil {
		p.refused = map[int64]*refusal{}
	}
	p.refused[offset] = why
}

// errSpoiled tells that a record left the open batch in an unknown state: it has to be folded anew without it.
var errSpoiled = errors.New("the batch is spoiled")

// fold decides one record and adds its outcome to the open batch. A fault means that the record was not used and the
// partition has to stop before it; an error ends the session.
func (w *worker) fold(ctx context.Context, part *partition, c *cursor, r *record) (fault *HaltError, err error) {
	w.stamp = events.Stamp{}
	result, err := w.decide(ctx, part, c, r)
	var refused *refusal
	var stop *HaltError
	switch {
	case errors.As(err, &stop):
		return stop, nil
	case errors.As(err, &refused):
		result = deadLettered
	case err != nil:
		return nil, err
	}
	if c.breaker.add(refused != nil) {
		group, topic := w.s.place.group, w.s.place.topic
		return halt(HaltDeadLetters, "more than %d of 1,000 records cannot be applied, the last at offset %d; see applylens deadletters list %s; if they are to be given up: applylens positions skip %s %s/%d --to OFFSET --reason ...; if the limit is to start anew: applylens positions adopt %s %s/%d --reason ...",
			c.breaker.limit, r.offset, group, group, topic, part.id, group, topic, part.id), nil
	}
	if refused != nil {
		w.addLetter(part, r, refused)
	}
	if w.stamp.Seq > 0 {
		c.seqs[w.stamp.Relay] = w.stamp.Seq
	}
	c.outcomes[result]++
	return nil, nil
}

func (w *worker) addLetter(part *partition, r *record, why *refusal) {
	letter := deadLetter{partition: part.id, record: r.copied(), reason: why.reason, detail: events.CleanText(why.detail, 1000)}
	w.batch.letters = append(w.batch.letters, letter)
	w.batch.bytes += len(r.key) + len(r.value) + 200
}

// copied returns the record with bytes of its own, so that keeping it does not keep its whole chunk.
func (r *record) copied() record {
	c := *r
	c.key, c.value, c.headers = bytes.Clone(r.key), bytes.Clone(r.value), slices.Clone(r.headers)
	for i := range c.headers {
		c.headers[i].Value = bytes.Clone(c.headers[i].Value)
	}
	return c
}

// decide folds one record, or tells by its error what it is instead: a *refusal or a *HaltError.
func (w *worker) decide(ctx context.Context, part *partition, c *cursor, r *record) (result outcome, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			w.s.cfg.Log.Error("folding a record failed in our code: this is a bug", "group", w.s.place.group, "topic", w.s.place.topic,
				"partition", part.id, "offset", r.offset, "error", fmt.Sprint(crash), "stack", string(debug.Stack()))
			err = w.spoiled(part, r.offset)
		}
	}()
	head, headErr := w.decoder.Head(r.headers)
	if headErr != nil {
		head = events.Head{Stamp: stampOf(r.headers)} // a redriven record may be as broken as before
	}
	repeat, err := w.checkSequence(ctx, part, c, &head)
	var hole *HaltError
	if _, known := part.dead[r.offset]; known && (err == nil || errors.As(err, &hole)) {
		return deadLettered, nil // also when its number came too early: it was passed over for that
	}
	if err != nil || repeat {
		return wasRepeated, err
	}
	if why := part.refused[r.offset]; why != nil {
		return 0, why
	}
	if headErr != nil {
		return 0, asRefusal(headErr)
	}
	if err := w.checkSource(ctx, &head); err != nil {
		return 0, err
	}
	switch {
	case head.Type == events.TypeUnknown:
		return 0, halt(HaltUnknownType, "the record at offset %d is of a type that this version does not know: upgrade the consumers first", r.offset)
	case head.RedriveGroup != "" && head.RedriveGroup != w.s.place.group:
		return applied, nil
	case !slices.Contains(w.s.cfg.Group.Folds, head.Type):
		return applied, nil
	}
	if head.RedrivenFrom != "" {
		if there, err := w.appliedBefore(ctx, head.RedrivenFrom); err != nil || there {
			return applied, err
		}
	}
	return w.decidePayload(part, c, r, &head)
}

// appliedBefore tells whether the record that was redriven has nothing more to effect: this version took it for good,
// since it became a dead letter only in a later one, whose fold is stricter; or its person was erased since.
func (w *worker) appliedBefore(ctx context.Context, from string) (bool, error) {
	parts := strings.Split(from, "/")
	if len(parts) != 3 {
		return false, nil
	}
	partition, err := strconv.Atoi(parts[1])
	offset, offsetErr := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || offsetErr != nil {
		return false, nil
	}
	for attempt := 0; ; attempt++ {
		var since int
		var erased bool
		err := w.s.cfg.Pool.QueryRow(ctx, redrivenSQL, w.s.place.group, parts[0], partition, offset).Scan(&since, &erased)
		if err == nil {
			return erased || since > w.s.place.version.Number, nil
		}
		w.s.cfg.Log.Warn("looking up a redriven record has to wait", "group", w.s.place.group, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return false, err
		}
	}
}

// spoiled refuses a record whose folding failed midway. What it left in the batch is unknown, so the batch is given
// up; the second time, the record becomes a dead letter before it is folded.
func (w *worker) spoiled(part *partition, offset int64) error {
	w.decoder = events.NewDecoder()
	if why := part.refused[offset]; why != nil {
		return why
	}
	part.refuse(offset, refuse(reasonPanic, "folding it failed in our code"))
	return errSpoiled
}

// decidePayload folds a record of a kind that has an effect here.
func (w *worker) decidePayload(part *partition, c *cursor, r *record, head *events.Head) (outcome, error) {
	if err := w.decoder.Decode(head, r.value, &w.event); err != nil {
		return 0, asRefusal(err)
	}
	if w.event.Key() != string(r.key) {
		return 0, refuse(reasonKey, "the key is not that of its user or application")
	}
	if !w.rightPartition(r.key, part.id) {
		return 0, refuse(reasonKey, "partition %d is not that of its key: producers must partition by murmur2", part.id)
	}
	if head.Source != w.s.source && slices.Contains(w.s.cfg.Group.Repeats, head.Type) {
		repeat, err := w.checkEffect(c, head)
		if err != nil || repeat {
			return wasRepeated, err
		}
	}
	w.batch.effects.Add(&w.event)
	if head.Type == events.TypeUserErased {
		w.batch.erasures = append(w.batch.erasures, erasure{w.event.Erasure.UserID, w.event.Erasure.RecordedAt, part.id, r.offset})
	}
	return applied, nil
}

// stampOf reads the relay's stamp of a record whose other headers may be damaged; zero when there is none.
func stampOf(headers []events.Header) events.Stamp {
	var stamp events.Stamp
	for _, h := range headers {
		switch h.Key {
		case events.HeaderRelayID:
			stamp.Relay, _ = events.ParseUUID(h.Value)
		case events.HeaderRelaySeq:
			stamp.Seq, _ = strconv.ParseInt(string(h.Value), 10, 64)
		}
	}
	if stamp.Relay.IsZero() || stamp.Seq < 1 {
		return events.Stamp{}
	}
	return stamp
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

// checkSequence looks at the number of a stamped record, notes it in w.stamp, and tells whether it was applied before.
// A number that is missing in the log halts the partition. It is what the idempotent producer does, with PostgreSQL as
// the memory.
func (w *worker) checkSequence(ctx context.Context, part *partition, c *cursor, head *events.Head) (repeat bool, err error) {
	if head.Relay.IsZero() || failpoint.Broken("stamps") {
		return false, nil
	}
	known, err := w.s.relays.has(ctx, head.Relay)
	if err != nil {
		return false, err
	}
	if !known {
		return false, nil // checkSource refuses it; a stranger's numbers are not followed
	}
	last, pending := c.seqs[head.Relay]
	if !pending {
		last, pending = part.seqs[head.Relay]
	}
	switch {
	case head.Seq <= last:
		return true, nil
	case head.Seq == last+1, !pending && part.committed.beganAt > 0:
	default:
		return false, w.haltSequence(part, head, last)
	}
	w.stamp = head.Stamp
	return false, nil
}

func (w *worker) haltSequence(part *partition, head *events.Head, last int64) *HaltError {
	group, topic := w.s.place.group, w.s.place.topic
	return halt(HaltSequence, "number %d of relay %s follows %d: the records between them are not before it in the log; if the relay published them again behind it, pass over this one: applylens positions skip %s %s/%d --to OFFSET --reason ...; to go on without them: applylens positions adopt %s %s/%d --reason ...",
		head.Seq, head.Relay, last, group, topic, part.id, group, topic, part.id)
}

// checkSource refuses records whose source does not fit their stamp. A redriven record keeps the source of its first
// producer and carries the stamp of the relay.
func (w *worker) checkSource(ctx context.Context, head *events.Head) error {
	stamped, own := !head.Relay.IsZero(), head.Source == w.s.source
	if stamped {
		known, err := w.s.relays.has(ctx, head.Relay)
		if err != nil {
			return err
		}
		if !known {
			return refuse(reasonSource, "it carries the stamp of a relay that is not ours")
		}
	}
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

// checkEffect tells whether the effect of an event of another producer is there already; with other content that is a
// conflict, unless an operator forced it.
func (w *worker) checkEffect(c *cursor, head *events.Head) (repeat bool, err error) {
	key, hash := effectKey(&w.event), events.ContentHash(&w.event)
	before, found := w.batch.repeats[key]
	if !found {
		before, found = c.known[key]
	}
	switch {
	case !found:
		w.batch.repeats[key] = hash
		return false, nil
	case head.RedriveForce:
		return false, nil
	case before == hash:
		return true, nil
	}
	return false, refuse(reasonConflict, "an event with the same identity and other content was applied before")
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

// lookUp reads which effects of the records are there already, before they are folded. Nobody else can add one
// meanwhile: a user's events are all in this partition, and its position is ours or the transaction fails.
func (w *worker) lookUp(ctx context.Context, part *partition, records []record) (map[events.UUID]uint64, error) {
	known := map[events.UUID]uint64{}
	var keys []events.UUID
	for i := range records {
		head, err := w.decoder.Head(records[i].headers)
		if err != nil || head.Source == w.s.source || !slices.Contains(w.s.cfg.Group.Repeats, head.Type) {
			continue
		}
		if w.decoder.Decode(&head, records[i].value, &w.event) == nil {
			keys = append(keys, effectKey(&w.event))
		}
	}
	if len(keys) == 0 {
		return known, nil
	}
	for attempt := 0; ; attempt++ {
		err := w.s.place.readEffects(ctx, w.s.cfg.Pool, keys, known)
		if err == nil {
			return known, nil
		}
		w.s.cfg.Log.Warn("looking up effects has to wait", "group", w.s.place.group, "partition", part.id, "error", err)
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

func (p *place) readEffects(ctx context.Context, db querier, keys []events.UUID, known map[events.UUID]uint64) error {
	rows, err := db.Query(ctx, findRepeatsSQL, p.group, p.version.Number, keys)
	if err != nil {
		return err
	}
	var key events.UUID
	var hash int64
	_, err = pgx.ForEachRow(rows, []any{&key, &hash}, func() error {
		known[key] = uint64(hash)
		return nil
	})
	return err
}
