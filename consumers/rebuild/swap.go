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
		if err := checkClose(positions[live], positions[version], version, maxLag); err != nil {
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

// checkClose compares the positions of a version with those of the live one, partition by partition. A negative maxLag
// accepts any lag, but not a version that has folded nothing.
func checkClose(live, other map[ledger.LogPartition]ledger.LockedPosition, version int, maxLag int64) error {
	if len(other) == 0 && len(live) > 0 {
		return fmt.Errorf("%w: version %d has folded nothing", ErrBehind, version)
	}
	if maxLag < 0 {
		return nil
	}
	for key, at := range live {
		own, ok := other[key]
		switch {
		case !ok && at.Next > 0:
			return fmt.Errorf("%w: it has not begun partition %d", ErrBehind, key.Partition)
		case own.State == ledger.StateHalted:
			return fmt.Errorf("version %d is halted in partition %d: see applylens positions show", version, key.Partition)
		case at.Next-own.Next > maxLag:
			return fmt.Errorf("%w: %d records in partition %d", ErrBehind, at.Next-own.Next, key.Partition)
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

// swapWhenClose does not wait between attempts, since the version would only fall behind.
func swapWhenClose(ctx context.Context, cfg *consumers.Config, version int, maxLag int64, actor, reason string) (time.Duration, error) {
	for attempt := 1; ; attempt++ {
		unread := catchUp(ctx, cfg, version, false)
		if unread != nil && !errors.Is(unread, errUnread) {
			return 0, unread
		}
		locked, err := Swap(ctx, cfg.Pool, cfg.Group.Name, version, maxLag, actor, reason)
		switch {
		case !errors.Is(err, ErrBehind):
			return locked, err
		case unread != nil:
			return 0, fmt.Errorf("%w; %w", err, unread)
		case attempt == swapAttempts:
			return 0, err
		}
	}
}
