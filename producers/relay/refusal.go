package relay

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
)

// refusal is what a partition remembers of a row that Kafka refused when it was alone in its request.
//
// Most errors that do not pass are about the right to write, the topic or the broker, and none of them is a reason to lose
// a decision. So a row is given up only when Kafka takes it without its content: that proves that the content was the
// reason. When the empty record is refused too, the row keeps its content, and its partition waits.
type refusal struct {
	seq     int64     // 0: none
	since   time.Time // when it was refused with its content first, or again after it was refused without
	emptied bool      // the next request has it without content
	spared  bool      // it was refused without content too
	bytes   int       // that it had
	why     error
}

// refusedFor is how long a row must be refused alone before it is tried without its content, for an error that does not
// say that it is about the record. It is long, so that trouble of the broker rarely ends just between the two tries.
const refusedFor = time.Minute

// untimedFor is how long a partition's records are sent without a time after Kafka refused theirs.
const untimedFor = time.Minute

// lasts tells whether an answer of Kafka's is one that repeating the same request does not change.
func lasts(err error) bool {
	var code kafka.Error
	return errors.As(err, &code) && !kerr.IsRetriable(kerr.ErrorForCode(int16(code)))
}

// aboutRecords tells whether Kafka rejected the records, and did not merely fail: nothing of the request is in the log.
func aboutRecords(err error) bool {
	for _, rejection := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.PolicyViolation, kafka.InvalidTimestamp} {
		if errors.Is(err, rejection) {
			return true
		}
	}
	return false
}

// receiveRefused finds the row that Kafka refuses: half as many rows are sent next, until it is alone in its request.
func (t *term) receiveRefused(ctx context.Context, p *partition, r result) error {
	now := time.Now()
	switch n := len(r.rows); {
	case p.stage != stageReady:
		return nil
	case errors.Is(r.err, kafka.InvalidTimestamp) && !r.untimed:
		t.Log.Warn("Kafka refuses the times of records, which are sent without: synchronise the clocks of Kafka, PostgreSQL and the relay",
			"topic", p.topic, "partition", p.partition, "error", r.err)
		p.untimedUntil = now.Add(untimedFor)
		return nil
	case n > 1:
		p.most = n / 2
		if !aboutRecords(r.err) {
			t.wait(p, r.err)
		}
		return nil
	}
	return t.receiveRefusedRow(ctx, p, r.rows[0], r.err)
}

// receiveRefusedRow decides what becomes of a row that is refused by itself.
func (t *term) receiveRefusedRow(ctx context.Context, p *partition, row *row, why error) error {
	now := time.Now()
	if p.refusal.seq != row.seq {
		p.refusal = refusal{seq: row.seq, since: now}
	}
	known := &p.refusal
	switch {
	case known.emptied:
		if err := t.revive(ctx, row); err != nil {
			return err
		}
		p.refusal = refusal{seq: row.seq, since: now, spared: true}
		t.Log.Error("Kafka refuses a record with and without its content, and so all of its partition: see what it says of the topic",
			"topic", p.topic, "partition", p.partition, "seq", row.seq, "event_id", row.id, "error", why)
	case row.void:
		t.Log.Error("Kafka refuses an empty record, and so all of its partition: see what it says of the topic",
			"topic", p.topic, "partition", p.partition, "seq", row.seq, "event_id", row.id, "error", why)
	case aboutRecords(why) && !known.spared || now.Sub(known.since) >= t.patience:
		return t.tryEmpty(ctx, p, row, why)
	default:
		t.wait(p, why)
		return nil
	}
	p.failed(now)
	p.requireInspection()
	return nil
}

// tryEmpty has a row sent without its content next.
func (t *term) tryEmpty(ctx context.Context, p *partition, row *row, why error) error {
	p.refusal.emptied, p.refusal.bytes, p.refusal.why = true, row.size(), why
	if err := t.giveUp(ctx, row, why); err != nil {
		return err
	}
	p.bytes += row.size() - p.refusal.bytes
	return nil
}

// accepted notes that rows of a partition are in the log: the one that was refused with its content is given up now.
func (t *term) accepted(p *partition, rows []*row) {
	if rows[0].seq == p.refusal.seq && p.refusal.emptied {
		t.givenUp(rows[0], p.refusal.bytes, p.refusal.why)
	}
	p.refusal = refusal{}
}

// wait lets a partition pause after a request that failed, and find out then what became of it.
func (t *term) wait(p *partition, why error) {
	t.Log.Warn("publishing failed", "topic", p.topic, "partition", p.partition, "attempt", p.attempts+1, "error", why)
	p.failed(time.Now())
	p.requireInspection()
}
