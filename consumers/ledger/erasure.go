package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// eraseLettersSQL takes away what the dead letters of a group hold of persons from before they were erased: in the
	// erasure's partition by the log's order; in others, where a record of the person never belonged, by the clock. The
	// rows stay, as the outcome of their records.
	eraseLettersSQL = `
UPDATE dead_letters d
SET key = NULL, value = NULL, headers = NULL, user_id = '', detail = '', state = 'erased', state_note = '', updated_at = now()
FROM unnest($3::text[], $4::int[], $5::bigint[], $6::timestamptz[]) AS e (user_id, partition, log_offset, recorded_at)
CROSS JOIN LATERAL (
	SELECT id FROM dead_letters WHERE user_id <> '' AND user_id = e.user_id
	UNION
	SELECT id FROM dead_letters WHERE key = convert_to(e.user_id, 'UTF8') OFFSET 0) l
WHERE d.id = l.id AND d.group_name = $1 AND d.topic_id = $2
  AND CASE WHEN d.partition = e.partition THEN d.log_offset < e.log_offset
           ELSE d.record_time IS NULL OR d.record_time <= e.recorded_at END`

	// eraseRetiredSQL removes persons from the versions that nobody folds any more, in one table. A version whose position
	// is behind the erasure has applied it already, and may know the person anew.
	eraseRetiredSQL = `
DELETE FROM %s t
USING unnest($3::text[], $4::int[], $5::bigint[]) AS e (user_id, partition, log_offset)
JOIN positions p ON p.partition = e.partition AND p.next_offset <= e.log_offset
JOIN versions v ON v.group_name = p.group_name AND v.version = p.version AND v.state = 'retired'
WHERE p.group_name = $1 AND p.topic_id = $2 AND t.user_id = e.user_id AND t.version = p.version`

	// lockErasuresSQL keeps apart, until their transactions end, whoever erases a person and whoever adds a dead letter of
	// that person outside of the person's partition: neither would see what the other has not committed.
	lockErasuresSQL = `
SELECT pg_advisory_xact_lock(k) FROM (SELECT DISTINCT k FROM unnest($1::bigint[]) AS t (k) ORDER BY k) s`

	// rememberErasuresSQL keeps when persons were last erased, among the effects, by a hash: a record outside the partition
	// of its person may be met only later.
	rememberErasuresSQL = `
INSERT INTO %s AS r (effect_key, content_hash)
SELECT k, max(t) FROM unnest($1::uuid[], $2::bigint[]) AS e (k, t) GROUP BY k
ON CONFLICT (effect_key) DO UPDATE SET content_hash = GREATEST(r.content_hash, excluded.content_hash)`
)

// Erasure is a user.erased that a batch folds, and where it is in the log.
type Erasure struct {
	User       string
	Effect     events.UUID // by which its place is remembered; zero for groups that remember every event
	RecordedAt time.Time
	Partition  int
	Offset     int64
}

// erasureKey is what an erasure is remembered by.
func erasureKey(user string) events.UUID {
	sum := sha256.Sum256([]byte("applylens.user.erased " + user))
	return events.UUID(sum[:16])
}

// lockErasures takes the locks of erasures; a zero key has none.
func lockErasures(tx *postgres.Tx, keys []events.UUID) {
	locks := make([]int64, 0, len(keys))
	for _, key := range keys {
		if !key.IsZero() {
			locks = append(locks, int64(binary.BigEndian.Uint64(key[:8])))
		}
	}
	tx.Queue(lockErasuresSQL, locks)
}

// ApplyErasures erases persons beyond the rows of the version that is folded: from dead letters and, for the live version,
// from tables' retired versions. A version that is not live has no effect on others.
func (l *Log) ApplyErasures(ctx context.Context, tx *postgres.Tx, tables []string, erasures []Erasure) error {
	if len(erasures) == 0 {
		return nil
	}
	n := len(erasures)
	users, partitions, offsets := make([]string, n), make([]int, n), make([]int64, n)
	times, keys, micros := make([]time.Time, n), make([]events.UUID, n), make([]int64, n)
	for i, e := range erasures {
		users[i], partitions[i], offsets[i] = e.User, e.Partition, e.Offset
		times[i], keys[i], micros[i] = e.RecordedAt, erasureKey(e.User), e.RecordedAt.UnixMicro()
	}
	lockErasures(tx, keys)
	if _, err := tx.Exec(ctx, fmt.Sprintf(rememberErasuresSQL, l.effectsTable()), keys, micros); err != nil {
		return fmt.Errorf("remember erasures: %w", err)
	}
	if _, err := tx.Exec(ctx, eraseLettersSQL, l.Group, l.TopicID, users, partitions, offsets, times); err != nil {
		return fmt.Errorf("erase dead letters: %w", err)
	}
	if err := l.rememberPlaces(ctx, tx, erasures); err != nil {
		return err
	}
	if l.Shadow {
		return nil
	}
	for _, table := range tables {
		if _, err := tx.Exec(ctx, fmt.Sprintf(eraseRetiredSQL, quote(table)), l.Group, l.TopicID, users, partitions, offsets); err != nil {
			return fmt.Errorf("erase from retired versions of %s: %w", table, err)
		}
	}
	return nil
}

// erasedStrays tells of each dead letter whether its record is outside the partition of its person, whom the group knows
// to have been erased since it was written.
func (l *Log) erasedStrays(ctx context.Context, tx *postgres.Tx, letters []Letter) ([]bool, error) {
	erased, keys := make([]bool, len(letters)), make([]events.UUID, len(letters))
	strays := false
	for i := range letters {
		user := l.whose(&letters[i].Record)
		if user != "" && events.Partition([]byte(user), l.Partitions) != letters[i].Partition {
			keys[i], strays = erasureKey(user), true
		}
	}
	if !strays {
		return erased, nil
	}
	lockErasures(tx, keys)
	known := map[events.UUID]uint64{}
	if err := l.findEffects(ctx, tx, keys, known); err != nil {
		return nil, fmt.Errorf("look for erasures: %w", err)
	}
	for i := range letters {
		at, found := known[keys[i]]
		erased[i] = found && letters[i].Record.Time.UnixMicro() <= int64(at)
	}
	return erased, nil
}
