package actions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// insertUser adds a person who does not exist yet.
const insertUser = `INSERT INTO users (id, created_at) VALUES ($1, COALESCE($2, now())) ON CONFLICT (id) DO NOTHING`

// extendUser adds addresses to those that the person has.
const extendUser = `
UPDATE users
SET addresses = ARRAY(SELECT DISTINCT unnest(addresses || $2::text[]) ORDER BY 1)
WHERE id = $1
RETURNING addresses, created_at`

// lockUser puts the changes of one person into one order: transactions that hold the lock commit one after the other, so
// that commits, outbox and log agree. It blocks neither readers nor rows that only refer to the person. It finds no row
// when the person was erased, even if somebody else has the id by now.
const lockUser = `SELECT FROM users WHERE id = $1 AND created_at = $2 FOR NO KEY UPDATE`

// lockAnyUser takes the lock of whoever has the id, or inserts a row to lock. It tells whether the row was inserted, and
// the time under the lock.
const lockAnyUser = `
INSERT INTO users AS u (id) VALUES ($1)
ON CONFLICT (id) DO UPDATE SET id = u.id
RETURNING xmax = 0, clock_timestamp()`

// markDemo makes a person a demo person. demosOf finds those that somebody made, expiredDemos those whose time is up, and countDemos
// counts all, and keeps others from adding one until the transaction ends.
const (
	markDemo     = `UPDATE users SET demo_until = $2, demo_of = $3 WHERE id = $1`
	demosOf      = `SELECT id, demo_until FROM users WHERE demo_of = $1 AND demo_until > now() ORDER BY created_at`
	expiredDemos = `SELECT id FROM users WHERE demo_until <= now() ORDER BY demo_until LIMIT 100`
	lockDemos    = `SELECT pg_advisory_xact_lock(hashtextextended('applylens demo persons', 0))`
	countDemos   = `SELECT count(*) FROM users WHERE demo_until IS NOT NULL`
)

// ErrErased tells that a person has been erased.
var ErrErased = errors.New("the person has been erased")

// AddUser adds a person who does not exist yet, and tells whether it did.
func AddUser(ctx context.Context, db DB, id string) (bool, error) {
	tag, err := db.Exec(ctx, insertUser, id, nil)
	return tag.RowsAffected() > 0, err
}

// ExtendUser adds addresses to those that the person has, and returns all of them and when the person was added.
func ExtendUser(ctx context.Context, db DB, id string, addresses []string) (all []string, createdAt time.Time, err error) {
	err = db.QueryRow(ctx, extendUser, id, addresses).Scan(&all, &createdAt)
	return all, createdAt, err
}

// Lock waits for the lock of the person who was added at a time, and holds it until the transaction ends. The batch fails
// with ErrErased when that person was erased; what was queued behind Lock must then be rolled back.
func Lock(b *pgx.Batch, id string, createdAt time.Time) {
	b.Queue(lockUser, id, createdAt).Query(func(rows pgx.Rows) error {
		found := rows.Next()
		rows.Close()
		switch {
		case rows.Err() != nil:
			return fmt.Errorf("lock the person: %w", rows.Err())
		case !found:
			return ErrErased
		}
		return nil
	})
}

// LockAny takes the lock of whoever has the id and tells whether it had to insert a row for it, and the time under the
// lock. It is for erasing.
func LockAny(ctx context.Context, db DB, id string) (inserted bool, at time.Time, err error) {
	if err = db.QueryRow(ctx, lockAnyUser, id).Scan(&inserted, &at); err != nil {
		err = fmt.Errorf("lock the person: %w", err)
	}
	return inserted, at, err
}

// Demo is a demo person, and until when.
type Demo struct {
	ID    string
	Until time.Time
}

// AddDemo returns the demo person whom somebody made, or adds one if there are fewer than most. added tells whether it did; without an
// id there were too many.
func AddDemo(ctx context.Context, db DB, demo Demo, of string, most int) (_ Demo, added bool, err error) {
	var count int
	if _, err := db.Exec(ctx, lockDemos); err != nil {
		return Demo{}, false, fmt.Errorf("lock demo persons: %w", err)
	}
	if made, err := DemosOf(ctx, db, of); err != nil || len(made) > 0 {
		return append(made, Demo{})[0], false, err
	}
	if err := db.QueryRow(ctx, countDemos).Scan(&count); err != nil || count >= most {
		return Demo{}, false, err
	}
	if _, err := AddUser(ctx, db, demo.ID); err != nil {
		return Demo{}, false, err
	}
	if _, err := db.Exec(ctx, markDemo, demo.ID, demo.Until, of); err != nil {
		return Demo{}, false, fmt.Errorf("mark a demo person: %w", err)
	}
	return demo, true, nil
}

// DemosOf returns the demo persons whom somebody made, and whose time is not up.
func DemosOf(ctx context.Context, db DB, of string) ([]Demo, error) {
	rows, err := db.Query(ctx, demosOf, of)
	if err != nil {
		return nil, fmt.Errorf("look for demo persons: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Demo])
}

// ExpiredDemos returns some demo persons whose time is up.
func ExpiredDemos(ctx context.Context, db DB) ([]string, error) {
	rows, err := db.Query(ctx, expiredDemos)
	if err != nil {
		return nil, fmt.Errorf("look for expired demo persons: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
