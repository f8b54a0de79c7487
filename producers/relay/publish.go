package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// publishAll starts a request for every partition that has rows to send.
func (t *term) publishAll() {
	now := time.Now()
	for _, p := range t.partitions {
		if p.stage == stageReady && len(p.queue) > 0 && p.due(now) {
			rows := p.cut()
			t.sending(rows[len(rows)-1])
			t.start(p, func(ctx context.Context) result { return t.publish(ctx, p.topicPartition, rows) })
		}
	}
}

// sending remembers how far rows were sent: those that are sent again count as republished.
func (t *term) sending(last *row) {
	if last.Relay == t.id {
		n := t.sequences[last.topicPartition]
		n.sent = max(n.sent, last.Stamp.Seq)
		t.sequences[last.topicPartition] = n
	}
}

// publish sends rows and waits for the acknowledgement of all in-sync replicas.
func (t *term) publish(ctx context.Context, at topicPartition, rows []*row) result {
	records, signers := make([]kafka.Record, len(rows)), signers{}
	for i, r := range rows {
		records[i] = r.record(signers)
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

// receivePublished handles the end of a produce request.
func (t *term) receivePublished(ctx context.Context, r result) error {
	p := r.p
	switch {
	case refused(r.err):
		return t.halveBatch(ctx, p, r)
	case r.err != nil:
		t.Log.Warn("publishing failed", "topic", p.topic, "partition", p.partition, "attempt", p.attempts+1, "error", r.err)
		p.failed(time.Now())
		p.requireInspection()
		return nil
	case p.stage != stageReady:
		return nil // to be inspected by now, which tells what became of it
	case r.base < p.next:
		t.Log.Error("the log went back: Kafka has lost records", "topic", p.topic, "partition", p.partition,
			"expected_offset", p.next, "offset", r.base)
		p.requireInspection()
		return nil
	}
	t.acknowledge(p, r)
	return nil
}
