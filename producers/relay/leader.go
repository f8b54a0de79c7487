package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// lockKey is the number of the lock, one per database. Who has it leads as long as the connection lasts.
const lockKey = int64(0x6170706c796c656e)

// insertRelaySQL begins a term. Terms are ordered by started_at, and rows of earlier terms are published first: the start
// is later than that of every term before it, whatever the clock says.
const insertRelaySQL = `
INSERT INTO relays (relay_id, started_at, key_number)
SELECT $1, greatest(clock_timestamp(), max(started_at) + interval '1 microsecond'), $2 FROM relays`

// HasLeader tells whether some process leads now.
func HasLeader(ctx context.Context, db postgres.RowQuerier) (bool, error) {
	return postgres.Held(ctx, db, lockKey)
}

func tryLock(ctx context.Context, conn *pgx.Conn) (locked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	if locked, err = postgres.TryLock(ctx, conn, lockKey); err != nil {
		return false, fmt.Errorf("ask for the relay's lock: %w", err)
	}
	return locked, nil
}

// beginTerm inserts the row of a new term, which signs with a key, and returns its id.
func beginTerm(ctx context.Context, conn *pgx.Conn, key int) (events.UUID, error) {
	id := events.NewUUIDv7(time.Now())
	if _, err := conn.Exec(ctx, insertRelaySQL, [16]byte(id), key); err != nil {
		return events.UUID{}, fmt.Errorf("begin relay term: %w", err)
	}
	return id, nil
}
