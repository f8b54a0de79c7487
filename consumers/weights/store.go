package weights

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/postgres"
)

// forgetUsers removes all that a version has of persons.
const forgetUsers = `
DELETE FROM weight_counts WHERE version = $1 AND user_id = ANY ($2::text[])`

// forgetFeatures removes single rows of a version, so that what follows begins at nothing.
const forgetFeatures = `
DELETE FROM weight_counts t USING unnest($2::text[], $3::text[]) AS x(user_id, feature)
WHERE t.version = $1 AND t.user_id = x.user_id AND t.feature = x.feature`

// addCounts adds to the rows of a version, in the order given, and makes those that are missing. Keys are unique
// within a statement; updated_at only grows.
const addCounts = `
INSERT INTO weight_counts AS t (version, user_id, feature, approvals, rejections, updated_at)
SELECT $1, x.user_id, x.feature, x.approvals, x.rejections, x.updated_at
FROM unnest($2::text[], $3::text[], $4::int[], $5::int[], $6::timestamptz[])
     AS x(user_id, feature, approvals, rejections, updated_at)
ON CONFLICT (user_id, feature, version) DO UPDATE SET
    approvals  = t.approvals + excluded.approvals,
    rejections = t.rejections + excluded.rejections,
    updated_at = GREATEST(t.updated_at, excluded.updated_at)`

// setPins sets the weight of rows that addCounts made or found.
const setPins = `
UPDATE weight_counts t SET pinned = x.pinned
FROM unnest($2::text[], $3::text[], $4::float8[]) AS x(user_id, feature, pinned)
WHERE t.version = $1 AND t.user_id = x.user_id AND t.feature = x.feature`

// maxRows bounds the rows of one statement, and with them the memory of both sides.
const maxRows = 50_000

// columns are the rows of one statement, in the order of their keys. Its memory is kept from statement to statement.
type columns struct {
	users, features       []string
	approvals, rejections []int32
	pins                  []float64
	updatedAt             []time.Time
	rows                  postgres.Rows
}

func (c *columns) reset() {
	clear(c.users) // so that no string outlives its batch
	clear(c.features)
	*c = columns{c.users[:0], c.features[:0], c.approvals[:0], c.rejections[:0], c.pins[:0], c.updatedAt[:0], c.rows}
}

func (c *columns) key(l *Lessons, lesson *lesson) {
	c.users = append(c.users, l.learners[lesson.user].id)
	c.features = append(c.features, l.featureNames[lesson.feature])
}

// write adds lessons to a version within tx: first what they forget, then what they teach.
func (c *columns) write(ctx context.Context, tx *postgres.Tx, to consumers.Version, lessons *Lessons) error {
	defer c.reset()
	version, order := to.Number, lessons.sorted()
	if err := c.forget(ctx, tx, version, lessons, order); err != nil {
		return err
	}
	if err := c.teach(ctx, tx, to, lessons, order); err != nil {
		return err
	}
	return c.pin(ctx, tx, version, lessons, order)
}

// teach adds counts. COPY takes less than half the time of addCounts, where no row is there yet.
func (c *columns) teach(ctx context.Context, tx *postgres.Tx, to consumers.Version, lessons *Lessons, order []ranked) error {
	if to.Fresh {
		fresh, err := postgres.Fresh(ctx, tx, func() error { return c.copy(ctx, tx, to.Number, lessons, order) })
		if err != nil {
			return fmt.Errorf("copy weight counts: %w", err)
		}
		if fresh {
			return nil
		}
	}
	for part := range slices.Chunk(order, maxRows) {
		if err := c.add(ctx, tx, to.Number, lessons, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *columns) copy(ctx context.Context, tx *postgres.Tx, version int, lessons *Lessons, order []ranked) error {
	for part := range slices.Chunk(order, maxRows) {
		for _, at := range part {
			lesson := &lessons.lessons[at.lesson]
			if !lesson.taught {
				continue
			}
			c.rows.Begin(6)
			c.rows.Integer(int32(version))
			c.rows.Text(lessons.learners[lesson.user].id)
			c.rows.Text(lessons.featureNames[lesson.feature])
			c.rows.Bigint(int64(lesson.approvals))
			c.rows.Bigint(int64(lesson.rejections))
			c.rows.Timestamp(lesson.updatedAt)
		}
		if err := c.rows.Copy(ctx, tx, "weight_counts", "version", "user_id", "feature", "approvals", "rejections", "updated_at"); err != nil {
			return err
		}
	}
	return nil
}

func (c *columns) forget(ctx context.Context, tx *postgres.Tx, version int, lessons *Lessons, order []ranked) error {
	if users := lessons.forgottenUsers(); len(users) > 0 {
		if _, err := tx.Exec(ctx, forgetUsers, version, users); err != nil {
			return fmt.Errorf("forget users' weights: %w", err)
		}
	}
	c.reset()
	for _, at := range order {
		if lesson := &lessons.lessons[at.lesson]; lesson.cleared {
			c.key(lessons, lesson)
		}
	}
	if len(c.users) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, forgetFeatures, version, c.users, c.features); err != nil {
		return fmt.Errorf("forget weights: %w", err)
	}
	return nil
}

func (c *columns) add(ctx context.Context, tx *postgres.Tx, version int, lessons *Lessons, order []ranked) error {
	c.reset()
	for _, at := range order {
		lesson := &lessons.lessons[at.lesson]
		if !lesson.taught {
			continue
		}
		c.key(lessons, lesson)
		c.approvals = append(c.approvals, lesson.approvals)
		c.rejections = append(c.rejections, lesson.rejections)
		c.updatedAt = append(c.updatedAt, time.UnixMicro(lesson.updatedAt))
	}
	if len(c.users) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, addCounts, version, c.users, c.features, c.approvals, c.rejections, c.updatedAt); err != nil {
		return fmt.Errorf("add weight counts: %w", err)
	}
	return nil
}

func (c *columns) pin(ctx context.Context, tx *postgres.Tx, version int, lessons *Lessons, order []ranked) error {
	c.reset()
	for _, at := range order {
		if lesson := &lessons.lessons[at.lesson]; lesson.pinned {
			c.key(lessons, lesson)
			c.pins = append(c.pins, lesson.pin)
		}
	}
	if len(c.users) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, setPins, version, c.users, c.features, c.pins); err != nil {
		return fmt.Errorf("pin weights: %w", err)
	}
	return nil
}
