package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// Lease lets a process watch an account until it is not renewed any more. The epoch tells holders apart.
type Lease struct {
	AccountID events.UUID
	UserID    string
	UserSince time.Time // when the person was added: another of the same id is another person
	Epoch     int64
	Failures  int // one after the other, before this holder
}

// ErrLost tells that a lease is another's by now, or that the account or its person is gone or about to go.
var ErrLost = errors.New("the account is another's to watch, or is not watched any more")

// acquire takes accounts that nobody watches, those first that have waited for longest.
const acquire = `
WITH free AS (
    SELECT l.account_id, u.created_at
    FROM account_leases l JOIN accounts a ON a.id = l.account_id JOIN users u ON u.id = a.user_id
    WHERE l.until < now() AND l.retry_at <= now() AND NOT a.stopped AND NOT a.ending
    ORDER BY l.until, l.account_id
    LIMIT $3
    FOR UPDATE OF l SKIP LOCKED)
UPDATE account_leases l
SET holder = $1, epoch = l.epoch + 1, until = now() + $2
FROM free WHERE free.account_id = l.account_id
RETURNING l.account_id, l.user_id, free.created_at, l.epoch, l.failures`

// renew renews leases, and returns the accounts whose leases still are the holder's. Of an account that is to end or to stop none is.
const renew = `
UPDATE account_leases l
SET until = now() + $2
FROM unnest($3::uuid[], $4::bigint[]) AS x (account_id, epoch), accounts a
WHERE l.account_id = x.account_id AND l.epoch = x.epoch AND l.holder = $1 AND l.until > now() AND a.id = l.account_id
  AND NOT a.stopped AND NOT a.ending
RETURNING l.account_id`

// release gives a lease back. After a failure the account is left alone for a while.
const release = `
UPDATE account_leases
SET holder = '', until = '-infinity', retry_at = now() + $3, failures = $4
WHERE account_id = $1 AND epoch = $2`

// holds finds the lease, and keeps it from being taken until the transaction ends.
const holds = `SELECT FROM account_leases WHERE account_id = $1 AND epoch = $2 AND until > clock_timestamp() FOR SHARE`

// Acquire takes at most so many accounts that nobody watches, for a time.
func Acquire(ctx context.Context, db DB, holder string, lasting time.Duration, most int) ([]Lease, error) {
	rows, err := db.Query(ctx, acquire, holder, lasting, most)
	if err != nil {
		return nil, fmt.Errorf("take accounts: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Lease])
	if err != nil {
		return nil, fmt.Errorf("take accounts: %w", err)
	}
	return list, nil
}

// Renew renews leases, and returns the accounts that still are the holder's.
func Renew(ctx context.Context, db DB, holder string, lasting time.Duration, leases []Lease) (map[events.UUID]bool, error) {
	ids, epochs := make([]events.UUID, len(leases)), make([]int64, len(leases))
	for i, l := range leases {
		ids[i], epochs[i] = l.AccountID, l.Epoch
	}
	rows, err := db.Query(ctx, renew, holder, lasting, ids, epochs)
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	held := map[events.UUID]bool{}
	var id events.UUID
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { held[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return held, nil
}

// Release gives a lease back, so that another may take it after a time; failures are those one after the other.
func Release(ctx context.Context, db DB, l Lease, after time.Duration, failures int) error {
	if _, err := db.Exec(ctx, release, l.AccountID, l.Epoch, after, failures); err != nil {
		return fmt.Errorf("give the account back: %w", err)
	}
	return nil
}

// hold fails with ErrLost unless the lease is held; it then stays held until the transaction ends.
func (l *Lease) hold(b *pgx.Batch) {
	b.Queue(holds, l.AccountID, l.Epoch).Query(func(rows pgx.Rows) error {
		found := rows.Next()
		rows.Close()
		if rows.Err() == nil && !found {
			return ErrLost
		}
		return rows.Err()
	})
}

// updateState notes how watching an account goes, for its owner.
const updateState = `
UPDATE accounts a SET state = $3, error = $4
FROM account_leases l
WHERE a.id = $1 AND l.account_id = a.id AND l.epoch = $2 AND (a.state, a.error) IS DISTINCT FROM ($3, $4)`

// updateProgress notes how far a pass has come.
const updateProgress = `
UPDATE accounts a SET mails_done = $3, mails_total = $4
FROM account_leases l WHERE a.id = $1 AND l.account_id = a.id AND l.epoch = $2`

// The states of an account.
const (
	StateNew     = "new"
	StateSyncing = "syncing"
	StateLive    = "live"
	StateFailing = "failing"
)

// Note notes how watching an account goes, in words for its owner, if the lease is held.
func Note(ctx context.Context, db DB, l Lease, state, words string) error {
	if _, err := db.Exec(ctx, updateState, l.AccountID, l.Epoch, state, words); err != nil {
		return fmt.Errorf("note the state of an account: %w", err)
	}
	return nil
}

// Progress notes how many mails of how many a pass has read.
func Progress(ctx context.Context, db DB, l Lease, done, total int64) error {
	if _, err := db.Exec(ctx, updateProgress, l.AccountID, l.Epoch, done, total); err != nil {
		return fmt.Errorf("note the progress of an account: %w", err)
	}
	return nil
}
