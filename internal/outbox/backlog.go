package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// selectBacklog counts the unpublished rows, from where the relay knows that there may be some.
const selectBacklog = `
SELECT count(*),
       coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::double precision
FROM outbox
WHERE published_at IS NULL AND seq > (SELECT coalesce(max(published_to), 0) FROM relays)`

// deleteSent deletes a batch of the oldest rows that were sent before a time, above a seq, and tells how many, and the last
// seq. Unsent rows stay.
const deleteSent = `
WITH gone AS (
    DELETE FROM outbox
    WHERE seq = ANY (ARRAY(
        SELECT seq
        FROM (SELECT seq, published_at FROM outbox WHERE published_at IS NOT NULL AND seq > $3 ORDER BY seq LIMIT $2) oldest
        WHERE published_at < now() - $1::interval))
    RETURNING seq)
SELECT count(*), coalesce(max(seq), 0) FROM gone`

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
func Prune(ctx context.Context, db Querier, keep time.Duration) (int64, error) {
	var pruned, after int64
	for {
		var rows int64
		if err := db.QueryRow(ctx, deleteSent, keep, pruneBatch, after).Scan(&rows, &after); err != nil {
			return pruned, fmt.Errorf("prune outbox: %w", err)
		}
		if pruned += rows; rows < pruneBatch {
			return pruned, nil
		}
	}
}
