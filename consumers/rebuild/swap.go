package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/postgres"
)

// ErrBehind tells that a version has folded too little to take the live one's place.
var ErrBehind = errors.New("the version is too far behind the live one")

// behindError is ErrBehind about one partition.
type behindError struct {
	partition int
	detail    string
}

func (e *behindError) Error() string { return fmt.Sprintf("%v: %s", ErrBehind, e.detail) }
func (e *behindError) Unwrap() error { return ErrBehind }

// allowance is how many records a version may be behind the live one in a partition.
type allowance func(partition int) int64

// anyLag allows everything.
const anyLag = -1

// Swap makes version the live one, if it is at most maxLag records behind the live one in each partition. Readers see
// the old version until the commit and the new one after it; workers of both lose their positions and go on from the
// new version's own. It touches PostgreSQL only and returns how long the positions were locked.
func Swap(ctx context.Context, pool *pgxpool.Pool, group string, version int, maxLag int64, actor, reason string) (time.Duration, error) {
	return swap(ctx, pool, group, version, func(int) int64 { return maxLag }, actor, reason)
}

func swap(ctx context.Context, pool *pgxpool.Pool, group string, version int, allowed allowance, actor, reason string) (time.Duration, error) {
	return flip(ctx, pool, group, "swap", allowed, actor, reason, func(int, *int) (int, error) { return version, nil })
}

// Rollback makes the version live again that was live before the last swap. It goes on from its own positions, so what
// was folded since is folded again into it.
func Rollback(ctx context.Context, pool *pgxpool.Pool, group, actor, reason string) (time.Duration, error) {
	return flip(ctx, pool, group, "rollback", func(int) int64 { return anyLag }, actor, reason, func(_ int, previous *int) (int, error) {
		if previous == nil {
			return 0, fmt.Errorf("%s has no earlier version to roll back to", group)
		}
		return *previous, nil
	})
}

func flip(ctx context.Context, pool *pgxpool.Pool, group, verb string, allowed allowance, actor, reason string, choose func(live int, previous *int) (int, error)) (locked time.Duration, err error) {
	err = postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
		began := time.Now()
		defer func() { locked = time.Since(began) }()
		live, previous, err := ledger.LockProjection(ctx, tx, group)
		if err != nil {
			return err
		}
		version, err := choose(live, previous)
		if err != nil {
			return err
		}
		if version == live {
			return fmt.Errorf("version %d of %s is live already", version, group)
		}
		positions, err := ledger.LockPositions(ctx, tx, group, live, version)
		if err != nil {
			return err
		}
		failpoint.Hit("swap_after_lock")
		if err := checkClose(positions[live], positions[version], version, allowed); err != nil {
			return err
		}
		if err := ledger.Flip(ctx, tx, group, live, version); err != nil {
			return err
		}
		from, to := int64(live), int64(version)
		audit := ledger.Audit{Actor: actor, Verb: verb, Group: group, Version: version, From: &from, To: &to, Reason: reason}
		audit.Add(tx)
		if err := tx.Flush(ctx); err != nil {
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

// checkClose compares the positions of a version with those of the live one, partition by partition. One that has folded nothing
// is never close.
func checkClose(live, other map[ledger.LogPartition]ledger.LockedPosition, version int, allowed allowance) error {
	if len(other) == 0 && len(live) > 0 {
		return fmt.Errorf("%w: version %d has folded nothing", ErrBehind, version)
	}
	for key, at := range live {
		own, ok := other[key]
		most := allowed(key.Partition)
		switch {
		case most < 0:
		case !ok && at.Next > 0:
			return &behindError{key.Partition, fmt.Sprintf("it has not begun partition %d", key.Partition)}
		case own.State == ledger.StateHalted:
			return fmt.Errorf("version %d is halted in partition %d: see applylens positions show", version, key.Partition)
		case at.Next-own.Next > most:
			return &behindError{key.Partition, fmt.Sprintf("%d records in partition %d", at.Next-own.Next, key.Partition)}
		}
	}
	return nil
}

// swapAttempts is how often swapWhenClose goes to the tail before it gives up.
const swapAttempts = 21

// SwapWhenClose keeps the version that is being built at the tail and swaps it in as soon as it is close enough. It makes
// no version, since nobody would have compared it.
func SwapWhenClose(ctx context.Context, cfg consumers.Config, maxLag int64, actor, reason string) (version int, locked time.Duration, err error) {
	if err := cfg.Validate(); err != nil {
		return 0, 0, err
	}
	building, err := findBegun(ctx, &cfg)
	if err != nil {
		return 0, 0, err
	}
	locked, err = swapWhenClose(ctx, &cfg, building.Version, maxLag, actor, reason)
	return building.Version, locked, err
}

// findBegun returns the version that is being built, unless nobody has begun to fold it.
func findBegun(ctx context.Context, cfg *consumers.Config) (ledger.Version, error) {
	building, err := findBuilding(ctx, cfg)
	if err != nil {
		return building, err
	}
	positions, err := ledger.NextOffsets(ctx, cfg.Pool, cfg.Group.Name, building.Version)
	if err == nil && len(positions) == 0 {
		err = fmt.Errorf("version %d of %s has folded nothing: build it with applylens rebuild run %[2]s", building.Version, cfg.Group.Name)
	}
	return building, err
}

// swapWhenClose does not wait between attempts, since the version would only fall behind. Of a partition that cannot be read,
// the version has to have all that the live one has.
func swapWhenClose(ctx context.Context, cfg *consumers.Config, version int, maxLag int64, actor, reason string) (time.Duration, error) {
	for attempt := 1; ; attempt++ {
		err := catchUp(ctx, cfg, version, false)
		var unread *unreadError
		if err != nil && !errors.As(err, &unread) {
			return 0, err
		}
		allowed := func(partition int) int64 {
			if !unread.canRead(partition) {
				return 0
			}
			return maxLag
		}
		locked, err := swap(ctx, cfg.Pool, cfg.Group.Name, version, allowed, actor, reason)
		var behind *behindError
		switch {
		case errors.As(err, &behind) && !unread.canRead(behind.partition):
			return 0, fmt.Errorf("%w; %w", err, unread)
		case !errors.Is(err, ErrBehind) || attempt == swapAttempts:
			return locked, err
		}
	}
}
