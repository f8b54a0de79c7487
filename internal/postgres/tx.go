package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Tx is a transaction that saves round trips: BEGIN and whatever is queued go out together with the next statement whose
// answer is waited for, or with COMMIT. It is for one goroutine, and must end with Commit, CommitQueued or Rollback. After an
// error nothing but Rollback is of use.
type Tx struct {
	conn   *pgxpool.Conn // nil when the transaction has ended
	queued *pgx.Batch
	begun  bool // BEGIN was sent
}

// rollbackLimit bounds a ROLLBACK, and closeLimit one of a caller that is to end; a connection that takes longer is closed, which rolls
// back too.
const rollbackLimit = 5 * time.Second

// Begin begins a transaction on a connection of the pool. Nothing is sent yet.
func Begin(ctx context.Context, pool *pgxpool.Pool) (*Tx, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{conn: conn, queued: &pgx.Batch{}}
	tx.queued.Queue("BEGIN")
	return tx, nil
}

// InTx runs f in a transaction, and commits it unless f returns an error or a statement that it queued fails.
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(*Tx) error) error {
	tx, err := Begin(ctx, pool)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if err := f(tx); err != nil {
		return err
	}
	_, err = tx.Commit(ctx) // not with what is queued, whose answers may forbid it
	return err
}

// Batch is what goes out with the next round trip, for functions that queue statements themselves.
func (t *Tx) Batch() *pgx.Batch { return t.queued }

// Queue adds a statement to those that go out with the next round trip. Its arguments must not change until then. What
// the returned query is told to do with the answer happens during that round trip, whose error it may determine.
func (t *Tx) Queue(sql string, args ...any) *pgx.QueuedQuery { return t.queued.Queue(sql, args...) }

// allowStatements lets the statements of a transaction take as many milliseconds. Where the server can notice that its client is
// gone, it does, and lets go of what the transaction has locked: on Linux.
const allowStatements = `
SELECT set_config('statement_timeout', $1, true),
       (SELECT set_config(name, '5s', true) FROM pg_settings WHERE name = 'client_connection_check_interval' AND version() LIKE '%linux%')`

// AllowStatements lets the statements of the transaction take so long, rather than as long as those of the pool may.
func (t *Tx) AllowStatements(limit time.Duration) {
	t.Queue(allowStatements, strconv.FormatInt(limit.Milliseconds(), 10))
}

// Flush sends what is queued and waits for the answers.
func (t *Tx) Flush(ctx context.Context) error {
	if t.conn == nil {
		return pgx.ErrTxClosed
	}
	if t.queued.Len() == 0 {
		return nil
	}
	batch := t.queued
	t.queued, t.begun = &pgx.Batch{}, true
	return t.conn.SendBatch(ctx, batch).Close()
}

// Exec runs a statement, together with what is queued.
func (t *Tx) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	t.Queue(sql, args...).Exec(func(answer pgconn.CommandTag) error {
		tag = answer
		return nil
	})
	return tag, t.Flush(ctx)
}

// Query sends what is queued and runs a statement that returns rows.
func (t *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.Flush(ctx); err != nil {
		return nil, err
	}
	return t.conn.Query(ctx, sql, args...)
}

// QueryRow sends what is queued and runs a statement that returns one row.
func (t *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.Flush(ctx); err != nil {
		return failedRow{err}
	}
	return t.conn.QueryRow(ctx, sql, args...)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// Collect runs a statement that returns one column, together with what is queued, and returns its values.
func Collect[T any](ctx context.Context, tx *Tx, sql string, args ...any) (list []T, err error) {
	tx.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		list, err = pgx.CollectRows(rows, pgx.RowTo[T])
		return err
	})
	return list, tx.Flush(ctx)
}

// Savepoint runs f and undoes what it did, and only that, when it returns an error.
func (t *Tx) Savepoint(ctx context.Context, f func() error) error {
	if _, err := t.Exec(ctx, "SAVEPOINT inner_work"); err != nil {
		return err
	}
	if err := f(); err != nil {
		t.queued = &pgx.Batch{}
		if _, undo := t.Exec(ctx, "ROLLBACK TO SAVEPOINT inner_work"); undo != nil {
			return errors.Join(err, undo)
		}
		return err
	}
	t.Queue("RELEASE SAVEPOINT inner_work")
	return nil
}

// Commit sends what is queued, waits for its answers, and only then sends COMMIT. sent tells whether it was sent: an
// error leaves the outcome open then, unless it is pgx.ErrTxCommitRollback.
func (t *Tx) Commit(ctx context.Context) (sent bool, err error) {
	if err := t.Flush(ctx); err != nil {
		return false, err
	}
	err = t.CommitQueued(ctx)
	return !errors.Is(err, pgx.ErrTxCommitRollback), err
}

// CommitQueued sends what is queued and COMMIT in one round trip. If a statement fails nothing is committed; what a queued
// query does with its answer cannot prevent the COMMIT, which was sent by then.
func (t *Tx) CommitQueued(ctx context.Context) error {
	t.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	err := t.Flush(ctx)
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		t.begun = false // it is over, and rolled back
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	t.release()
	return nil
}

// Rollback undoes what was not committed, even if ctx has ended. It does nothing when the transaction has ended.
func (t *Tx) Rollback(ctx context.Context) {
	if t.conn == nil {
		return
	}
	defer t.release()
	if !t.begun || t.conn.Conn().IsClosed() {
		return
	}
	limit := rollbackLimit
	if ctx.Err() != nil {
		limit = closeLimit
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = t.conn.Conn().Close(ctx)
	}
}

// release gives the connection back; the pool closes one that is still in a transaction.
func (t *Tx) release() {
	t.conn.Release()
	t.conn = nil
}
