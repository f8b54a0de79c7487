package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// selectRestored compares the identity of the server with the stored one, and stores it if there is none yet. It takes the
// timeline from the write-ahead log, since the control file has a new one only after the next checkpoint.
const selectRestored = `
WITH present AS (` + selectIdentity + `),
stored AS (
    UPDATE deployment d
    SET system_identifier = p.system_identifier, timeline_id = p.timeline_id
    FROM present p
    WHERE d.system_identifier IS NULL)
SELECT d.system_identifier IS NOT NULL
       AND (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)
FROM deployment d, present p`

// selectBehind compares the same and stores nothing: a database whose relay has never read the log lacks nothing of it.
const selectBehind = `
SELECT d.system_identifier IS NOT NULL
       AND (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)
FROM deployment d, (` + selectIdentity + `) p`

// acceptIdentity stores the identity of the present server.
const acceptIdentity = `
UPDATE deployment d
SET system_identifier = p.system_identifier, timeline_id = p.timeline_id
FROM (` + selectIdentity + `) p
WHERE (d.system_identifier, d.timeline_id) IS DISTINCT FROM (p.system_identifier, p.timeline_id)`

const selectIdentity = `
SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer AS timeline_id
FROM pg_control_system()`

// ErrRestored tells that nobody may decide or fold yet: the database may lack what the log has.
var ErrRestored = errors.New("the database was restored from a backup and the relay has not caught up with the log")

// Restored tells whether the database is on another server or timeline than the stored one: it was restored from a backup,
// or a standby was promoted, and it may lack events that the log has. No decision should be taken until a relay has read
// the log to its end and accepted the new identity. The first call ever accepts the present server.
func Restored(ctx context.Context, db Querier) (bool, error) {
	var restored bool
	if err := db.QueryRow(ctx, selectRestored).Scan(&restored); err != nil {
		return false, fmt.Errorf("compare database identity: %w", err)
	}
	return restored, nil
}

// RefuseRestored queues what makes a transaction fail with ErrRestored while Restored would be true. It is in the transaction
// that it is about, since a fail-over may come between two.
func RefuseRestored(b *pgx.Batch) {
	b.Queue(selectBehind).QueryRow(func(row pgx.Row) error {
		var restored bool
		if err := row.Scan(&restored); err != nil {
			return fmt.Errorf("compare database identity: %w", err)
		}
		if restored {
			return ErrRestored
		}
		return nil
	})
}

// Server identifies a database server and its timeline.
type Server struct {
	System   int64
	Timeline int32
}

// Identity returns the server that holds the database now.
func Identity(ctx context.Context, db Querier) (Server, error) {
	var here Server
	if err := db.QueryRow(ctx, selectIdentity).Scan(&here.System, &here.Timeline); err != nil {
		return Server{}, fmt.Errorf("read database identity: %w", err)
	}
	return here, nil
}

// AcceptIdentity ends the state that Restored reports. Only the relay calls it, once the database has what the log has.
func AcceptIdentity(ctx context.Context, db Execer) error {
	if _, err := db.Exec(ctx, acceptIdentity); err != nil {
		return fmt.Errorf("store database identity: %w", err)
	}
	return nil
}
