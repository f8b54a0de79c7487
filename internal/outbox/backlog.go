package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// selectBacklog counts the unpublished rows. The row with the lowest seq is the oldest, or within a transaction of it.
const selectBacklog = `
SELECT count(*),
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT recorded_at FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT 1)), 0)::double precision
FROM outbox
WHERE published_at IS NULL`

// deleteSent deletes a batch of the oldest rows that were sent before a time. Unsent rows stay.
const deleteSent = `
DELETE FROM outbox
WHERE seq IN (
    SELECT seq
    FROM (SELECT seq, published_at FROM outbox WHERE published_at IS NOT NULL ORDER BY seq LIMIT $2) oldest
    WHERE published_at < now() - $1::interval)`

// pruneBatch bounds the rows that one statement deletes.
const pruneBatch = 5000

// Backlog describes the rows that wait to be published.
type Backlog struct {
	Rows int64
	Age  time.Duration // of the oldest row; 0 when there is none
}

// ReadBacklog counts the rows that wait to be published.
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

// Prune deletes rows that were sent longer than keep ago and returns how many. The relay publishes sent rows again when
// Kafka has lost them, so keep must exceed the time until such a loss is noticed.
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
