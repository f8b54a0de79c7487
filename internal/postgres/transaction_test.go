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

func begin(t *testing.T, pool *pgxpool.Pool, user string) *postgres.Transaction {
	t.Helper()
	tx, err := postgres.Begin(t.Context(), pool, func(b *pgx.Batch) { b.Queue(insertUser, user) })
	if err != nil {
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
	last := &pgx.Batch{}
	last.Queue(insertUser, "last")
	if err := tx.CommitWith(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if n := users(t, pool); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	for _, err := range []error{tx.Rollback(t.Context()), tx.Commit(t.Context())} {
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%v of a transaction that has ended, want ErrTxClosed", err)
		}
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
	f("when asked to", func(ctx context.Context) error { return begin(t, pool, "a").Rollback(ctx) }, false)
	f("when asked to with a context that has ended", func(ctx context.Context) error {
		tx := begin(t, pool, "a")
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return tx.Rollback(ctx)
	}, false)
	f("when a first statement fails", func(ctx context.Context) error {
		_, err := postgres.Begin(ctx, pool, func(b *pgx.Batch) {
			b.Queue(insertUser, "a")
			b.Queue(insertUser, "a")
		})
		return err
	}, true)
	f("when a first callback fails", func(ctx context.Context) error {
		_, err := postgres.Begin(ctx, pool, func(b *pgx.Batch) {
			b.Queue(insertUser, "a")
			b.Queue("SELECT 1").QueryRow(func(pgx.Row) error { return errors.New("no") })
		})
		return err
	}, true)
	f("when a last statement fails", func(ctx context.Context) error {
		tx := begin(t, pool, "a")
		defer tx.Rollback(ctx)
		last := &pgx.Batch{}
		last.Queue(insertUser, "a")
		return tx.CommitWith(ctx, last)
	}, true)
	f("when a statement between has failed", func(ctx context.Context) error {
		tx := begin(t, pool, "a")
		defer tx.Rollback(ctx)
		_, _ = tx.Exec(ctx, insertUser, "a")
		return tx.Commit(ctx)
	}, true)
}
