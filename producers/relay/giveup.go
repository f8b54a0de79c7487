package relay

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// giveUpRowSQL marks a row dead. Its sequence goes out without content.
const giveUpRowSQL = `UPDATE outbox SET state = 'dead', error = $2 WHERE seq = $1 AND state = 'open'`

// giveUpUnknownTopicsSQL marks rows dead whose topic is none of ours. They have no partition and so no sequence.
const giveUpUnknownTopicsSQL = `
UPDATE outbox
SET state = 'dead', error = 'no such topic', published_at = clock_timestamp()
WHERE published_at IS NULL AND relay_id IS NULL AND aggregatetype <> ALL ($1)`

// reviveRowSQL takes giveUpRowSQL back.
const reviveRowSQL = `UPDATE outbox SET state = 'open', error = '' WHERE seq = $1 AND state = 'dead' AND published_at IS NULL`

// giveUp marks a row dead and takes its content away.
func (t *term) giveUp(ctx context.Context, r *row, why error) error {
	if _, err := t.conn.Exec(ctx, giveUpRowSQL, r.seq, why.Error()); err != nil {
		return fmt.Errorf("mark outbox row dead: %w", err)
	}
	return r.empty(t.source)
}

// revive lets a row be published with its content after all.
func (t *term) revive(ctx context.Context, r *row) error {
	if _, err := t.conn.Exec(ctx, reviveRowSQL, r.seq); err != nil {
		return fmt.Errorf("take a dead outbox row back: %w", err)
	}
	return nil
}

// givenUp tells operators of a row whose content is gone for good.
func (t *term) givenUp(r *row, bytes int, why error) {
	t.metrics.dead.Inc()
	t.Log.Error("outbox row given up: it can never be published", "seq", r.seq, "event_id", r.id,
		"topic", r.topic, "partition", r.partition, "bytes", bytes, "error", why)
}

// giveUpUnknownTopics marks rows of unknown topics dead, and tells how many they were.
func giveUpUnknownTopics(ctx context.Context, tx pgx.Tx) (int64, error) {
	tag, err := tx.Exec(ctx, giveUpUnknownTopicsSQL, events.Topics)
	if err != nil {
		return 0, fmt.Errorf("give up rows of unknown topics: %w", err)
	}
	return tag.RowsAffected(), nil
}
