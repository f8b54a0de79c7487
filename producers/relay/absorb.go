package relay

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// insertFoundRelays adds terms that the log knows and a restored database does not, before the present one.
const insertFoundRelays = `
INSERT INTO relays (relay_id, started_at)
SELECT f.relay_id, least(f.started_at, r.started_at - interval '1 microsecond')
FROM unnest($2::uuid[], $3::timestamptz[]) AS f (relay_id, started_at), relays r
WHERE r.relay_id = $1
ON CONFLICT (relay_id) DO NOTHING`

// selectRelays finds those of the terms that are ours.
const selectRelays = `SELECT relay_id FROM relays WHERE relay_id = ANY ($1)`

// adoptStamps gives rows that no term has stamped the stamp under which the log has them already. A redriven row has
// the id of the record that it repeats, and is told from that by where it came from.
const adoptStamps = `
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

// markFound notes as published what the log has, up to the first row that it lacks: that one has to come before all
// that follow, so they are published once more behind it.
const markFound = `
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

// selectWithRow finds which events the outbox has, whatever their state.
const selectWithRow = `SELECT relay_id, relay_seq FROM outbox WHERE id = ANY ($1) AND aggregatetype = $2 AND partition = $3`

// withoutLoops keeps PostgreSQL from comparing every waiting row with every record found, which by its statistics, made
// when nothing was waiting, seems the cheapest.
const withoutLoops = `SET LOCAL enable_nestloop TO off`

// absorb makes the database know what the log has: in one transaction, so that a relay that ends meanwhile reads it
// again.
func (t *term) absorb(ctx context.Context, p *partition, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	next := p.next
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, withoutLoops); err != nil {
			return err
		}
		own, err := t.own(ctx, tx, entries)
		if err != nil || len(own) == 0 {
			return err
		}
		if err := markEntries(ctx, tx, p.place, own); err != nil {
			return err
		}
		if err := t.restoreMissing(ctx, tx, p.place, own); err != nil {
			return err
		}
		next = max(next, own[len(own)-1].offset+1)
		_, err = tx.Exec(ctx, saveEnd, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("take over what the log has in %s/%d: %w", p.topic, p.partition, err)
	}
	p.next, p.sure, p.likely = next, next, next
	return nil
}

// own returns the entries that relays of this deployment wrote. Unknown terms under our own source are ours: the
// database was restored from a backup that is older than they are.
func (t *term) own(ctx context.Context, tx pgx.Tx, entries []entry) ([]entry, error) {
	first := map[events.UUID]*entry{}
	for i := range entries {
		if e := &entries[i]; first[e.head.Relay] == nil || (first[e.head.Relay].head.Source != t.source && e.head.Source == t.source) {
			first[e.head.Relay] = e
		}
	}
	ids, ours, since := [][16]byte{}, [][16]byte{}, []time.Time{}
	for id, e := range first {
		ids = append(ids, id)
		if e.head.Source == t.source {
			ours, since = append(ours, id), append(since, e.time)
		}
	}
	tag, err := tx.Exec(ctx, insertFoundRelays, [16]byte(t.id), ours, since)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() > 0 {
		t.Log.Warn("the log has records of relay terms that the database does not know: was it restored from a backup?",
			"terms", tag.RowsAffected())
	}
	rows, err := tx.Query(ctx, selectRelays, ids)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		return nil, err
	}
	return ofRelays(entries, list), nil
}

func ofRelays(entries []entry, list [][16]byte) []entry {
	known := make(map[events.UUID]bool, len(list))
	for _, id := range list {
		known[id] = true
	}
	var own []entry
	for _, e := range entries {
		if known[e.head.Relay] {
			own = append(own, e)
		}
	}
	return own
}

// markEntries marks the rows of entries.
func markEntries(ctx context.Context, tx pgx.Tx, at place, own []entry) error {
	var ids, redriven []string
	var relays [][16]byte
	var numbers, offsets []int64
	for _, e := range own {
		ids = append(ids, e.head.ID)
		redriven = append(redriven, base64.StdEncoding.EncodeToString([]byte(e.head.RedrivenFrom)))
		relays, numbers, offsets = append(relays, e.head.Relay), append(numbers, e.head.Seq), append(offsets, e.offset)
	}
	if _, err := tx.Exec(ctx, adoptStamps, at.topic, at.partition, ids, redriven, relays, numbers, offsets); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, markFound, at.topic, at.partition, relays, numbers, offsets)
	return err
}

// restoreMissing puts back the effects of own events that the outbox has no row of.
func (t *term) restoreMissing(ctx context.Context, tx pgx.Tx, at place, own []entry) error {
	ids := make([]string, len(own))
	for i, e := range own {
		ids[i] = e.head.ID
	}
	rows, err := tx.Query(ctx, selectWithRow, ids, at.topic, at.partition)
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
