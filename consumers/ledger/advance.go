package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// byIndexSQL has all that follows in the transaction find its rows by an index, and in its order: plans are kept from when
	// tables were small, and a table that is updated all the time is large beside a long snapshot, however few rows it has.
	byIndexSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`

	// advanceSQL is the compare-and-set of positions. It takes the rows in order, and changes fewer than were named when
	// one of them has another owner or another offset. LATERAL and OFFSET 0 look them up one by one, each by its whole key.
	advanceSQL = `
WITH wanted AS (
	SELECT * FROM unnest($5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::timestamptz[],
	                     $11::bigint[], $12::bigint[], $13::bigint[])
	AS t (partition, expected, owner_epoch, next_offset, leader_epoch, last_event_at, applied, repeated, dead_lettered)),
mine AS (
	SELECT p.* FROM (SELECT * FROM wanted ORDER BY partition) w
	CROSS JOIN LATERAL (
		SELECT partition, ctid AS place FROM positions
		WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = w.partition
		  AND next_offset = w.expected AND owner_epoch = w.owner_epoch AND state = 'running'
		OFFSET 0 FOR UPDATE) p)
UPDATE positions p
SET next_offset = w.next_offset, leader_epoch = w.leader_epoch,
    last_event_at = COALESCE(w.last_event_at, p.last_event_at), updated_at = now(),
    fetched = p.fetched + w.applied + w.repeated + w.dead_lettered, applied = p.applied + w.applied,
    repeated = p.repeated + w.repeated, dead_lettered = p.dead_lettered + w.dead_lettered
FROM wanted w
WHERE p.ctid = ANY (ARRAY(SELECT place FROM mine)) AND p.partition = w.partition`

	// advanceUnguardedSQL is advanceSQL without the comparison, for the control that proves the comparison is needed.
	advanceUnguardedSQL = `
UPDATE positions p
SET next_offset = w.next_offset, leader_epoch = w.leader_epoch,
    last_event_at = COALESCE(w.last_event_at, p.last_event_at), updated_at = now(),
    fetched = p.fetched + w.applied + w.repeated + w.dead_lettered, applied = p.applied + w.applied,
    repeated = p.repeated + w.repeated, dead_lettered = p.dead_lettered + w.dead_lettered
FROM unnest($5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::timestamptz[],
            $11::bigint[], $12::bigint[], $13::bigint[])
     AS w (partition, expected, owner_epoch, next_offset, leader_epoch, last_event_at, applied, repeated, dead_lettered)
WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4 AND p.partition = w.partition`

	// compareSQL locks positions in order and returns those that are where they are expected.
	compareSQL = `
SELECT p.partition
FROM (SELECT * FROM unnest($5::int[], $6::bigint[], $7::bigint[]) AS t (partition, expected, owner_epoch) ORDER BY partition) w
CROSS JOIN LATERAL (
	SELECT partition FROM positions
	WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = w.partition
	  AND next_offset = w.expected AND owner_epoch = w.owner_epoch AND state = 'running'
	OFFSET 0 FOR UPDATE) p`

	// ownersSQL reads back where positions are and who owns them.
	ownersSQL = `
SELECT partition, next_offset, owner_epoch FROM positions
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = ANY ($5::int[])`
)

// Advance is what a batch does to the position of one partition.
type Advance struct {
	Partition            int
	Expected, OwnerEpoch int64
	Next                 int64
	LeaderEpoch          int32
	LastEventAt          time.Time // zero: as before

	Applied, Repeated, DeadLettered int64 // the outcomes of the records in between
}

// Compare locks the positions that advances start from, before anything else is done in the transaction. The round trip
// that it goes out with fails with ErrFenced when one of them is not where it is expected.
func (l *Log) Compare(tx *postgres.Tx, advances []Advance) {
	if failpoint.Broken("cas") {
		return
	}
	partitions, expected, owners := make([]int32, len(advances)), make([]int64, len(advances)), make([]int64, len(advances))
	for i, a := range advances {
		partitions[i], expected[i], owners[i] = int32(a.Partition), a.Expected, a.OwnerEpoch
	}
	tx.Queue(byIndexSQL)
	tx.Queue(compareSQL, l.Group, l.Version, l.Cluster, l.TopicID, partitions, expected, owners).Query(func(rows pgx.Rows) error {
		found := 0
		for rows.Next() {
			found++
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("compare positions: %w", err)
		}
		if found != len(advances) {
			return ErrFenced
		}
		return nil
	})
}

// Advance moves the positions of all advances. The round trip that it goes out with fails with ErrFenced when one of them
// is not where it is expected: nothing may be committed then.
func (l *Log) Advance(tx *postgres.Tx, advances []Advance) {
	n := len(advances)
	partitions, epochs := make([]int32, n), make([]int32, n)
	expected, owners, next := make([]int64, n), make([]int64, n), make([]int64, n)
	applied, repeated, dead := make([]int64, n), make([]int64, n), make([]int64, n)
	times := make([]*time.Time, n)
	for i, a := range advances {
		partitions[i], expected[i], owners[i], next[i], epochs[i] = int32(a.Partition), a.Expected, a.OwnerEpoch, a.Next, a.LeaderEpoch
		applied[i], repeated[i], dead[i] = a.Applied, a.Repeated, a.DeadLettered
		if at := storable(a.LastEventAt); !at.IsZero() {
			times[i] = &at
		}
	}
	tx.Queue(byIndexSQL)
	statement, guarded := advanceSQL, !failpoint.Broken("cas")
	if !guarded {
		statement = advanceUnguardedSQL
	}
	tx.Queue(statement, l.Group, l.Version, l.Cluster, l.TopicID, partitions, expected, owners,
		next, epochs, times, applied, repeated, dead).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != int64(n) {
			return ErrFenced
		}
		return nil
	})
}

// Owner is where a position is and who owns it.
type Owner struct {
	Next       int64
	OwnerEpoch int64
}

// Owners returns where partitions are and who owns them now; those without a position are missing.
func (l *Log) Owners(ctx context.Context, db Querier, partitions []int) (map[int]Owner, error) {
	rows, err := db.Query(ctx, ownersSQL, l.Group, l.Version, l.Cluster, l.TopicID, integers(partitions))
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	owners := map[int]Owner{}
	var partition int
	var owner Owner
	if _, err := pgx.ForEachRow(rows, []any{&partition, &owner.Next, &owner.OwnerEpoch}, func() error {
		owners[partition] = owner
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return owners, nil
}

// Landed tells, after an Advance that was fenced, whether that is because the very same advances committed before.
func (l *Log) Landed(ctx context.Context, db Querier, advances []Advance) (bool, error) {
	partitions := make([]int, len(advances))
	for i, a := range advances {
		partitions[i] = a.Partition
	}
	owners, err := l.Owners(ctx, db, partitions)
	if err != nil {
		return false, err
	}
	for _, a := range advances {
		if at := owners[a.Partition]; at.Next != a.Next || at.OwnerEpoch != a.OwnerEpoch {
			return false, nil
		}
	}
	return true, nil
}

// storable returns the time that a producer gave a record, or the zero time when there is none or PostgreSQL cannot
// keep it: it is for people, and no reason to refuse the record.
func storable(t time.Time) time.Time {
	const latest = 253402300799 // 9999-12-31T23:59:59Z
	if t.UnixMilli() < 0 || t.Unix() > latest {
		return time.Time{}
	}
	return t
}
