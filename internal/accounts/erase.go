package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// endAccounts tells whoever watches a person's accounts to let go; watched counts those that somebody still holds.
const (
	endAccounts = `UPDATE accounts SET ending = true WHERE user_id = $1 AND NOT ending`
	watched     = `SELECT count(*) FROM account_leases WHERE user_id = $1 AND until > now()`
)

// erasures delete a person's rows up to a moment, table by table.
var erasures = postgres.Erasures{
	{"account_mails", `DELETE FROM account_mails m USING accounts a WHERE a.id = m.account_id AND m.user_id = $1 AND a.created_at <= $2`},
	{"account_folders", `DELETE FROM account_folders f USING accounts a WHERE a.id = f.account_id AND f.user_id = $1 AND a.created_at <= $2`},
	{"account_leases", `DELETE FROM account_leases l USING accounts a WHERE a.id = l.account_id AND l.user_id = $1 AND a.created_at <= $2`},
	{"accounts", `DELETE FROM accounts WHERE user_id = $1 AND created_at <= $2`},
}

// Erased lists the tables that Erase empties.
func Erased() []string { return erasures.Tables() }

// Erase deletes what this package keeps of a person from before a moment, and returns the number of rows by table.
func Erase(ctx context.Context, db DB, user string, until time.Time) (map[string]int64, error) {
	return erasures.Run(ctx, db, user, until)
}

// endPatience is how long End waits: longer than any lease lasts.
const endPatience = 2 * LeaseTime

// LeaseTime is how long a lease lasts that is not renewed.
const LeaseTime = 30 * time.Second

// End stops the watching of a person's accounts, before the person is erased, and returns when nobody watches one any more: nothing of
// their mail is on its way to Kafka then.
func End(ctx context.Context, db DB, user string) error {
	tag, err := db.Exec(ctx, endAccounts, user)
	if err != nil {
		return fmt.Errorf("end the accounts: %w", err)
	}
	if tag.RowsAffected() == 0 {
		var count int
		if err := db.QueryRow(ctx, watched, user).Scan(&count); err != nil || count == 0 {
			return err
		}
	}
	return retry.Within(ctx, endPatience, 50*time.Millisecond, 500*time.Millisecond, func(int) error {
		var count int
		if err := db.QueryRow(ctx, watched, user).Scan(&count); err != nil {
			return fmt.Errorf("look whether the accounts have ended: %w", err)
		}
		if count > 0 {
			return fmt.Errorf("%d accounts are still being watched", count)
		}
		return nil
	})
}
