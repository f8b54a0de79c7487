package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/postgres"
)

const (
	// liveVersionSQL names the version that a group folds and readers see.
	liveVersionSQL = `
SELECT v.version, v.fold_version
FROM projections p JOIN versions v ON v.group_name = p.group_name AND v.version = p.live_version
WHERE p.group_name = $1`

	// takeRuleSQL lets a version into which nothing was folded yet be folded by another rule.
	takeRuleSQL = `
UPDATE versions v SET fold_version = $3
WHERE v.group_name = $1 AND v.version = $2
  AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version)`

	// lockProjectionSQL keeps swaps and drops of a projection apart, and claims away.
	lockProjectionSQL = `
SELECT live_version, previous_version FROM projections WHERE group_name = $1 FOR UPDATE`

	// listVersionsSQL lists the versions of a group, oldest first.
	listVersionsSQL = `
SELECT v.group_name, v.version, v.fold_version, v.state, v.throttle, v.paused, v.created_at, v.swapped_at,
       COALESCE((SELECT sum(next_offset - began_at) FROM positions p
                 WHERE p.group_name = v.group_name AND p.version = v.version AND p.state <> 'replaced'), 0)::bigint
FROM versions v WHERE v.group_name = $1 ORDER BY v.version`

	// paceSQL sets how fast a version may be built.
	paceSQL = `
UPDATE versions SET throttle = $3, paused = $4 WHERE group_name = $1 AND version = $2 AND state = 'building'`

	// pacingSQL reads it and, when there is a bound, counts the leases of all processes that share it.
	pacingSQL = `
SELECT throttle, paused, CASE WHEN throttle > 0 THEN (
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = $3::bigint::oid AND objid > 0::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) ELSE 0 END
FROM versions WHERE group_name = $1 AND version = $2`

	// firstHaltSQL reads the first partition of a version that is halted.
	firstHaltSQL = `
SELECT partition, next_offset, halt_reason, halt_detail FROM positions
WHERE group_name = $1 AND version = $2 AND state = 'halted' ORDER BY partition LIMIT 1`

	// nextOffsetsSQL reads the positions of a version.
	nextOffsetsSQL = `
SELECT partition, next_offset FROM positions WHERE group_name = $1 AND version = $2 AND state <> 'replaced'`
)

// The states of a version.
const (
	VersionLive     = "live"
	VersionBuilding = "building"
	VersionRetired  = "retired"
)

// Version is one version of a projection.
type Version struct {
	Group       string     `json:"group"`
	Version     int        `json:"version"`
	FoldVersion int        `json:"fold_version"`
	State       string     `json:"state"` // live, building or retired
	Throttle    int        `json:"throttle"`
	Paused      bool       `json:"paused"`
	CreatedAt   time.Time  `json:"created_at"`
	SwappedAt   *time.Time `json:"swapped_at,omitempty"`
	Records     int64      `json:"records"` // folded so far
}

// Versions lists the versions of a group, oldest first.
func Versions(ctx context.Context, db Querier, group string) ([]Version, error) {
	return collect(ctx, db, "list versions", pgx.RowToStructByPos[Version], listVersionsSQL, group)
}

// Building returns the version of the group that is being built, or false.
func Building(ctx context.Context, db Querier, group string) (Version, bool, error) {
	versions, err := Versions(ctx, db, group)
	if err != nil {
		return Version{}, false, err
	}
	for _, v := range versions {
		if v.State == VersionBuilding {
			return v, true, nil
		}
	}
	return Version{}, false, nil
}

// FindVersion returns a version of the group, and an error that says so when there is none.
func FindVersion(ctx context.Context, db Querier, group string, version int) (Version, error) {
	versions, err := Versions(ctx, db, group)
	if err != nil {
		return Version{}, err
	}
	for _, v := range versions {
		if v.Version == version {
			return v, nil
		}
	}
	return Version{}, fmt.Errorf("version %d of %s does not exist: see applylens rebuild list %[2]s", version, group)
}

// LiveVersion returns the live version of a group and the rule by which it was folded.
func LiveVersion(ctx context.Context, db Querier, group string) (version, foldVersion int, err error) {
	err = db.QueryRow(ctx, liveVersionSQL, group).Scan(&version, &foldVersion)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, fmt.Errorf("there is no projection %s in the database: run applylens migrate", group)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read live version of %s: %w", group, err)
	}
	return version, foldVersion, nil
}

// LiveVersionFor does the same, but a version into which nothing was folded yet, such as the first one that a migration
// makes, takes the given rule.
func LiveVersionFor(ctx context.Context, pool *pgxpool.Pool, group string, rule int) (version, foldVersion int, err error) {
	version, foldVersion, err = LiveVersion(ctx, pool, group)
	if err != nil || foldVersion == rule {
		return version, foldVersion, err
	}
	err = postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
		if _, _, err := lockProjection(ctx, tx, group); err != nil { // until then nobody claims
			return err
		}
		tag, err := tx.Exec(ctx, takeRuleSQL, group, version, rule)
		if err == nil && tag.RowsAffected() == 1 {
			foldVersion = rule
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look whether version %d of %s is empty: %w", version, group, err)
	}
	return version, foldVersion, nil
}

func lockProjection(ctx context.Context, tx *postgres.Tx, group string) (live int, previous *int, err error) {
	if err := tx.QueryRow(ctx, lockProjectionSQL, group).Scan(&live, &previous); err != nil {
		return 0, nil, fmt.Errorf("lock projection %s: %w", group, err)
	}
	return live, previous, nil
}

// SetPace sets how fast a version may be built: records per second, 0 for no bound, and whether it waits.
func SetPace(ctx context.Context, db Execer, group string, version, throttle int, paused bool) error {
	tag, err := db.Exec(ctx, paceSQL, group, version, throttle, paused)
	if err != nil {
		return fmt.Errorf("pace version %d of %s: %w", version, group, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("version %d of %s is not being built", version, group)
	}
	return nil
}

// Pace is how fast a version may be built.
type Pace struct {
	Throttle int // records per second; 0: no bound
	Paused   bool
	Leases   int // partitions that share the rate, of all processes; counted only when there is a bound
}

// Pace returns what SetPace set, and how many share it.
func (l *Log) Pace(ctx context.Context, db Querier) (p Pace, err error) {
	key := int64(uint32(leaseKey(l.Group, l.Version)))
	if err := db.QueryRow(ctx, pacingSQL, l.Group, l.Version, key).Scan(&p.Throttle, &p.Paused, &p.Leases); err != nil {
		return Pace{}, fmt.Errorf("read pace of version %d of %s: %w", l.Version, l.Group, err)
	}
	return p, nil
}

// Halted returns an error that wraps the Halt of a version's first halted partition, nil when none is halted.
func Halted(ctx context.Context, db Querier, group string, version int) error {
	var partition int
	var next int64
	var halt Halt
	err := db.QueryRow(ctx, firstHaltSQL, group, version).Scan(&partition, &next, &halt.Reason, &halt.Detail)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for halted partitions: %w", err)
	}
	return fmt.Errorf("version %d of %s, partition %d at %d: %w", version, group, partition, next, &halt)
}

// NextOffsets returns the positions of a version by partition.
func NextOffsets(ctx context.Context, db Querier, group string, version int) (map[int]int64, error) {
	rows, err := db.Query(ctx, nextOffsetsSQL, group, version)
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	positions := map[int]int64{}
	var partition int
	var next int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		positions[partition] = next
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	return positions, nil
}
