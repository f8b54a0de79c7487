package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// selectBacklog counts what waits; the oldest is the one with the least number, give or take a transaction.
const selectBacklog = `
SELECT count(*),
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT recorded_at FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT 1)), 0)::double precision
FROM outbox
WHERE published_at IS NULL`

// deleteSent deletes some of the oldest rows, if they were sent before a time. Unsent rows always stay.
const deleteSent = `
DELETE FROM outbox
WHERE seq IN (
    SELECT seq
    FROM (SELECT seq, published_at FROM outbox WHERE published_at IS NOT NULL ORDER BY seq LIMIT $2) oldest
    WHERE published_at < now() - $1::interval)`

// pruneBatch bounds the rows that one statement deletes.
const pruneBatch = 5000

// Backlog is what waits to be published.
type Backlog struct {
	Rows int64
	Age  time.Duration // of the oldest row; 0 when there is none
}

// ReadBacklog counts what waits to be published.
func ReadBacklog(ctx context.Context, db Querier) (Backlog, error) {
	var b Backlog
	var seconds float64
	if err := db.QueryRow(ctx, selectBacklog).Scan(&b.Rows, &seconds); err != nil {
		return Backlog{}, fmt.Errorf("count unpublished outbox rows: %w", err)
	}
	b.Age = time.Duration(max(seconds, 0) * float64(time.Second))
	return b, nil
}

// Execer is a pool, a connection or a transaction.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Prune deletes rows that were sent longer than keep ago and returns how many. Sent rows are what the relay publishes
// again when Kafka lost them, so keep must exceed the time in which such a loss is noticed.
func Prune(ctx context.Context, db Execer, keep time.Duration) (int64, error) {
	var pruned int64
	for {
		tag, err := db.Exec(ctx, deleteSent, keep, pruneBatch)
		if err != nil {
			return pruned, fmt.Errorf("prune outbox: %w", err)
		}
		pruned += tag.RowsAffected()
		if tag.RowsAffected() < pruneBatch {
			return pruned, nil
		}
	}
}
