package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/internal/relaykey"
)

// publishAll starts a request for every partition that has rows to send.
func (t *term) publishAll() {
	now := time.Now()
	for _, p := range t.partitions {
		if p.stage == stageReady && len(p.queue) > 0 && p.due(now) {
			rows, untimed := p.cut(), now.Before(p.untimedUntil)
			t.sending(rows[len(rows)-1])
			t.start(p, func(ctx context.Context) result { return t.publish(ctx, p.topicPartition, rows, untimed) })
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

// noTime is Kafka's mark for a record without time, which it takes whatever its clock says.
var noTime = time.UnixMilli(-1)

// dated returns the time of a record: that of its row, unless that is later than now by this machine's clock. Kafka refuses
// records that are dated too far after its own (message.timestamp.after.max.ms, by default an hour).
func dated(recordedAt, now time.Time, untimed bool) time.Time {
	switch {
	case untimed:
		return noTime
	case recordedAt.After(now):
		return now
	}
	return recordedAt
}

// publish sends rows and waits for the acknowledgement of all in-sync replicas.
func (t *term) publish(ctx context.Context, at topicPartition, rows []*row, untimed bool) result {
	records, signers, now := make([]kafka.Record, len(rows)), relaykey.Signers{}, time.Now()
	for i, r := range rows {
		records[i] = r.record(signers)
		records[i].Time = dated(r.recordedAt, now, untimed)
	}
	topic := t.Conn.Topic(at.topic)
	response, err := t.Conn.Client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: at.partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return result{rows: rows, untimed: untimed, err: fmt.Errorf("publish to %s/%d: %w", topic, at.partition, err)}
	}
	return result{rows: rows, base: response.BaseOffset}
}

// receivePublished handles the end of a produce request.
func (t *term) receivePublished(ctx context.Context, r result) error {
	p := r.p
	switch {
	case lasts(r.err):
		return t.receiveRefused(ctx, p, r)
	case r.err != nil:
		t.wait(p, r.err)
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
