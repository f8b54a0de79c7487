package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/postgres"
)

const (
	// setAsideSQL sets a source aside, if the partition is still its owner's.
	setAsideSQL = `
INSERT INTO set_aside (group_name, topic, topic_id, partition, source, from_offset, detail)
SELECT $1, topic, topic_id, partition, $6, $7, $8 FROM positions
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND owner_epoch = $9 AND next_offset = $10
ON CONFLICT DO NOTHING`

	// asideSQL lists the sources that are or were set aside in some partitions.
	asideSQL = `
SELECT partition, source, from_offset, to_offset FROM set_aside
WHERE group_name = $1 AND topic_id = $2 AND partition = ANY ($3::int[])`

	// openAsideSQL lists for people which sources are set aside now.
	openAsideSQL = `
SELECT group_name, topic, partition, source, from_offset, detail, created_at FROM set_aside
WHERE (group_name = $1 OR $1 = '') AND to_offset IS NULL
ORDER BY group_name, source, partition`

	// releaseSQL lets a source speak again from where the live version is, and takes the positions from their owners, who
	// learn of it when they claim them anew. The positions are locked first, so that nobody folds meanwhile.
	releaseSQL = `
WITH live AS MATERIALIZED (
	SELECT p.topic_id, p.partition, p.next_offset FROM positions p
	WHERE p.group_name = $1 AND p.version = $2 AND p.state <> 'replaced'
	ORDER BY p.cluster_id, p.topic_id, p.partition FOR UPDATE),
released AS (
	UPDATE set_aside a SET to_offset = GREATEST(a.from_offset, l.next_offset)
	FROM live l
	WHERE a.group_name = $1 AND a.topic_id = l.topic_id AND a.partition = l.partition AND a.source = $3 AND a.to_offset IS NULL
	RETURNING a.partition),
taken AS (
	UPDATE positions p SET owner_epoch = owner_epoch + 1
	FROM released r
	WHERE p.group_name = $1 AND p.version = $2 AND p.state <> 'replaced' AND p.partition = r.partition)
SELECT partition FROM released ORDER BY partition`
)

// Aside is a stretch of a partition in which a source is set aside: its records become dead letters.
type Aside struct {
	Source string
	From   int64
	To     *int64 // nil: to the end
}

// Covers tells whether the record of a source at an offset is set aside.
func (a *Aside) Covers(source string, offset int64) bool {
	return a.Source == source && offset >= a.From && (a.To == nil || offset < *a.To)
}

// Aside returns where sources are or were set aside, by partition.
func (l *Log) Aside(ctx context.Context, db Querier, partitions []int) (map[int][]Aside, error) {
	rows, err := db.Query(ctx, asideSQL, l.Group, l.TopicID, integers(partitions))
	if err != nil {
		return nil, fmt.Errorf("read which sources are set aside: %w", err)
	}
	all := map[int][]Aside{}
	var partition int
	var aside Aside
	if _, err := pgx.ForEachRow(rows, []any{&partition, &aside.Source, &aside.From, &aside.To}, func() error {
		all[partition] = append(all[partition], aside)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read which sources are set aside: %w", err)
	}
	return all, nil
}

// SetAside sets a source aside from an offset of a partition on. It returns ErrFenced when the partition has another owner.
func (l *Log) SetAside(ctx context.Context, db Execer, partition int, at Position, source string, from int64, detail string) error {
	tag, err := db.Exec(ctx, setAsideSQL, l.Group, l.Version, l.Cluster, l.TopicID, partition, source, from, detail, at.OwnerEpoch, at.Next)
	if err != nil {
		return fmt.Errorf("set source aside: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}

// AsideRow is a source that is set aside, as an operator sees it.
type AsideRow struct {
	Group     string    `json:"group"`
	Topic     string    `json:"topic"`
	Partition int       `json:"partition"`
	Source    string    `json:"source"`
	From      int64     `json:"from_offset"`
	Detail    string    `json:"detail"`
	CreatedAt time.Time `json:"created_at"`
}

// AsideNow lists the sources that a group has set aside; of all groups if group is empty.
func AsideNow(ctx context.Context, db Querier, group string) ([]AsideRow, error) {
	return collect(ctx, db, "list sources that are set aside", pgx.RowToStructByPos[AsideRow], openAsideSQL, group)
}

// Release lets a source speak again, and returns in which partitions it was set aside.
func Release(ctx context.Context, tx *postgres.Tx, group string, version int, source string) ([]int, error) {
	return collect(ctx, tx, "release source", pgx.RowTo[int], releaseSQL, group, version, source)
}
