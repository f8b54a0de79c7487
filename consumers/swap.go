package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/failpoint"
)

// ErrBehind tells that a version has folded too little to take the live one's place.
var ErrBehind = errors.New("the version is too far behind the live one")

// Swap makes version the live one, if it is at most maxLag records behind the live one in each partition. Readers see
// the old version until the commit and the new one after it; workers of both lose their positions and go on from the
// new version's own. It touches PostgreSQL only and returns how long the positions were locked.
func Swap(ctx context.Context, pool *pgxpool.Pool, group string, version int, maxLag int64, actor, reason string) (time.Duration, error) {
	return flip(ctx, pool, group, "swap", maxLag, actor, reason, func(int, *int) (int, error) { return version, nil })
}

// Rollback makes the version live again that was live before the last swap. It goes on from its own positions, so what
// was folded since is folded again into it.
func Rollback(ctx context.Context, pool *pgxpool.Pool, group, actor, reason string) (time.Duration, error) {
	return flip(ctx, pool, group, "rollback", -1, actor, reason, func(_ int, previous *int) (int, error) {
		if previous == nil {
			return 0, fmt.Errorf("%s has no earlier version to roll back to", group)
		}
		return *previous, nil
	})
}

func flip(ctx context.Context, pool *pgxpool.Pool, group, verb string, maxLag int64, actor, reason string, choose func(live int, previous *int) (int, error)) (locked time.Duration, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		began := time.Now()
		defer func() { locked = time.Since(began) }()
		var live int
		var previous *int
		if err := tx.QueryRow(ctx, lockProjectionSQL, group).Scan(&live, &previous); err != nil {
			return fmt.Errorf("lock projection %s: %w", group, err)
		}
		version, err := choose(live, previous)
		if err != nil {
			return err
		}
		if version == live {
			return fmt.Errorf("version %d of %s is live already", version, group)
		}
		positions, err := lockPositions(ctx, tx, group, live, version)
		if err != nil {
			return err
		}
		failpoint.Hit("swap_after_lock")
		if len(positions[version]) == 0 && len(positions[live]) > 0 {
			return fmt.Errorf("%w: version %d has folded nothing", ErrBehind, version)
		}
		if maxLag >= 0 {
			if err := positions.check(live, version, maxLag); err != nil {
				return err
			}
		}
		if err := flipPointer(ctx, tx, group, live, version); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, addAuditSQL, actor, verb, group, version, "", nil, live, version, reason); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		failpoint.Hit("swap_after_flip")
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", verb, err)
	}
	return locked, nil
}

func flipPointer(ctx context.Context, tx pgx.Tx, group string, live, version int) error {
	tag, err := tx.Exec(ctx, swapStatesSQL, group, version, live)
	if err != nil {
		return fmt.Errorf("change states: %w", err)
	}
	if tag.RowsAffected() != 2 {
		return fmt.Errorf("version %d of %s does not exist", version, group)
	}
	if _, err := tx.Exec(ctx, flipSQL, group, version, live); err != nil {
		return fmt.Errorf("flip pointer: %w", err)
	}
	if _, err := tx.Exec(ctx, fenceSQL, group, []int{live, version}); err != nil {
		return fmt.Errorf("fence workers: %w", err)
	}
	return nil
}

// partitionKey names a partition of a log across versions.
type partitionKey struct {
	cluster   string
	topicID   events.UUID
	partition int
}

type positionRow struct {
	next  int64
	state string
}

// lockedPositions are the positions of versions while a transaction holds their locks.
type lockedPositions map[int]map[partitionKey]positionRow

func lockPositions(ctx context.Context, tx pgx.Tx, group string, versions ...int) (lockedPositions, error) {
	rows, err := tx.Query(ctx, lockPositionsSQL, group, versions)
	if err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	result := lockedPositions{}
	var version int
	var key partitionKey
	var row positionRow
	_, err = pgx.ForEachRow(rows, []any{&version, &key.cluster, &key.topicID, &key.partition, &row.next, &row.state}, func() error {
		if result[version] == nil {
			result[version] = map[partitionKey]positionRow{}
		}
		result[version][key] = row
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock positions: %w", err)
	}
	return result, nil
}

// check compares a version with the live one, partition by partition.
func (l lockedPositions) check(live, version int, maxLag int64) error {
	for key, at := range l[live] {
		own, ok := l[version][key]
		switch {
		case !ok && at.next > 0:
			return fmt.Errorf("%w: it has not begun partition %d", ErrBehind, key.partition)
		case own.state == "halted":
			return fmt.Errorf("version %d is halted in partition %d: see applylens positions show", version, key.partition)
		case at.next-own.next > maxLag:
			return fmt.Errorf("%w: %d records in partition %d", ErrBehind, at.next-own.next, key.partition)
		}
	}
	return nil
}
