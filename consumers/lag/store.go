package lag

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// positionsSQL reads, in one snapshot, the versions that are live or being built and where they stand. A version that
// nobody has read yet has one row without a position. Positions are looked for one by one: there may be many dead versions of
// their rows, all with lower offsets.
const positionsSQL = `
SELECT v.group_name, v.version, v.version = j.live_version, v.paused,
       p.topic, p.cluster_id, p.topic_id, p.partition, p.next_offset, p.state, p.halt_reason, p.halt_detail, p.owner
FROM projections j
JOIN versions v ON v.group_name = j.group_name AND (v.version = j.live_version OR v.state = 'building')
LEFT JOIN (
    SELECT p.* FROM position_keys k
    CROSS JOIN LATERAL (
        SELECT * FROM positions p
        WHERE p.group_name = k.group_name AND p.version = k.version AND p.cluster_id = k.cluster_id
          AND p.topic_id = k.topic_id AND p.partition = k.partition
        ORDER BY p.next_offset DESC LIMIT 1) p
) p ON p.group_name = v.group_name AND p.version = v.version AND p.state <> 'replaced'
WHERE j.group_name = ANY ($1::text[])
ORDER BY v.group_name, v.version, p.partition`

// positionRow is a version, and one of its positions if Partition is not nil.
type positionRow struct {
	Group      string
	Version    int
	Live       bool
	Paused     bool
	Topic      *string
	Cluster    *string
	TopicID    *[16]byte
	Partition  *int
	Next       *int64
	State      *string
	HaltReason *string
	HaltDetail *string
	Owner      *string
}

func readPositions(ctx context.Context, pool *pgxpool.Pool, groups []string) ([]positionRow, error) {
	rows, err := pool.Query(ctx, positionsSQL, groups)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[positionRow])
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return found, nil
}
