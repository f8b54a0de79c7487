package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const insertUser = "INSERT INTO users (id) VALUES ($1)"

// transactions is a pool of one connection, which a transaction that does not end would keep for ever.
func transactions(t *testing.T) *pgxpool.Pool {
	t.Helper()
	of, _ := testenv.Database(t)
	config := of.Config()
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func users(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM users").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func begin(t *testing.T, pool *pgxpool.Pool, user string) *postgres.Tx {
	t.Helper()
	tx, err := postgres.Begin(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	tx.Queue(insertUser, user)
	if err := tx.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestTransactionCommitsItsFirstAndLastStatements(t *testing.T) {
	pool := transactions(t)
	tx := begin(t, pool, "first")
	if _, err := tx.Exec(t.Context(), insertUser, "between"); err != nil {
		t.Fatal(err)
	}
	tx.Queue(insertUser, "last")
	if err := tx.CommitQueued(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := users(t, pool); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	tx.Rollback(t.Context()) // does nothing
	if err := tx.CommitQueued(t.Context()); !errors.Is(err, pgx.ErrTxClosed) {
		t.Errorf("%v of a transaction that has ended, want ErrTxClosed", err)
	}
	if n := users(t, pool); n != 3 {
		t.Errorf("%d rows after a late rollback, want 3", n)
	}
}

func TestTransactionRollsBack(t *testing.T) {
	pool := transactions(t)
	f := func(name string, run func(ctx context.Context) error, refused bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := run(ctx); (err != nil) != refused {
			t.Errorf("%s: %v", name, err)
		}
		if n := users(t, pool); n != 0 {
			t.Errorf("%s: %d rows, want none", name, n)
		}
	}
	f("when asked to", func(ctx context.Context) error {
		begin(t, pool, "a").Rollback(ctx)
		return nil
	}, false)
	f("when asked to with a context that has ended", func(ctx context.Context) error {
		tx := begin(t, pool, "a")
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		tx.Rollback(ctx)
		return nil
	}, false)
	f("when nothing was sent", func(ctx context.Context) error {
		tx, err := postgres.Begin(ctx, pool)
		if err == nil {
			tx.Queue(insertUser, "a")
			tx.Rollback(ctx)
		}
		return err
	}, false)
	within := func(do func(*postgres.Tx) error) func(context.Context) error {
		return func(ctx context.Context) error { return postgres.InTx(ctx, pool, do) }
	}
	f("when a first statement fails", within(func(tx *postgres.Tx) error {
		tx.Queue(insertUser, "a")
		tx.Queue(insertUser, "a")
		return tx.Flush(t.Context())
	}), true)
	f("when a callback fails", within(func(tx *postgres.Tx) error {
		tx.Queue(insertUser, "a")
		tx.Queue("SELECT 1").QueryRow(func(pgx.Row) error { return errors.New("no") })
		return tx.Flush(t.Context())
	}), true)
	f("when a last statement fails", within(func(tx *postgres.Tx) error {
		_, err := tx.Exec(t.Context(), insertUser, "a")
		tx.Queue(insertUser, "a")
		return err
	}), true)
	f("when a statement between has failed", within(func(tx *postgres.Tx) error {
		_, _ = tx.Exec(t.Context(), insertUser, "a")
		_, _ = tx.Exec(t.Context(), insertUser, "a")
		return nil
	}), true)
	f("when COMMIT cannot", func(ctx context.Context) error {
		tx := begin(t, pool, "a")
		defer tx.Rollback(ctx)
		_, _ = tx.Exec(ctx, insertUser, "a")
		sent, err := tx.Commit(ctx)
		if sent || !errors.Is(err, pgx.ErrTxCommitRollback) {
			t.Errorf("sent %t, %v; want a rollback that is certain", sent, err)
		}
		return err
	}, true)
}

// A savepoint undoes its own work only.
func TestSavepoint(t *testing.T) {
	pool := transactions(t)
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
		tx.Queue(insertUser, "kept")
		failed := tx.Savepoint(t.Context(), func() error {
			_, err := tx.Exec(t.Context(), insertUser, "kept")
			return err
		})
		if failed == nil {
			t.Error("the savepoint hid a failure")
		}
		_, err := tx.Exec(t.Context(), insertUser, "later")
		return err
	})
	if n := users(t, pool); err != nil || n != 2 {
		t.Errorf("%d rows, %v; want 2", n, err)
	}
}
