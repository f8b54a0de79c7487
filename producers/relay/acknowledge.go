package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/failpoint"
)

// notePublishedSQL stores the offsets of published rows. If a crash of PostgreSQL loses them, the rows are found in the
// log.
const notePublishedSQL = `
UPDATE outbox o
SET published_at = clock_timestamp(), log_offset = m.log_offset
FROM unnest($1::bigint[], $2::bigint[]) AS m (seq, log_offset)
WHERE o.seq = m.seq`

// saveEndSQL stores the offset behind the last record of a partition that is known to be ours. It is stored so often that it
// must not look at what was stored before a long snapshot ends: older versions of the row have lower offsets. Nobody but the
// leader stores any.
const saveEndSQL = `
WITH known AS MATERIALIZED (
    SELECT ctid AS place FROM relay_partitions WHERE cluster_id = $1 AND topic_id = $3 AND partition = $4
    ORDER BY next_offset DESC LIMIT 1),
moved AS (
    UPDATE relay_partitions p SET next_offset = $5, updated_at = now()
    WHERE p.ctid = ANY (ARRAY(SELECT place FROM known)))
INSERT INTO relay_partitions (cluster_id, topic, topic_id, partition, next_offset)
SELECT $1, $2::text, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM known)`

// asyncCommitSQL lets a transaction commit without waiting for the disk.
const asyncCommitSQL = `SET LOCAL synchronous_commit TO off`

// acknowledged are the published rows that the next transaction of notePublished stores.
type acknowledged struct {
	seqs, offsets []int64
	partitions    map[*partition]bool
	since         time.Time // of the first
}

// acknowledge takes published rows off the queue and has them noted.
func (t *term) acknowledge(p *partition, r result) {
	t.accepted(p, r.rows)
	again := 0
	if len(t.acked.partitions) == 0 {
		t.acked.since = time.Now()
	}
	for i, row := range r.rows {
		t.acked.seqs = append(t.acked.seqs, row.seq)
		t.acked.offsets = append(t.acked.offsets, r.base+int64(i))
		if row.again {
			again++
		}
	}
	t.acked.partitions[p] = true
	p.published(len(r.rows), r.base)
	t.metrics.published.WithLabelValues(p.topic).Add(float64(len(r.rows)))
	t.metrics.republished.Add(float64(again))
}

// noteDue tells whether published rows have waited long enough, or are enough, to be noted in one transaction.
func (t *term) noteDue() bool {
	return len(t.acked.seqs) >= assignRows || time.Since(t.acked.since) >= noteEvery
}

// asksWhatIsPublished tells whether the table is about to be asked which rows of a partition are published, and does not know
// all of them yet. A partition that has to wait makes no other's rows be noted sooner.
func (t *term) asksWhatIsPublished() bool {
	for p := range t.acked.partitions {
		if p.stage != stageReady || p.spilled {
			return true
		}
	}
	return false
}

// notePublished stores which rows are published, and the ends of their partitions.
func (t *term) notePublished(ctx context.Context) error {
	if len(t.acked.partitions) == 0 {
		return nil
	}
	failpoint.Hit("relay_after_produce")
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(asyncCommitSQL)
	batch.Queue(notePublishedSQL, t.acked.seqs, t.acked.offsets)
	for p := range t.acked.partitions {
		batch.Queue(saveEndSQL, t.layout.cluster, p.topic, [16]byte(p.topicID), p.partition, p.next)
	}
	batch.Queue("COMMIT")
	if err := t.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("note published rows: %w", err)
	}
	failpoint.Hit("relay_after_mark")
	t.floors.sent += len(t.acked.seqs)
	t.acked = acknowledged{partitions: map[*partition]bool{}}
	return nil
}
