package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/postgres"
)

const (
	// lockVersionSQL reads what a version is and by which rule it is folded, and keeps a swap or a drop from changing it
	// until the transaction ends.
	lockVersionSQL = `
SELECT CASE WHEN p.live_version = v.version THEN 'live' ELSE v.state END, v.fold_version
FROM projections p JOIN versions v ON v.group_name = p.group_name AND v.version = $2
WHERE p.group_name = $1 FOR SHARE OF p`

	// haltOtherLogsSQL halts what this version knows of the topic under another topic id or cluster: those positions are
	// about a log that is gone.
	haltOtherLogsSQL = `
UPDATE positions
SET state = 'halted', halt_reason = 'recreated', halt_detail = $6, updated_at = now()
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (cluster_id <> $4 OR topic_id <> $5)`

	// acceptedCountsSQL lists the partition counts that the topic has had.
	acceptedCountsSQL = `
SELECT partitions FROM topic_partitions WHERE cluster_id = $1 AND topic_id = $2`

	// firstCountSQL records the partition count at first sight of a topic.
	firstCountSQL = `
INSERT INTO topic_partitions (cluster_id, topic_id, topic, partitions)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT FROM topic_partitions WHERE cluster_id = $1 AND topic_id = $2)
ON CONFLICT DO NOTHING`

	// acceptCountSQL records a partition count that an operator accepts.
	acceptCountSQL = `
INSERT INTO topic_partitions (cluster_id, topic_id, topic, partitions) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

	// haltGrownSQL stops every partition of a topic whose partition count no operator accepted.
	haltGrownSQL = `
UPDATE positions
SET state = 'halted', halt_reason = 'grown', halt_detail = $5, updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND state = 'running'`

	// firstSightSQL gives every partition without a position one at the log's start, so that nothing that is written
	// before somebody reads it is passed over.
	firstSightSQL = `
INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at, reread_to)
SELECT $1, $2, $3, $4, $5, p, o, o, r
FROM unnest($6::int[], $7::bigint[], $8::bigint[]) AS t (p, o, r)
ORDER BY p
ON CONFLICT DO NOTHING`

	// claimSQL makes the caller the owner: from here on every earlier owner's compare-and-set fails. Halts for a reason of
	// $7 are cleared.
	claimSQL = `
WITH mine AS (
	SELECT partition FROM positions
	WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = ANY ($5::int[])
	ORDER BY partition FOR UPDATE)
UPDATE positions p
SET owner_epoch = p.owner_epoch + 1, owner = $6, updated_at = now(),
    state = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN 'running' ELSE p.state END,
    halt_reason = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN '' ELSE p.halt_reason END,
    halt_detail = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN '' ELSE p.halt_detail END
FROM mine
WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4 AND p.partition = mine.partition
RETURNING p.partition, p.next_offset, p.leader_epoch, p.owner_epoch, p.began_at, p.created_at, p.reread_to, p.state, p.halt_reason, p.halt_detail`
)

// LockVersion returns the state of a version, live, building or retired, and the rule that it is folded by, and keeps
// both until the transaction ends. Without such a version it returns pgx.ErrNoRows.
func LockVersion(ctx context.Context, tx *postgres.Tx, group string, version int) (state string, foldVersion int, err error) {
	err = tx.QueryRow(ctx, lockVersionSQL, group, version).Scan(&state, &foldVersion)
	return state, foldVersion, err
}

// HaltOtherLogs halts the positions that the version has of another log of the topic's name, and tells whether it has any.
func (l *Log) HaltOtherLogs(ctx context.Context, tx *postgres.Tx, halt *Halt) (bool, error) {
	tag, err := tx.Exec(ctx, haltOtherLogsSQL, l.Group, l.Version, l.Topic, l.Cluster, l.TopicID, halt.Detail)
	if err != nil {
		return false, fmt.Errorf("look for positions of earlier logs: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// PartitionCounts records the partition count at first sight of the topic, and returns all that it has had, as far as an
// operator accepted them: a record's partition must be that of its key under one of them.
func (l *Log) PartitionCounts(ctx context.Context, tx *postgres.Tx) ([]int, error) {
	if _, err := tx.Exec(ctx, firstCountSQL, l.Cluster, l.TopicID, l.Topic, l.Partitions); err != nil {
		return nil, fmt.Errorf("record partition count: %w", err)
	}
	return collect(ctx, tx, "read partition counts", pgx.RowTo[int], acceptedCountsSQL, l.Cluster, l.TopicID)
}

// AcceptCount records a partition count that an operator accepts.
func AcceptCount(ctx context.Context, tx *postgres.Tx, log Log) error {
	if _, err := tx.Exec(ctx, acceptCountSQL, log.Cluster, log.TopicID, log.Topic, log.Partitions); err != nil {
		return fmt.Errorf("accept partition count: %w", err)
	}
	return nil
}

// HaltGrown halts all running partitions, since the topic has another partition count than was accepted.
func (l *Log) HaltGrown(ctx context.Context, tx *postgres.Tx, halt *Halt) error {
	if _, err := tx.Exec(ctx, haltGrownSQL, l.Group, l.Version, l.Cluster, l.TopicID, halt.Detail); err != nil {
		return fmt.Errorf("halt grown topic: %w", err)
	}
	return nil
}

// AddPositions gives partitions that have no position one at starts. rereadTo tells up to where a log repeats one that was read
// before; nil for a log that does not.
func (l *Log) AddPositions(ctx context.Context, tx *postgres.Tx, starts, rereadTo map[int]int64) error {
	partitions, offsets, again := make([]int32, 0, len(starts)), make([]int64, 0, len(starts)), make([]int64, 0, len(starts))
	for partition, start := range starts {
		partitions, offsets, again = append(partitions, int32(partition)), append(offsets, start), append(again, rereadTo[partition])
	}
	if _, err := tx.Exec(ctx, firstSightSQL, l.Group, l.Version, l.Cluster, l.Topic, l.TopicID, partitions, offsets, again); err != nil {
		return fmt.Errorf("add positions: %w", err)
	}
	return nil
}

// Claimed is a position that the caller owns now. Halt is nil for a running partition.
type Claimed struct {
	Partition int
	Position
	Halt *Halt
}

// Claim makes owner the owner of partitions and returns their positions, in no order. Partitions without a position are
// missing in the result.
func (l *Log) Claim(ctx context.Context, tx *postgres.Tx, partitions []int, owner string) ([]Claimed, error) {
	scan := func(row pgx.CollectableRow) (c Claimed, err error) {
		var state, reason, detail string
		err = row.Scan(&c.Partition, &c.Next, &c.LeaderEpoch, &c.OwnerEpoch, &c.BeganAt, &c.CreatedAt, &c.RereadTo, &state, &reason, &detail)
		if state != StateRunning {
			c.Halt = &Halt{Reason: Reason(reason), Detail: detail}
		}
		return c, err
	}
	return collect(ctx, tx, "claim positions", scan, claimSQL, l.Group, l.Version, l.Cluster, l.TopicID, integers(partitions), owner, retriedReasons())
}

func integers(list []int) []int32 {
	result := make([]int32, len(list))
	for i, n := range list {
		result[i] = int32(n)
	}
	return result
}
