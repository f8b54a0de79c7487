package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// lockPositionsSQL stops both versions' transactions for as long as the swap takes, in the order in which they
	// take the rows themselves.
	lockPositionsSQL = `
SELECT version, cluster_id, topic_id, partition, next_offset, state FROM positions
WHERE group_name = $1 AND version = ANY ($2::int[]) AND state <> 'replaced'
ORDER BY cluster_id, topic_id, version, partition FOR UPDATE`

	swapStatesSQL = `
UPDATE versions SET state = CASE WHEN version = $2 THEN 'live' ELSE 'retired' END,
                    swapped_at = CASE WHEN version = $2 THEN now() ELSE swapped_at END
WHERE group_name = $1 AND version IN ($2, $3)`

	flipSQL = `
UPDATE projections SET live_version = $2, previous_version = $3 WHERE group_name = $1`

	fenceSQL = `
UPDATE positions SET owner_epoch = owner_epoch + 1, owner = '' WHERE group_name = $1 AND version = ANY ($2::int[])`

	// fencePartitionsSQL takes the rows in the order in which a fold does.
	fencePartitionsSQL = `
WITH taken AS (
	SELECT cluster_id, topic_id, partition FROM positions
	WHERE group_name = $1 AND version = $2 AND partition = ANY ($3::int[])
	ORDER BY cluster_id, topic_id, partition FOR UPDATE)
UPDATE positions p SET owner_epoch = p.owner_epoch + 1, owner = '' FROM taken t
WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = t.cluster_id AND p.topic_id = t.topic_id AND p.partition = t.partition`
)

// LogPartition names a partition of a log across versions.
type LogPartition struct {
	Cluster   string
	TopicID   events.UUID
	Partition int
}

// LockedPosition is a position whose row is locked.
type LockedPosition struct {
	Next  int64
	State string
}

// LockProjection keeps other swaps, drops and claims of a projection away until the transaction ends, and returns the live
// version and the one before it, nil when there is none.
func LockProjection(ctx context.Context, tx *postgres.Tx, group string) (live int, previous *int, err error) {
	return lockProjection(ctx, tx, group)
}

// LockPositions locks the positions of versions and returns them by version.
func LockPositions(ctx context.Context, tx *postgres.Tx, group string, versions ...int) (map[int]map[LogPartition]LockedPosition, error) {
	rows, err := tx.Query(ctx, lockPositionsSQL, group, versions)
	if err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	result := map[int]map[LogPartition]LockedPosition{}
	var version int
	var key LogPartition
	var at LockedPosition
	_, err = pgx.ForEachRow(rows, []any{&version, &key.Cluster, &key.TopicID, &key.Partition, &at.Next, &at.State}, func() error {
		if result[version] == nil {
			result[version] = map[LogPartition]LockedPosition{}
		}
		result[version][key] = at
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	return result, nil
}

// Flip makes version the live one instead of live, and takes the positions of both from their owners.
func Flip(ctx context.Context, tx *postgres.Tx, group string, live, version int) error {
	tag, err := tx.Exec(ctx, swapStatesSQL, group, version, live)
	if err != nil {
		return fmt.Errorf("change states: %w", err)
	}
	if tag.RowsAffected() != 2 {
		return fmt.Errorf("version %d of %s does not exist", version, group)
	}
	tx.Queue(flipSQL, group, version, live)
	tx.Queue(fenceSQL, group, []int{live, version})
	if err := tx.Flush(ctx); err != nil {
		return fmt.Errorf("flip live version: %w", err)
	}
	return nil
}

// Fence takes partitions of a version from whoever owns them.
func Fence(ctx context.Context, db Execer, group string, version int, partitions []int) error {
	if _, err := db.Exec(ctx, fencePartitionsSQL, group, version, integers(partitions)); err != nil {
		return fmt.Errorf("take partitions of version %d of %s: %w", version, group, err)
	}
	return nil
}
