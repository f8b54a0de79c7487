package relay

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// selectLeader looks for the holder of the relay's lock, whose number pg_locks shows in two halves.
const selectLeader = `
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid)`

// HasLeader tells whether some process leads now.
func HasLeader(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (bool, error) {
	var leads bool
	if err := db.QueryRow(ctx, selectLeader, lockKey).Scan(&leads); err != nil {
		return false, fmt.Errorf("look for the relay's leader: %w", err)
	}
	return leads, nil
}
