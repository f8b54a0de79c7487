package policystats

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// eraseUsers removes all that a version has of persons.
const eraseUsers = `
DELETE FROM policy_days WHERE version = $1 AND user_id = ANY ($2::text[])`

// addCounts adds to the rows of a version, in the order given, and makes those that are missing. Keys are unique
// within a statement; days count from 1970-01-01; updated_at only grows.
const addCounts = `
INSERT INTO policy_days AS t (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
SELECT $1, x.user_id, x.policy_id, DATE '1970-01-01' + x.day, x.fired, x.approved, x.rejected, x.missed, x.updated_at
FROM unnest($2::text[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::timestamptz[])
     AS x(user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
ON CONFLICT (user_id, policy_id, day, version) DO UPDATE SET
    fired      = t.fired + excluded.fired,
    approved   = t.approved + excluded.approved,
    rejected   = t.rejected + excluded.rejected,
    missed     = t.missed + excluded.missed,
    updated_at = GREATEST(t.updated_at, excluded.updated_at)`

// maxRows bounds the rows of one statement, and with them the memory of both sides.
const maxRows = 50_000

// columns are the rows of one statement, in the order of their keys. Its memory is kept from statement to statement.
type columns struct {
	users                             []string
	policies                          []int64
	days                              []int32
	fired, approved, rejected, missed []int32
	updatedAt                         []time.Time
}

func (c *columns) reset() {
	clear(c.users) // so that no string outlives its batch
	*c = columns{
		c.users[:0], c.policies[:0], c.days[:0],
		c.fired[:0], c.approved[:0], c.rejected[:0], c.missed[:0], c.updatedAt[:0],
	}
}

func (c *columns) row(user string, count *count) {
	c.users = append(c.users, user)
	c.policies = append(c.policies, count.policy)
	c.days = append(c.days, count.day)
	c.fired = append(c.fired, count.fired)
	c.approved = append(c.approved, count.approved)
	c.rejected = append(c.rejected, count.rejected)
	c.missed = append(c.missed, count.missed)
	c.updatedAt = append(c.updatedAt, time.UnixMicro(count.updatedAt))
}

// write adds a tally to a version within tx: first it deletes whom the tally erases, then it adds the rest.
func (c *columns) write(ctx context.Context, tx pgx.Tx, version int, tally *Tally) error {
	defer c.reset()
	if users := tally.erased(); len(users) > 0 {
		if _, err := tx.Exec(ctx, eraseUsers, version, users); err != nil {
			return fmt.Errorf("erase policy counts: %w", err)
		}
	}
	for part := range slices.Chunk(tally.sorted(), maxRows) {
		c.reset()
		for _, i := range part {
			c.row(tally.users[tally.counts[i].user].id, &tally.counts[i])
		}
		_, err := tx.Exec(ctx, addCounts, version,
			c.users, c.policies, c.days, c.fired, c.approved, c.rejected, c.missed, c.updatedAt)
		if err != nil {
			return fmt.Errorf("add policy counts: %w", err)
		}
	}
	return nil
}
