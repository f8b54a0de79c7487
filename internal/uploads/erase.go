package uploads

import (
	"context"
	"fmt"
	"time"
)

const (
	deletePersons = `DELETE FROM uploads WHERE user_id = $1 AND created_at <= $2`

	// TryLock takes the lock of a person's imports for the session that imports, and Unlock gives it back. It goes with the connection.
	TryLock = `SELECT pg_try_advisory_lock(` + personKey + `)`
	Unlock  = `SELECT pg_advisory_unlock(` + personKey + `)`

	// awaitImport waits for the lock until the transaction ends.
	awaitImport = `SELECT pg_advisory_xact_lock(` + personKey + `)`

	personKey = `hashtextextended('applylens import of ' || $1, 0)`
)

// Erase deletes a person's uploads from before a moment, and returns how many there were. Files are swept.
func Erase(ctx context.Context, db DB, userID string, until time.Time) (int64, error) {
	tag, err := db.Exec(ctx, deletePersons, userID, until)
	if err != nil {
		return 0, fmt.Errorf("erase uploads: %w", err)
	}
	return tag.RowsAffected(), nil
}

// AwaitImport returns when no mail of a person is being imported, and none will be until the transaction ends. Their uploads have to be
// deleted before, in a transaction of its own, so that an import ends by itself.
func AwaitImport(ctx context.Context, db DB, userID string) error {
	if _, err := db.Exec(ctx, awaitImport, userID); err != nil {
		return fmt.Errorf("wait for the end of an import: %w", err)
	}
	return nil
}
