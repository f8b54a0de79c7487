package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// nextVersionSQL takes the next number under the projection's lock.
	nextVersionSQL = `
SELECT GREATEST(p.live_version, (SELECT max(version) FROM versions WHERE group_name = p.group_name)) + 1
FROM projections p WHERE p.group_name = $1 FOR UPDATE`

	addVersionSQL = `
INSERT INTO versions (group_name, version, fold_version, state) VALUES ($1, $2, $3, 'building')`

	listVersionsSQL = `
SELECT v.group_name, v.version, v.fold_version, v.state, v.throttle, v.paused, v.created_at, v.swapped_at,
       COALESCE((SELECT sum(next_offset - began_at) FROM positions p
                 WHERE p.group_name = v.group_name AND p.version = v.version AND p.state <> 'replaced'), 0)::bigint
FROM versions v WHERE v.group_name = $1 ORDER BY v.version`

	paceSQL = `
UPDATE versions SET throttle = $3, paused = $4 WHERE group_name = $1 AND version = $2 AND state = 'building'`

	// lockPositionsSQL stops both versions' transactions for as long as the swap takes, in the order in which they
	// take the rows themselves.
	lockPositionsSQL = `
SELECT version, cluster_id, topic_id, partition, next_offset, state FROM positions
WHERE group_name = $1 AND version = ANY ($2::int[]) AND state <> 'replaced'
ORDER BY cluster_id, topic_id, version, partition FOR UPDATE`

	flipSQL = `
UPDATE projections SET live_version = $2, previous_version = $3 WHERE group_name = $1`

	fenceSQL = `
UPDATE positions SET owner_epoch = owner_epoch + 1, owner = '' WHERE group_name = $1 AND version = ANY ($2::int[])`

	swapStatesSQL = `
UPDATE versions SET state = CASE WHEN version = $2 THEN 'live' ELSE 'retired' END,
                    swapped_at = CASE WHEN version = $2 THEN now() ELSE swapped_at END
WHERE group_name = $1 AND version IN ($2, $3)`

	addAuditSQL = `
INSERT INTO position_audit (actor, verb, group_name, version, topic, partition, from_offset, to_offset, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

	lockProjectionSQL = `
SELECT live_version, previous_version FROM projections WHERE group_name = $1 FOR UPDATE`

	retireSQL = `
UPDATE versions SET state = 'retired' WHERE group_name = $1 AND version = $2`

	dropPositionsSQL = `
DELETE FROM positions WHERE group_name = $1 AND version = $2`

	dropSequencesSQL = `
DELETE FROM relay_sequences WHERE group_name = $1 AND version = $2`

	// dropVersionSQL comes last, so that a number is not used again while its tables are there.
	dropVersionSQL = `
DELETE FROM versions WHERE group_name = $1 AND version = $2`

	// attachedSQL tells whether a partition is attached, and whether its detaching was begun.
	attachedSQL = `
SELECT COALESCE(bool_or(true), false), COALESCE(bool_or(inhdetachpending), false)
FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2)`

	forgetPreviousSQL = `
