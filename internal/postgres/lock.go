package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// selectHolder looks for the holder of an advisory lock. pg_locks shows the lock's number in two halves.
const selectHolder = `
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid)`

// Held tells whether some session holds an advisory lock now.
func Held(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, key int64) (bool, error) {
	var held bool
	if err := db.QueryRow(ctx, selectHolder, key).Scan(&held); err != nil {
		return false, fmt.Errorf("look for the holder of a lock: %w", err)
	}
	return held, nil
}
