package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/events"
)

// giveUpRowSQL marks a row dead. Its sequence goes out without content.
const giveUpRowSQL = `UPDATE outbox SET state = 'dead', error = $2 WHERE seq = $1 AND state = 'open'`

// giveUpUnknownTopicsSQL marks rows dead whose topic is none of ours. They have no partition and so no sequence.
const giveUpUnknownTopicsSQL = `
UPDATE outbox
SET state = 'dead', error = 'no such topic', published_at = clock_timestamp()
WHERE published_at IS NULL AND relay_id IS NULL AND aggregatetype <> ALL ($1)`

// giveUp marks a row dead, which can never be published, and takes its content away.
func (t *term) giveUp(ctx context.Context, r *row, why error) error {
	if _, err := t.conn.Exec(ctx, giveUpRowSQL, r.seq, why.Error()); err != nil {
		return fmt.Errorf("mark outbox row dead: %w", err)
	}
	t.metrics.dead.Inc()
	t.Log.Error("outbox row given up: it can never be published", "seq", r.seq, "event_id", r.id,
		"topic", r.topic, "partition", r.partition, "bytes", r.size(), "error", why)
	return r.empty(t.source)
}

// giveUpUnknownTopics marks rows of unknown topics dead, and tells how many they were.
func giveUpUnknownTopics(ctx context.Context, tx pgx.Tx) (int64, error) {
	tag, err := tx.Exec(ctx, giveUpUnknownTopicsSQL, events.Topics)
	if err != nil {
		return 0, fmt.Errorf("give up rows of unknown topics: %w", err)
	}
	return tag.RowsAffected(), nil
}

// refused tells whether Kafka rejected the records, and did not merely fail: nothing of the request is in the log.
func refused(err error) bool {
	for _, rejection := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.PolicyViolation} {
		if errors.Is(err, rejection) {
			return true
		}
	}
	return false
}

// halveBatch sends half as many rows next, until the one that Kafka refuses is alone in its request: it is given up.
func (t *term) halveBatch(ctx context.Context, p *partition, r result) error {
	if p.stage != stageReady {
		return nil
	}
	if n := len(r.rows); n > 1 {
		p.most = n / 2
		return nil
	}
	if r.rows[0].void {
		p.failed(time.Now()) // even without content: all that is left is to try again
		t.Log.Error("Kafka refuses an empty record", "topic", p.topic, "partition", p.partition, "error", r.err)
		return nil
	}
	before := r.rows[0].size()
	if err := t.giveUp(ctx, r.rows[0], r.err); err != nil {
		return err
	}
	p.bytes += r.rows[0].size() - before
	return nil
}