UPDATE projections SET previous_version = NULL WHERE group_name = $1 AND previous_version = $2`
)

// VersionInfo is one version of a projection.
type VersionInfo struct {
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
func Versions(ctx context.Context, pool *pgxpool.Pool, group string) ([]VersionInfo, error) {
	rows, err := pool.Query(ctx, listVersionsSQL, group)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	versions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[VersionInfo])
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return versions, nil
}

// Building returns the version of the group that is being built, or false.
func Building(ctx context.Context, pool *pgxpool.Pool, group string) (VersionInfo, bool, error) {
	versions, err := Versions(ctx, pool, group)
	if err != nil {
		return VersionInfo{}, false, err
	}
	for _, v := range versions {
		if v.State == "building" {
			return v, true, nil
		}
	}
	return VersionInfo{}, false, nil
}

// CreateVersion adds an empty version that is folded by this binary's rule, and attaches its tables, which blocks no
// live fold. It waits for no lock longer than the pool's lock_timeout.
func CreateVersion(ctx context.Context, pool *pgxpool.Pool, group *Group) (int, error) {
	var version int
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, nextVersionSQL, group.Name).Scan(&version); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, addVersionSQL, group.Name, version, group.FoldVersion); err != nil {
			return err
		}
		for _, parent := range group.parents() {
			child := childTable(parent, version)
			// LIKE and ATTACH instead of PARTITION OF: the latter would lock out every reader of the parent.
			// Long texts lie apart, so that what looks at many rows reads few pages.
			create := fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL) WITH (fillfactor = 60, toast_tuple_target = 512)", quote(child), quote(parent))
			attach := fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN (%d)", quote(parent), quote(child), version)
			if _, err := tx.Exec(ctx, create); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, attach); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("create version of %s: %w", group.Name, err)
	}
	return version, nil
}

// parents lists the tables that have a partition for each version.
func (g *Group) parents() []string {
	if len(g.Repeats) > 0 {
		return append([]string{"repeats_" + g.Name}, g.Tables...)
	}
	return g.Tables
}

func childTable(parent string, version int) string { return fmt.Sprintf("%s_%d", parent, version) }

// quote makes an identifier of a name that comes from a Group, never from outside.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// DropVersion deletes a version that is not live, and its tables. Whoever still builds it loses it first. It can be
// repeated after it was interrupted.
func DropVersion(ctx context.Context, pool *pgxpool.Pool, group *Group, version int) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return retire(ctx, tx, group.Name, version) })
	if err != nil {
		return fmt.Errorf("drop version %d of %s: %w", version, group.Name, err)
	}
	for _, parent := range group.parents() {
		if err := dropChild(ctx, pool, parent, childTable(parent, version)); err != nil {
			return fmt.Errorf("drop version %d of %s: %w", version, group.Name, err)
		}
	}
	if _, err := pool.Exec(ctx, dropVersionSQL, group.Name, version); err != nil {
		return fmt.Errorf("drop version %d of %s: %w", version, group.Name, err)
	}
	return nil
}

// retire takes a version's positions away, so that nobody folds into tables that are about to go, and the ways by
// which it could become live. It holds the projection's lock against a swap.
func retire(ctx context.Context, tx pgx.Tx, group string, version int) error {
	var live int
	if err := tx.QueryRow(ctx, lockProjectionSQL, group).Scan(&live, nil); err != nil {
		return fmt.Errorf("lock projection %s: %w", group, err)
	}
	if live == version {
		return errors.New("it is live: swap another in first")
	}
	for _, statement := range []string{forgetPreviousSQL, retireSQL, dropPositionsSQL, dropSequencesSQL} {
		if _, err := tx.Exec(ctx, statement, group, version); err != nil {
			return err
		}
	}
	return nil
}

// dropChild detaches without blocking those who use the parent, as far as it is still attached, and drops.
func dropChild(ctx context.Context, pool *pgxpool.Pool, parent, child string) error {
	if err := detach(ctx, pool, parent, child); err != nil {
		return err
	}
	_, err := pool.Exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s", quote(child)))
	return err
}

// detach ends what an earlier attempt began, or begins. The backend of an earlier attempt may still be at it: what
// counts after an error is whether the partition is attached.
func detach(ctx context.Context, pool *pgxpool.Pool, parent, child string) error {
	var attached, pending bool
	if err := pool.QueryRow(ctx, attachedSQL, quote(parent), quote(child)).Scan(&attached, &pending); err != nil || !attached {
		return err
	}
	how := "CONCURRENTLY"
	if pending { // an earlier attempt was interrupted while it waited for readers
		how = "FINALIZE"
	}
	_, failure := pool.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s %s", quote(parent), quote(child), how))
	if failure == nil {
		return nil
	}
	if err := pool.QueryRow(ctx, attachedSQL, quote(parent), quote(child)).Scan(&attached, &pending); err != nil || attached {
		return failure
	}
	return nil
}

// Pace sets how fast a version may be built: records per second, 0 for no bound, and whether it waits.
func Pace(ctx context.Context, pool *pgxpool.Pool, group string, version, throttle int, paused bool) error {
	tag, err := pool.Exec(ctx, paceSQL, group, version, throttle, paused)
	if err != nil {
		return fmt.Errorf("pace version %d of %s: %w", version, group, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("version %d of %s is not being built", version, group)
	}
	return nil
}

// liveRule returns the live version and the fold version that built it. A version into which nothing was folded yet, such
// as the first one that a migration makes, takes this binary's.
func liveRule(ctx context.Context, cfg *Config) (version, foldVersion int, err error) {
	name, rule := cfg.Group.Name, cfg.Group.FoldVersion
	version, foldVersion, err = liveVersion(ctx, cfg.Pool, name)
	if err != nil || foldVersion == rule {
		return version, foldVersion, err
	}
	err = pgx.BeginFunc(ctx, cfg.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, lockProjectionSQL, name).Scan(nil, nil); err != nil { // until then nobody claims
			return err
		}
		tag, err := tx.Exec(ctx, takeRuleSQL, name, version, rule)
		if tag.RowsAffected() == 1 {
			foldVersion = rule
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("look whether version %d of %s is empty: %w", version, name, err)
	}
	return version, foldVersion, nil
}

// liveVersion returns the live version of a group and the fold version that built it.
func liveVersion(ctx context.Context, db querier, group string) (version, foldVersion int, err error) {
	err = db.QueryRow(ctx, liveVersionSQL, group).Scan(&version, &foldVersion)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, fmt.Errorf("there is no projection %s in the database: run applylens migrate", group)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read live version of %s: %w", group, err)
	}
	return version, foldVersion, nil
}
