package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/relaykey"
)

// finishReconcilingSQL notes that the term has read every partition of the log to its end.
const finishReconcilingSQL = `UPDATE relays SET reconciled_at = clock_timestamp() WHERE relay_id = $1`

// insertFoundRelaysSQL adds terms that are in the log and that a restored database does not know, as older than this one.
const insertFoundRelaysSQL = `
INSERT INTO relays (relay_id, started_at, key_number)
SELECT f.relay_id, least(f.started_at, r.started_at - interval '1 microsecond'), f.key_number
FROM unnest($2::uuid[], $3::timestamptz[], $4::integer[]) AS f (relay_id, started_at, key_number), relays r
WHERE r.relay_id = $1
ON CONFLICT (relay_id) DO NOTHING`

// noNestedLoopsSQL keeps PostgreSQL from comparing every waiting row with every record found: that looks cheapest by
// statistics from a time when no row was waiting.
const noNestedLoopsSQL = `SET LOCAL enable_nestloop TO off`

// reconcile brings the database up to date with records of the log, in one transaction: a relay that ends before it commits
// reads them again.
func (t *term) reconcile(ctx context.Context, p *partition, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	next, learned := p.next, map[events.UUID]int{}
	err := pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, noNestedLoopsSQL); err != nil {
			return err
		}
		own, err := t.own(ctx, tx, entries)
		if err != nil || len(own) == 0 {
			return err
		}
		for _, e := range own {
			if _, known := t.trust.terms[e.head.Relay]; !known {
				learned[e.head.Relay] = e.key.Number
			}
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
	return t.learn(learned)
}

// learn takes over which terms there are. It returns errNewKey if one of them signs with a newer key than this term.
func (t *term) learn(terms map[events.UUID]int) error {
	t.trust = t.trust.with(terms)
	for _, number := range terms {
		if number > t.trust.terms[t.id] {
			return errNewKey
		}
	}
	return nil
}

// own returns the entries whose terms are ours. A term that the database does not know, but whose records carry our source and
// are signed by one of our keys, is ours: it is known by that that the database was restored from a backup that is older.
func (t *term) own(ctx context.Context, tx pgx.Tx, entries []entry) ([]entry, error) {
	found := map[events.UUID]*entry{}
	for i := range entries {
		e := &entries[i]
		if _, known := t.trust.terms[e.head.Relay]; !known && found[e.head.Relay] == nil && e.head.Source == t.source {
			found[e.head.Relay] = e
		}
	}
	if len(found) > 0 {
		if err := t.takeOver(ctx, tx, found); err != nil {
			return nil, err
		}
	}
	own := entries[:0]
	for _, e := range entries {
		if _, known := t.trust.terms[e.head.Relay]; known || found[e.head.Relay] != nil {
			own = append(own, e)
		}
	}
	return own, nil
}

// errNewKey ends a term that began with a key that was replaced, be it that the log alone shows so.
var errNewKey = errors.New("the relay's key was replaced: a new term begins with the new one")

// takeOver makes terms of the log that the database lost known to it, with their keys.
func (t *term) takeOver(ctx context.Context, tx pgx.Tx, found map[events.UUID]*entry) error {
	var ids [][16]byte
	var since []time.Time
	var numbers []int
	for id, e := range found {
		if err := relaykey.Add(ctx, tx, e.key); err != nil {
			return err
		}
		ids, since, numbers = append(ids, id), append(since, e.time), append(numbers, e.key.Number)
	}
	tag, err := tx.Exec(ctx, insertFoundRelaysSQL, [16]byte(t.id), ids, since, numbers)
	if err != nil {
		return err
	}
	t.Log.Warn("the log has records of relay terms that the database does not know; it was restored from a backup",
		"terms", tag.RowsAffected())
	return nil
}

// noteRead notes that a partition was read to its end in this term: from now on its rows get sequences, and persons whose
// events are in it may decide again in a database that was restored.
func (t *term) noteRead(ctx context.Context, p *partition) error {
	if p.stage != stageReady || p.wasRead {
		return nil
	}
	p.wasRead = true
	return outbox.AcceptPartition(ctx, t.conn, p.topic, p.partition, t.partitionCount(p.topic))
}

// finishReconciling ends the reading of the log that comes before the first publish to each partition, once all are read.
// What it writes becomes visible at once: whoever sees that the relay has reconciled finds the database accepted.
func (t *term) finishReconciling(ctx context.Context) error {
	for _, p := range t.partitions {
		if !p.wasRead {
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
