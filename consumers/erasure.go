package consumers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

const (
	// eraseLettersSQL takes away what the dead letters of a group hold of persons from before they were erased: in the
	// erasure's partition by the log's order; in others, where a record of the person never belonged, by the clock. The
	// rows stay, as the outcome of their records.
	eraseLettersSQL = `
UPDATE dead_letters d
SET key = NULL, value = NULL, headers = NULL, user_id = '', detail = '', state = 'erased', state_note = '', updated_at = now()
FROM unnest($3::text[], $4::int[], $5::bigint[], $6::timestamptz[]) AS e (user_id, partition, log_offset, recorded_at)
WHERE d.group_name = $1 AND d.topic_id = $2 AND (d.user_id = e.user_id OR d.key = convert_to(e.user_id, 'UTF8'))
  AND CASE WHEN d.partition = e.partition THEN d.log_offset < e.log_offset
           ELSE d.record_time IS NULL OR d.record_time <= e.recorded_at END`

	// eraseRetiredSQL takes persons out of those versions that nobody folds any more, in one table. A version whose
	// position is behind the erasure has obeyed it already, and may know the person anew.
	eraseRetiredSQL = `
DELETE FROM %s t
USING unnest($3::text[], $4::int[], $5::bigint[]) AS e (user_id, partition, log_offset)
JOIN positions p ON p.partition = e.partition AND p.next_offset <= e.log_offset
JOIN versions v ON v.group_name = p.group_name AND v.version = p.version AND v.state = 'retired'
WHERE p.group_name = $1 AND p.topic_id = $2 AND t.user_id = e.user_id AND t.version = p.version`

	// rememberErasuresSQL keeps when persons were last erased, among the effects, by a hash: records that stand outside
	// their partition may be met only later.
	rememberErasuresSQL = `
INSERT INTO repeats AS r (group_name, version, effect_key, content_hash)
SELECT $1, $2, k, max(t) FROM unnest($3::uuid[], $4::bigint[]) AS e (k, t) GROUP BY k
ON CONFLICT (effect_key, version, group_name) DO UPDATE SET content_hash = GREATEST(r.content_hash, excluded.content_hash)`
)

// erasure is a user.erased that a batch folds, and where it stands.
type erasure struct {
	user       string
	recordedAt time.Time
	partition  int
	offset     int64
}

// erasureKey is what an erasure is remembered by.
func erasureKey(user string) events.UUID {
	sum := sha256.Sum256([]byte("applylens.user.erased " + user))
	return events.UUID(sum[:16])
}

// obey does what erasing persons asks for beyond the rows of the version that is folded: among the dead letters, and,
// since a version that is not live has no effect on others, for the live version among the retired ones.
func (p *place) obey(ctx context.Context, tx pgx.Tx, tables []string, erasures []erasure) error {
	if len(erasures) == 0 {
		return nil
	}
	n := len(erasures)
	users, partitions, offsets := make([]string, n), make([]int, n), make([]int64, n)
	times, keys, micros := make([]time.Time, n), make([]events.UUID, n), make([]int64, n)
	for i, e := range erasures {
		users[i], partitions[i], offsets[i] = e.user, e.partition, e.offset
		times[i], keys[i], micros[i] = e.recordedAt, erasureKey(e.user), e.recordedAt.UnixMicro()
	}
	if _, err := tx.Exec(ctx, rememberErasuresSQL, p.group, p.version.Number, keys, micros); err != nil {
		return fmt.Errorf("remember erasures: %w", err)
	}
	if _, err := tx.Exec(ctx, eraseLettersSQL, p.group, p.topicID, users, partitions, offsets, times); err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	if p.version.Shadow {
		return nil
	}
	for _, table := range tables {
		if _, err := tx.Exec(ctx, fmt.Sprintf(eraseRetiredSQL, quote(table)), p.group, p.topicID, users, partitions, offsets); err != nil {
			return fmt.Errorf("erase from retired versions of %s: %w", table, err)
		}
	}
	return nil
}

// erasedStrays tells of each dead letter whether its record stands outside the partition of its person, whom the group
// knows to have been erased since it was written.
func (p *place) erasedStrays(ctx context.Context, tx pgx.Tx, letters []deadLetter) ([]bool, error) {
	erased, keys := make([]bool, len(letters)), make([]events.UUID, len(letters))
	strays := false
	for i := range letters {
		user := p.whose(&letters[i].record)
		if user != "" && events.Partition([]byte(user), p.partitions) != letters[i].partition {
			keys[i], strays = erasureKey(user), true
		}
	}
	if !strays {
		return erased, nil
	}
	known := map[events.UUID]uint64{}
	if err := p.readEffects(ctx, tx, keys, known); err != nil {
		return nil, fmt.Errorf("look for erasures: %w", err)
	}
	for i := range letters {
		at, found := known[keys[i]]
		erased[i] = found && letters[i].record.time.UnixMicro() <= int64(at)
	}
	return erased, nil
}

var userMember = regexp.MustCompile(`"user_id"\s*:\s*("(?:[^"\\]|\\.)*")`)

// whose returns the person that a record is about: the one whom its value names, however broken it is, else its key.
func (p *place) whose(r *record) string {
	if p.topic == events.TopicApplications {
		return ""
	}
	var payload struct {
		UserID string `json:"user_id"`
	}
	if json.Unmarshal(r.value, &payload) != nil && payload.UserID == "" {
		if match := userMember.FindSubmatch(r.value); match != nil {
			_ = json.Unmarshal(match[1], &payload.UserID) // what is no string names nobody
		}
	}
	if payload.UserID == "" {
		payload.UserID = string(r.key)
	}
	return events.CleanText(payload.UserID, events.MaxUserID)
}
