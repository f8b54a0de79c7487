package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/postgres"
)

const (
	// nextVersionSQL takes the next number under the projection's lock.
	nextVersionSQL = `
SELECT GREATEST(p.live_version, (SELECT max(version) FROM versions WHERE group_name = p.group_name)) + 1
FROM projections p WHERE p.group_name = $1 FOR UPDATE`

	// addVersionSQL adds a version that is being built.
	addVersionSQL = `
INSERT INTO versions (group_name, version, fold_version, state) VALUES ($1, $2, $3, 'building')`

	// createTableSQL and attachTableSQL make a version's part of a table. PARTITION OF would lock out every reader of
	// the parent. Long texts lie apart, so that what looks at many rows reads few pages.
	createTableSQL = `CREATE TABLE %s (LIKE %s INCLUDING ALL) WITH (fillfactor = 60, toast_tuple_target = 512)`
	attachTableSQL = `ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN (%d)`

	// createEffectsSQL makes a version's table of processed effects. It is no partition: columns that are the same in
	// every row would take a third of it.
	createEffectsSQL = `CREATE TABLE IF NOT EXISTS %s (effect_key uuid PRIMARY KEY, content_hash bigint NOT NULL)`

	forgetPreviousSQL = `
UPDATE projections SET previous_version = NULL WHERE group_name = $1 AND previous_version = $2`

	retireSQL = `
UPDATE versions SET state = 'retired' WHERE group_name = $1 AND version = $2`

	dropPositionsSQL = `
DELETE FROM positions WHERE group_name = $1 AND version = $2`

	dropSequencesSQL = `
DELETE FROM relay_sequences WHERE group_name = $1 AND version = $2`
	dropPlacesSQL = `
DELETE FROM erasure_places WHERE group_name = $1 AND version = $2`

	// dropVersionSQL comes last, so that a number is not used again while its tables exist.
	dropVersionSQL = `
DELETE FROM versions WHERE group_name = $1 AND version = $2`

	// attachedSQL tells whether a partition is attached, and whether its detaching was begun.
	attachedSQL = `
SELECT COALESCE(bool_or(true), false), COALESCE(bool_or(inhdetachpending), false)
FROM pg_inherits WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2)`
)

// Projection names the tables of a group.
type Projection struct {
	Group       string
	FoldVersion int
	Tables      []string // partitioned by version
	Effects     bool     // whether the group keeps processed effects
}

// EnsureBuilding returns the version that is being built and adds one if there is none. Of processes that call it at the
// same time one adds it, and the others get the same.
func EnsureBuilding(ctx context.Context, pool *pgxpool.Pool, p Projection) (building Version, err error) {
	var number int
	err = postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
		if _, _, err := lockProjection(ctx, tx, p.Group); err != nil {
			return err
		}
		found := false
		if building, found, err = Building(ctx, tx, p.Group); err != nil || found {
			return err
		}
		if number, err = addVersion(ctx, tx, p); err != nil {
			return err
		}
		building, err = FindVersion(ctx, tx, p.Group, number)
		return err
	})
	if err != nil {
		return Version{}, fmt.Errorf("find or create a version of %s: %w", p.Group, err)
	}
	return building, nil
}

// CreateVersion adds an empty version, and attaches its tables, which blocks no live fold. It waits for no lock longer
// than the pool's lock_timeout.
func CreateVersion(ctx context.Context, pool *pgxpool.Pool, p Projection) (version int, err error) {
	err = postgres.InTx(ctx, pool, func(tx *postgres.Tx) error {
		version, err = addVersion(ctx, tx, p)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create version of %s: %w", p.Group, err)
	}
	return version, nil
}

func addVersion(ctx context.Context, tx *postgres.Tx, p Projection) (version int, err error) {
	if err := tx.QueryRow(ctx, nextVersionSQL, p.Group).Scan(&version); err != nil {
		return 0, err
	}
	tx.Queue(addVersionSQL, p.Group, version, p.FoldVersion)
	if p.Effects {
		tx.Queue(fmt.Sprintf(createEffectsSQL, quote(EffectsTable(p.Group, version))))
	}
	for _, parent := range p.Tables {
		child := childTable(parent, version)
		tx.Queue(fmt.Sprintf(createTableSQL, quote(child), quote(parent)))
		tx.Queue(fmt.Sprintf(attachTableSQL, quote(parent), quote(child), version))
	}
	return version, tx.Flush(ctx)
}

func childTable(parent string, version int) string { return fmt.Sprintf("%s_%d", parent, version) }

// EffectsTable names the table of a version's processed effects.
func EffectsTable(group string, version int) string {
	return fmt.Sprintf("processed_effects_%s_%d", group, version)
}

// quote makes an identifier of a name that comes from a group's code, never from outside.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// DropVersion deletes a version that is not live, and its tables. Whoever still builds it loses it first. It can be
// repeated after it was interrupted.
func DropVersion(ctx context.Context, pool *pgxpool.Pool, p Projection, version int) error {
	if err := dropVersion(ctx, pool, p, version); err != nil {
		return fmt.Errorf("drop version %d of %s: %w", version, p.Group, err)
	}
	return nil
}

func dropVersion(ctx context.Context, pool *pgxpool.Pool, p Projection, version int) error {
	if err := postgres.InTx(ctx, pool, func(tx *postgres.Tx) error { return retire(ctx, tx, p.Group, version) }); err != nil {
		return err
	}
	for _, parent := range p.Tables {
		if err := detach(ctx, pool, parent, childTable(parent, version)); err != nil {
			return err
		}
	}
	tables := []string{EffectsTable(p.Group, version)}
	for _, parent := range p.Tables {
		tables = append(tables, childTable(parent, version))
	}
	for _, table := range tables {
		if _, err := pool.Exec(ctx, fmt.Sprintf("DROP TABLE IF EXISTS %s", quote(table))); err != nil {
			return err
		}
	}
	_, err := pool.Exec(ctx, dropVersionSQL, p.Group, version)
	return err
}

// retire takes a version's positions away, so that nobody folds into tables that are about to go, and the ways by
// which it could become live. It holds the projection's lock against a swap.
func retire(ctx context.Context, tx *postgres.Tx, group string, version int) error {
	live, _, err := lockProjection(ctx, tx, group)
	if err != nil {
		return err
	}
	if live == version {
		return errors.New("it is live: swap another in first")
	}
	if _, err := FindVersion(ctx, tx, group, version); err != nil {
		return err
	}
	for _, statement := range []string{forgetPreviousSQL, retireSQL, dropPositionsSQL, dropSequencesSQL, dropPlacesSQL} {
		tx.Queue(statement, group, version)
	}
	return nil
}

// detach detaches a table without blocking those who use the parent, as far as it is still attached: it ends what an
// earlier attempt began, or begins. The backend of an earlier attempt may still be at it, so what counts after an error
// is whether the table is attached.
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
