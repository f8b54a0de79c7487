package relay

import (
	"context"

	"github.com/applylens/applylens/internal/outbox"
)

// Restored tells whether the database was restored from a backup, or failed over, and no relay has brought it up to
// date from the log since: decisions should wait. It is outbox.Restored, for those who start a relay beside an API.
func Restored(ctx context.Context, db outbox.Querier) (bool, error) { return outbox.Restored(ctx, db) }
