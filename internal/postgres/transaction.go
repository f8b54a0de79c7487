package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rollbackWithin bounds a rollback; a connection that takes longer is closed, which rolls back too.
const rollbackWithin = 5 * time.Second

// Transaction is a transaction that saves round trips: its first statements go out with BEGIN, its last with COMMIT. It
// must end with CommitWith, Commit or Rollback, and is not safe for concurrent use.
type Transaction struct {
	pgx.Tx
	conn *pgxpool.Conn // nil when the transaction has ended
}

// Begin begins a transaction and carries out, in the same round trip, what first queues. If a statement or its callback
// fails, the transaction is rolled back.
func Begin(ctx context.Context, pool *pgxpool.Pool, first func(*pgx.Batch)) (*Transaction, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	batch := &pgx.Batch{}
	batch.BeginTx(pgx.TxOptions{})
	first(batch)
	results := conn.SendBatch(ctx, batch)
	tx := &Transaction{results.Tx(), conn}
	if err := results.Close(); err != nil {
		_ = tx.Rollback(ctx) // the first error tells more
		return nil, err
	}
	return tx, nil
}

// CommitWith carries out what last queues and commits, in one round trip. If a statement fails, nothing is committed; a
// callback cannot prevent the COMMIT, which has been sent by then.
func (tx *Transaction) CommitWith(ctx context.Context, last *pgx.Batch) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	last.Queue("COMMIT").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return pgx.ErrTxCommitRollback
		}
		return nil
	})
	if err := tx.SendBatch(ctx, last).Close(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	tx.release()
	return nil
}

// Commit commits.
func (tx *Transaction) Commit(ctx context.Context) error { return tx.CommitWith(ctx, &pgx.Batch{}) }

// Rollback rolls back, even if ctx has ended. It does nothing when the transaction has ended.
func (tx *Transaction) Rollback(ctx context.Context) error {
	if tx.conn == nil {
		return pgx.ErrTxClosed
	}
	defer tx.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWithin)
	defer cancel()
	return tx.Tx.Rollback(ctx)
}

// release gives the connection back; the pool closes one that is still in a transaction.
func (tx *Transaction) release() {
	tx.conn.Release()
	tx.conn = nil
}
