package actions

import (
	"time"

	"github.com/jackc/pgx/v5"
)

// addForget counts that the person forgets once more: one feature or, for the empty text, all of them. Decisions before it
// have a lower count.
const addForget = `
WITH counted AS (UPDATE users SET forgets = forgets + 1 WHERE id = $1 RETURNING forgets)
INSERT INTO forgotten_features (user_id, feature, forget)
SELECT $1, $2, forgets FROM counted
ON CONFLICT (user_id, feature) DO UPDATE SET forget = excluded.forget
RETURNING clock_timestamp()`

// Everything is the feature that stands for all of them: what a reset forgets.
const Everything = ""

// Forget records that the person forgets a feature, or Everything, after the decisions so far and before the next. It
// stores the time in at.
func Forget(b *pgx.Batch, user, feature string, at *time.Time) {
	b.Queue(addForget, user, feature).QueryRow(func(row pgx.Row) error { return row.Scan(at) })
}
