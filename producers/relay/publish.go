package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// publishAll begins a request for every partition that has something to send.
func (t *term) publishAll() {
	now := time.Now()
	for _, p := range t.partitions {
		if p.stage == stageReady && len(p.queue) > 0 && p.due(now) {
			rows := p.cut()
			t.sending(rows[len(rows)-1])
			t.start(p, func(ctx context.Context) result { return t.publish(ctx, p.place, rows) })
		}
	}
}

// sending remembers how far rows were sent, since some of them may be sent again.
func (t *term) sending(last *row) {
	if last.Relay == t.id {
		n := t.numbers[last.place]
		n.sent = max(n.sent, last.Stamp.Seq)
		t.numbers[last.place] = n
	}
}

// publish sends rows with acks of all replicas.
func (t *term) publish(ctx context.Context, at place, rows []*row) result {
	records := make([]kafka.Record, len(rows))
	for i, r := range rows {
		records[i] = r.record()
	}
	topic := t.Conn.Topic(at.topic)
	response, err := t.Conn.Client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: at.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return result{rows: rows, err: fmt.Errorf("publish to %s/%d: %w", topic, at.partition, err)}
	}
	return result{rows: rows, base: response.BaseOffset}
}

// receivePublished draws the conclusions from a request that ended.
func (t *term) receivePublished(ctx context.Context, r result) error {
	p := r.p
	switch {
	case refused(r.err):
		return t.narrow(ctx, p, r)
	case r.err != nil:
		t.Log.Warn("publishing failed", "topic", p.topic, "partition", p.partition, "attempt", p.attempts+1, "error", r.err)
		p.failed(time.Now())
		p.doubt()
		return nil
	case p.stage != stageReady:
		return nil // doubted meanwhile: the inspection tells what became of it
	case r.base < p.next:
		t.Log.Error("the log went back: Kafka has lost records", "topic", p.topic, "partition", p.partition,
			"expected_offset", p.next, "offset", r.base)
		p.doubt()
		return nil
	}
	t.note(p, r)
	return nil
}

// note puts published rows among those to be marked.
func (t *term) note(p *partition, r result) {
	again := 0
	if len(t.marks.partitions) == 0 {
		t.marks.since = time.Now()
	}
	for i, row := range r.rows {
		t.marks.seqs = append(t.marks.seqs, row.seq)
		t.marks.offsets = append(t.marks.offsets, r.base+int64(i))
		if row.again {
			again++
		}
	}
	t.marks.partitions[p] = true
	p.published(len(r.rows), r.base)
	t.metrics.published.WithLabelValues(p.topic).Add(float64(len(r.rows)))
	t.metrics.republished.Add(float64(again))
}

// refused tells whether Kafka has judged the records, and not merely failed: nothing of the request is in the log.
func refused(err error) bool {
	for _, judgement := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.PolicyViolation} {
		if errors.Is(err, judgement) {
			return true
		}
	}
	return false
}

// narrow sends half as many rows, until the one that is refused stands alone: it is given up.
func (t *term) narrow(ctx context.Context, p *partition, r result) error {
	if p.stage != stageReady {
		return nil
	}
	if n := len(r.rows); n > 1 {
		p.most = n / 2
		return nil
	}
	if r.rows[0].void {
		p.failed(time.Now()) // refused even without content: nothing but waiting is left
		t.Log.Error("Kafka refuses an empty record", "topic", p.topic, "partition", p.partition, "error", r.err)
		return nil
	}
	before := r.rows[0].size()
	if err := t.bury(ctx, r.rows[0], r.err); err != nil {
		return err
	}
	p.bytes += r.rows[0].size() - before
	return nil
}
