package actions

import (
	"context"
	"time"

	"github.com/applylens/applylens/internal/postgres"
)

// erasures delete a person's rows up to a moment, table by table, in an order in which nothing refers to what is gone.
// own_addresses is kept by a trigger on users.
var erasures = postgres.Erasures{
	{"chat_streams", `DELETE FROM chat_streams WHERE user_id = $1 AND created_at <= $2`},
	{"chat_usage", `
DELETE FROM chat_usage c USING users u WHERE c.user_id = u.id AND u.id = $1 AND u.created_at <= $2`},
	{"idempotency_keys", `DELETE FROM idempotency_keys WHERE user_id = $1 AND created_at <= $2`},
	{"actions", `DELETE FROM actions WHERE user_id = $1 AND created_at <= $2`},
	{"new_mails", `DELETE FROM new_mails WHERE user_id = $1 AND folded_at <= $2`},
	{"performed_actions", `DELETE FROM performed_actions WHERE user_id = $1 AND performed_at <= $2`},
	{"forgotten_features", `
DELETE FROM forgotten_features f USING users u WHERE f.user_id = u.id AND u.id = $1 AND u.created_at <= $2`},
	{"policies", `DELETE FROM policies WHERE user_id = $1 AND created_at <= $2`},
	{"own_addresses", `
DELETE FROM own_addresses o USING users u WHERE o.user_id = u.id AND u.id = $1 AND u.created_at <= $2`},
	{"users", `
WITH made AS (UPDATE users SET demo_of = NULL WHERE demo_of = $1 AND id <> $1 AND created_at <= $2)
DELETE FROM users WHERE id = $1 AND created_at <= $2`},
}

// Erased lists the tables that Erase empties.
func Erased() []string { return erasures.Tables() }

// Erase deletes what this package keeps of a person from before a moment, and returns the number of rows by table.
func Erase(ctx context.Context, db DB, id string, until time.Time) (map[string]int64, error) {
	return erasures.Run(ctx, db, id, until)
}
