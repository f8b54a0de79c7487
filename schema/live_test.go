package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// selectProjections lists the tables that are partitioned by version.
const selectProjections = `
SELECT c.relname::text
FROM pg_partitioned_table p
JOIN pg_class c ON c.oid = p.partrelid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
WHERE a.attname = 'version' AND c.relnamespace = 'public'::regnamespace
ORDER BY 1`

// selectColumns lists the columns of a table or view with their types.
const selectColumns = `
SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
ORDER BY attname`

func column(t *testing.T, pool *pgxpool.Pool, statement string, arguments ...any) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), statement, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// A column that is added to a projection table fails this test until the table's view has it too.
func TestLiveViewsHaveAllColumns(t *testing.T) {
	pool, _ := testenv.Database(t)
	tables := column(t, pool, selectProjections)
	if len(tables) < 7 {
		t.Errorf("only %q are partitioned by version", tables)
	}
	for _, table := range tables {
		view := "live_" + table
		columns := column(t, pool, selectColumns, view)
		if len(columns) == 0 {
			t.Errorf("there is no view %s", view)
		}
		if diff := cmp.Diff(column(t, pool, selectColumns, table), columns); diff != "" {
			t.Errorf("%s: (-table +view)\n%s", view, diff)
		}
	}
}

// swapAll makes version 2 of every group live, which has no rows.
const swapAll = `
INSERT INTO versions (group_name, version, fold_version, state) SELECT group_name, 2, fold_version, 'live' FROM versions;
UPDATE projections SET live_version = 2`

func TestLiveViewsShowTheLiveVersion(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	tables := column(t, pool, selectProjections)
	count := func(name string) (rows int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM "+name).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for _, table := range tables {
		if rows, shown := count(table), count("live_"+table); rows == 0 || shown != rows {
			t.Errorf("live_%s shows %d of %d rows", table, shown, rows)
		}
	}
	if _, err := pool.Exec(t.Context(), swapAll); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if shown := count("live_" + table); shown != 0 {
			t.Errorf("live_%s shows %d rows of a version that is not live", table, shown)
		}
	}
}
