package consumers

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// eraseLettersSQL takes away what the dead letters of a group hold of persons from before they were erased. The rows
// stay, as the outcome of their records.
const eraseLettersSQL = `
UPDATE dead_letters d
SET key = NULL, value = NULL, headers = NULL, user_id = '', detail = '', state = 'erased', state_note = '', updated_at = now()
FROM unnest($3::text[], $4::int[], $5::bigint[]) AS e (user_id, partition, log_offset)
WHERE d.group_name = $1 AND d.topic_id = $2 AND d.partition = e.partition AND d.log_offset < e.log_offset AND d.user_id = e.user_id`

// eraseRetiredSQL takes persons out of those versions that nobody folds any more, in one table. A version whose position
// is behind the erasure has obeyed it already, and may know the person anew.
const eraseRetiredSQL = `
DELETE FROM %s t
USING unnest($3::text[], $4::int[], $5::bigint[]) AS e (user_id, partition, log_offset)
JOIN positions p ON p.partition = e.partition AND p.next_offset <= e.log_offset
JOIN versions v ON v.group_name = p.group_name AND v.version = p.version AND v.state = 'retired'
WHERE p.group_name = $1 AND p.topic_id = $2 AND t.user_id = e.user_id AND t.version = p.version`

// erasure is a user.erased that a batch folds, and where it stands.
type erasure struct {
	user      string
	partition int
	offset    int64
}

// obey does what erasing a person asks for beyond the rows of the version that is folded: among the dead letters, and,
// since a version that is not live has no effect on others, for the live version among the retired ones.
func (w *worker) obey(ctx context.Context, tx pgx.Tx, erasures []erasure) error {
	if len(erasures) == 0 {
		return nil
	}
	users, partitions, offsets := make([]string, len(erasures)), make([]int, len(erasures)), make([]int64, len(erasures))
	for i, e := range erasures {
		users[i], partitions[i], offsets[i] = e.user, e.partition, e.offset
	}
	p := &w.s.place
	if _, err := tx.Exec(ctx, eraseLettersSQL, p.group, p.topicID, users, partitions, offsets); err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	if p.version.Shadow {
		return nil
	}
	for _, table := range w.s.cfg.Group.Tables {
		if _, err := tx.Exec(ctx, fmt.Sprintf(eraseRetiredSQL, quote(table)), p.group, p.topicID, users, partitions, offsets); err != nil {
			return fmt.Errorf("erase from retired versions of %s: %w", table, err)
		}
	}
	return nil
}
