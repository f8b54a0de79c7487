package plans

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// selectScans lists the tables with many rows that the transaction has read whole.
const selectScans = `
SELECT s.relname::text FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.seq_scan > 0 AND c.reltuples >= $1 ORDER BY s.relname`

// manyRows is from how many rows on a table should be read by an index.
const manyRows = 1000

// Querier is a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// NoScans makes a transaction read a table whole only where no index helps, however few rows a test has, by plans of one mode:
// force_custom_plan or force_generic_plan.
func NoScans(mode string) string {
	return "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = " + mode
}

// HoldScans reports an error for every table with many rows that was read whole within the transaction so far, which began
// with NoScans.
func HoldScans(t testing.TB, tx Querier, what string) {
	t.Helper()
	rows, err := tx.Query(t.Context(), selectScans, manyRows)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		t.Errorf("%s: table %s is read whole", what, table)
	}
}
