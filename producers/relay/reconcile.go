package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/outbox"
)

// finishReconcilingSQL notes that the term has read the log to its end, before its first publish.
const finishReconcilingSQL = `UPDATE relays SET reconciled_at = clock_timestamp() WHERE relay_id = $1`

// insertFoundRelaysSQL adds terms that are in the log and that a restored database does not know, as older than this one.
const insertFoundRelaysSQL = `
INSERT INTO relays (relay_id, started_at)
SELECT f.relay_id, least(f.started_at, r.started_at - interval '1 microsecond')
FROM unnest($2::uuid[], $3::timestamptz[]) AS f (relay_id, started_at), relays r
WHERE r.relay_id = $1
ON CONFLICT (relay_id) DO NOTHING`

// selectRelaysSQL finds out which terms are of this deployment.
const selectRelaysSQL = `SELECT relay_id FROM relays WHERE relay_id = ANY ($1)`

// noNestedLoopsSQL keeps PostgreSQL from comparing every waiting row with every record found: that looks cheapest by
// statistics from a time when no row was waiting.
const noNestedLoopsSQL = `SET LOCAL enable_nestloop TO off`

// reconcile brings the database up to date with records of the log, in one transaction: a relay that ends before it commits
// reads them again.
func (t *term) reconcile(ctx context.Context, p *partition, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	next := p.next
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, noNestedLoopsSQL); err != nil {
			return err
		}
		own, err := t.own(ctx, tx, entries)
		if err != nil || len(own) == 0 {
			return err
		}
		if err := noteEntries(ctx, tx, p.topicPartition, own); err != nil {
			return err
		}
		if err := t.restoreMissing(ctx, tx, p.topicPartition, own); err != nil {
			return err
		}
		next = max(next, own[len(own)-1].offset+1)
		_, err = tx.Exec(ctx, saveEndSQL, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, next)
		return err
	})
	if err != nil {
		return fmt.Errorf("reconcile with the log of %s/%d: %w", p.topic, p.partition, err)
	}
	p.next, p.sure, p.likely = next, next, next
	return nil
}

// own returns the entries that relays of this deployment wrote. Unknown terms with our own source are ours: the database
// was restored from a backup that is older than they are.
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
	tag, err := tx.Exec(ctx, insertFoundRelaysSQL, [16]byte(t.id), ours, since)
	if err != nil {
		return nil, err
	}
	if tag.RowsAffected() > 0 {
		t.Log.Warn("the log has records of relay terms that the database does not know; it was probably restored from a backup",
			"terms", tag.RowsAffected())
	}
	rows, err := tx.Query(ctx, selectRelaysSQL, ids)
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

// finishReconciling ends the reading of the log that comes before the term's first publish, once every partition is
// ready. What it writes becomes visible at once: whoever sees that the relay has reconciled finds the database accepted.
func (t *term) finishReconciling(ctx context.Context) error {
	for _, p := range t.partitions {
		if p.stage != stageReady {
			return nil
		}
	}
	failpoint.Hit("relay_reconcile")
	var dead int64
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) (err error) {
		if _, err = tx.Exec(ctx, finishReconcilingSQL, [16]byte(t.id)); err != nil {
			return err
		}
		if err = outbox.AcceptIdentity(ctx, tx); err != nil {
			return err
		}
		dead, err = giveUpUnknownTopics(ctx, tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish reconciling: %w", err)
	}
	t.reconciled = true
	t.Log.Info("relay has read the log to its end", "relay_id", t.id.String(), "partitions", len(t.partitions))
	if dead > 0 {
		t.metrics.dead.Add(float64(dead))
		t.Log.Error("outbox rows given up: their topic is unknown", "rows", dead)
	}
	return nil
}
