package policystats

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/postgres"
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
	rows                              postgres.Rows
}

func (c *columns) reset() {
	clear(c.users) // so that no string outlives its batch
	*c = columns{
		c.users[:0], c.policies[:0], c.days[:0],
		c.fired[:0], c.approved[:0], c.rejected[:0], c.missed[:0], c.updatedAt[:0], c.rows,
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

// write adds a tally to a version within tx: first it deletes whom the tally erases, then it adds the rest. COPY takes
// less than half the time of addCounts, where no row is there yet.
func (c *columns) write(ctx context.Context, tx *postgres.Tx, to consumers.Version, tally *Tally) error {
	defer c.reset()
	if users := tally.erased(); len(users) > 0 {
		if _, err := tx.Exec(ctx, eraseUsers, to.Number, users); err != nil {
			return fmt.Errorf("erase policy counts: %w", err)
		}
	}
	order := tally.sorted()
	if to.Fresh {
		fresh, err := postgres.Fresh(ctx, tx, func() error { return c.copy(ctx, tx, to.Number, tally, order) })
		if err != nil {
			return fmt.Errorf("copy policy counts: %w", err)
		}
		if fresh {
			return nil
		}
	}
	for part := range slices.Chunk(order, maxRows) {
		c.reset()
		for _, i := range part {
			c.row(tally.users[tally.counts[i].user].id, &tally.counts[i])
		}
		_, err := tx.Exec(ctx, addCounts, to.Number,
			c.users, c.policies, c.days, c.fired, c.approved, c.rejected, c.missed, c.updatedAt)
		if err != nil {
			return fmt.Errorf("add policy counts: %w", err)
		}
	}
	return nil
}

func (c *columns) copy(ctx context.Context, tx *postgres.Tx, version int, tally *Tally, order []uint32) error {
	for part := range slices.Chunk(order, maxRows) {
		for _, i := range part {
			count := &tally.counts[i]
			c.rows.Begin(9)
			c.rows.Integer(int32(version))
			c.rows.Text(tally.users[count.user].id)
			c.rows.Bigint(count.policy)
			c.rows.Date(count.day)
			for _, number := range []int32{count.fired, count.approved, count.rejected, count.missed} {
				c.rows.Bigint(int64(number))
			}
			c.rows.Timestamp(count.updatedAt)
		}
		err := c.rows.Copy(ctx, tx, "policy_days", "version", "user_id", "policy_id", "day", "fired", "approved", "rejected", "missed", "updated_at")
		if err != nil {
			return err
		}
	}
	return nil
}
