package relay

import (
	"context"
	"encoding/base64"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// restoreSequencesSQL gives rows without a relay sequence the one under which they are in the log. A redriven row has the
// same id as the record that it repeats; the header that names its origin tells them apart.
const restoreSequencesSQL = `
UPDATE outbox o
SET relay_id = f.relay_id, partition = $2, relay_seq = f.relay_seq, log_offset = f.log_offset, published_at = clock_timestamp()
FROM (SELECT DISTINCT ON (id, redriven) *
      FROM unnest($3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::bigint[]) AS f (id, redriven, relay_id, relay_seq, log_offset)
      ORDER BY id, redriven, log_offset) f
WHERE o.id = f.id AND o.aggregatetype = $1 AND o.relay_id IS NULL AND o.published_at IS NULL
  AND f.redriven = coalesce(
      (SELECT h ->> 1
       FROM jsonb_array_elements(CASE jsonb_typeof(o.headers) WHEN 'array' THEN o.headers ELSE '[]' END) h
       WHERE h ->> 0 = '` + events.HeaderRedrivenFrom + `'
       LIMIT 1), '')`

// noteFoundSQL notes rows as published that are in the log, up to the first one that is missing: it must precede all that
// follow, so those are published again behind it.
const noteFoundSQL = `
WITH found AS (
    SELECT relay_id, relay_seq, min(log_offset) AS log_offset
    FROM unnest($3::uuid[], $4::bigint[], $5::bigint[]) AS f (relay_id, relay_seq, log_offset)
    GROUP BY relay_id, relay_seq),
waiting AS (
    SELECT o.seq, f.log_offset, bool_and(f.log_offset IS NOT NULL) OVER (ORDER BY r.started_at, o.relay_seq) AS unbroken
    FROM outbox o
    JOIN relays r ON r.relay_id = o.relay_id
    LEFT JOIN found f ON f.relay_id = o.relay_id AND f.relay_seq = o.relay_seq
    WHERE o.published_at IS NULL AND o.aggregatetype = $1 AND o.partition = $2)
UPDATE outbox o
SET published_at = clock_timestamp(), log_offset = w.log_offset
FROM waiting w
WHERE o.seq = w.seq AND w.unbroken`

// selectKnownSQL finds out which events the outbox has, in any state.
const selectKnownSQL = `SELECT relay_id, relay_seq FROM outbox WHERE id = ANY ($1) AND aggregatetype = $2 AND partition = $3`

// noteEntries notes rows as published under the sequences of the log.
func noteEntries(ctx context.Context, tx pgx.Tx, at topicPartition, own []entry) error {
	var ids, redriven []string
	var relays [][16]byte
	var numbers, offsets []int64
	for _, e := range own {
		ids = append(ids, e.head.ID)
		redriven = append(redriven, base64.StdEncoding.EncodeToString([]byte(e.head.RedrivenFrom)))
		relays, numbers, offsets = append(relays, e.head.Relay), append(numbers, e.head.Seq), append(offsets, e.offset)
	}
	if _, err := tx.Exec(ctx, restoreSequencesSQL, at.topic, at.partition, ids, redriven, relays, numbers, offsets); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, noteFoundSQL, at.topic, at.partition, relays, numbers, offsets)
	return err
}

// restoreMissing restores the effects of own events that the outbox has no row of.
func (t *term) restoreMissing(ctx context.Context, tx pgx.Tx, at topicPartition, own []entry) error {
	ids := make([]string, len(own))
	for i, e := range own {
		ids[i] = e.head.ID
	}
	rows, err := tx.Query(ctx, selectKnownSQL, ids, at.topic, at.partition)
	if err != nil {
		return err
	}
	known := map[events.Stamp]bool{}
	var relay [16]byte
	var number int64
	_, err = pgx.ForEachRow(rows, []any{&relay, &number}, func() error {
		known[events.Stamp{Relay: relay, Seq: number}] = true
		return nil
	})
	if err != nil {
		return err
	}
	var missing []entry
	for _, e := range own {
		if !known[e.head.Stamp] && e.head.Source == t.source {
			missing = append(missing, e)
		}
	}
	return t.restore(ctx, tx, at, missing)
}
