package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestCopyWritesWhatInsertWould(t *testing.T) {
	pool, _ := testenv.Database(t)
	moment := time.Date(1970, 1, 2, 3, 4, 5, 6000, time.UTC)
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(t.Context(), `CREATE TEMPORARY TABLE "some ""rows" (a text, b integer, c bigint, d date, e timestamptz) ON COMMIT DROP`); err != nil {
			return err
		}
		var rows postgres.Rows
		for range 2 { // the memory is reused
			rows.Begin(5)
			rows.Text("zwölf\n\\.")
			rows.Integer(-12)
			rows.Bigint(-1 << 63)
			rows.Date(-1)
			rows.Timestamp(moment.UnixMicro())
			if err := rows.Copy(t.Context(), tx, `some "rows`, "a", "b", "c", "d", "e"); err != nil {
				return err
			}
		}
		if err := rows.Copy(t.Context(), tx, "no such table", "a"); err != nil { // nothing to copy
			return err
		}
		var equal int
		const same = `SELECT count(*) FROM "some ""rows" WHERE (a, b, c, d, e) = ($1, -12, (-9223372036854775808)::bigint, '1969-12-31', $2)`
		if err := tx.QueryRow(t.Context(), same, "zwölf\n\\.", moment).Scan(&equal); err != nil {
			return err
		}
		if equal != 2 {
			t.Errorf("%d rows are correct", equal)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFreshLeavesNothingOfWhatWasThereAlready(t *testing.T) {
	pool, _ := testenv.Database(t)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE numbers (n integer PRIMARY KEY); INSERT INTO numbers VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	insert := func(numbers ...int32) func(*postgres.Tx) error {
		return func(tx *postgres.Tx) error {
			var rows postgres.Rows
			for _, n := range numbers {
				rows.Begin(1)
				rows.Integer(n)
			}
			return rows.Copy(t.Context(), tx, "numbers", "n")
		}
	}
	f := func(insert func(*postgres.Tx) error, want bool, wantSum int) {
		t.Helper()
		err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			if fresh, err := postgres.Fresh(t.Context(), tx, func() error { return insert(tx) }); err != nil || fresh != want {
				t.Errorf("fresh is %t, %v; want %t", fresh, err, want)
			}
			var sum int
			err := tx.QueryRow(t.Context(), "SELECT sum(n) FROM numbers").Scan(&sum) // the transaction is still usable
			if sum != wantSum {
				t.Errorf("the numbers come to %d, want %d", sum, wantSum)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	f(insert(1, 3), true, 6)
	f(insert(4, 2), false, 6)
	f(insert(4), true, 10)

	broken := errors.New("broken")
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		_, err := postgres.Fresh(context.Background(), tx, func() error { return broken })
		return err
	})
	if !errors.Is(err, broken) {
		t.Errorf("an error results in %v", err)
	}
}
