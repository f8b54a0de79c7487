package postgres_test

import (
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/schema"
)

// migrator is a database to be migrated step by step.
type migrator struct {
	*testing.T
	pool     *pgxpool.Pool
	provider *goose.Provider
}

// migratorAt returns a database as it was at a version of the schema. Statements of its pool have little time.
func migratorAt(t *testing.T, version int64) *migrator {
	t.Helper()
	of, _ := testenv.Database(t)
	config := of.Config()
	config.ConnConfig.RuntimeParams["statement_timeout"] = "500ms"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	m := &migrator{T: t, pool: pool}
	m.must(err)
	t.Cleanup(pool.Close)
	files, err := fs.Sub(schema.Migrations, "migrations")
	m.must(err)
	m.provider, err = goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(of), files)
	m.must(err)
	_, err = m.provider.DownTo(t.Context(), version)
	m.must(err)
	m.provider, err = goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(pool), files)
	m.must(err)
	return m
}

func (m *migrator) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *migrator) exec(sql string) {
	m.Helper()
	_, err := m.pool.Exec(m.Context(), sql)
	m.must(err)
}

// awaitBlocked waits until a migration has waited for a lock for longer than a statement may take.
func (m *migrator) awaitBlocked() {
	m.Helper()
	testenv.Eventually(m.T, 30*time.Second, 10*time.Millisecond, "the migration waits", func() error {
		var blocked bool
		err := m.pool.QueryRow(m.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND now() - query_start > '700ms')`).Scan(&blocked)
		if err == nil && !blocked {
			err = pgx.ErrNoRows
		}
		return err
	})
}

// Tokens keep what their persons could do, and from then on each has roles of its own.
func TestRolesMoveToTokens(t *testing.T) {
	m := migratorAt(t, 17)
	m.exec("INSERT INTO users (id, roles) VALUES ('ann', '{owner}'), ('bob', '{operator,owner}'), ('eve', '{operator}'), ('new', '{owner}')")
	m.exec("INSERT INTO tokens (hash, user_id, kind) VALUES ('1', 'ann', 'bearer'), ('2', 'bob', 'bearer'), ('3', 'bob', 'session'), ('4', 'eve', 'bearer')")
	_, err := m.provider.UpTo(t.Context(), 18)
	m.must(err)
	m.exec("INSERT INTO tokens (hash, user_id, kind) VALUES ('5', 'bob', 'bearer')")
	rows, err := m.pool.Query(t.Context(), "SELECT user_id || ' ' || roles::text FROM tokens ORDER BY hash")
	m.must(err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	m.must(err)
	if diff := cmp.Diff([]string{"ann {owner}", "bob {operator,owner}", "bob {operator,owner}", "eve {operator}", "bob {owner}"}, found); diff != "" {
		t.Error(diff)
	}
}

// Every version keeps its effects, also those that a consumer adds while the migration runs, however long it takes.
func TestEffectsAreMigrated(t *testing.T) {
	m := migratorAt(t, 12)
	m.exec("INSERT INTO versions (group_name, version, fold_version, state) VALUES ('weights', 2, 1, 'building')")
	m.exec("CREATE TABLE repeats_weights_2 PARTITION OF repeats_weights FOR VALUES IN (2)")
	const add = "INSERT INTO repeats SELECT 'weights', $1::int, md5($2::int::text)::uuid, $2::int"
	consumer, err := m.pool.Begin(t.Context())
	m.must(err)
	defer consumer.Rollback(t.Context()) //nolint:errcheck // after a commit it does nothing
	for _, row := range [][2]int{{1, 10}, {2, 20}} {
		_, err := m.pool.Exec(t.Context(), add, row[0], row[1])
		m.must(err)
	}
	_, err = consumer.Exec(t.Context(), add, 1, 11)
	m.must(err)
	migrated := make(chan error, 1)
	go func() {
		_, err := m.provider.UpTo(t.Context(), 13)
		migrated <- err
	}()
	m.awaitBlocked()
	m.must(consumer.Commit(t.Context()))
	m.must(<-migrated)
	rows, err := m.pool.Query(t.Context(), `
		SELECT 1, content_hash FROM processed_effects_weights_1 UNION ALL
		SELECT 2, content_hash FROM processed_effects_weights_2 UNION ALL
		SELECT 3, content_hash FROM processed_effects_policystats_1 ORDER BY 1, 2`)
	m.must(err)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Version, Hash int64 }])
	m.must(err)
	if diff := cmp.Diff([]struct{ Version, Hash int64 }{{1, 10}, {1, 11}, {2, 20}}, found); diff != "" {
		t.Error(diff)
	}
}
