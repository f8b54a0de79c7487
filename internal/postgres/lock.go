package postgres

import (
	"context"
	"fmt"
)

// selectHolder looks for the holder of an advisory lock. pg_locks shows the lock's number in two halves.
const selectHolder = `
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid)`

// tryLock takes an advisory lock for as long as the session lasts, unless another has it.
const tryLock = `SELECT pg_try_advisory_lock($1)`

// TryLock takes an advisory lock for the session of a connection, and tells whether it could: one session has it at a time.
func TryLock(ctx context.Context, conn RowQuerier, key int64) (locked bool, err error) {
	err = conn.QueryRow(ctx, tryLock, key).Scan(&locked)
	return locked, err
}

// Held tells whether some session holds an advisory lock now.
func Held(ctx context.Context, db RowQuerier, key int64) (bool, error) {
	var held bool
	if err := db.QueryRow(ctx, selectHolder, key).Scan(&held); err != nil {
		return false, fmt.Errorf("look for the holder of a lock: %w", err)
	}
	return held, nil
}
