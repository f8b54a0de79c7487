package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

const (
	// liveVersionSQL names the version that a group folds and readers see.
	liveVersionSQL = `
SELECT v.version, v.fold_version
FROM projections p JOIN versions v ON v.group_name = p.group_name AND v.version = p.live_version
WHERE p.group_name = $1`

	// takeRuleSQL lets a version into which nothing was folded yet be folded by another rule.
	takeRuleSQL = `
UPDATE versions v SET fold_version = $3
WHERE v.group_name = $1 AND v.version = $2
  AND NOT EXISTS (SELECT FROM positions p WHERE p.group_name = v.group_name AND p.version = v.version)`

	// lockVersionSQL reads what a version is and by which rule it is folded, and keeps a swap or a drop from changing it
	// until the transaction ends.
	lockVersionSQL = `
SELECT CASE WHEN p.live_version = v.version THEN 'live' ELSE v.state END, v.fold_version
FROM projections p JOIN versions v ON v.group_name = p.group_name AND v.version = $2
WHERE p.group_name = $1 FOR SHARE OF p`

	// otherLogsSQL halts what this version knows of the topic under another topic id or cluster: the log that its
	// positions speak of is not the log that is there.
	otherLogsSQL = `
UPDATE positions
SET state = 'halted', halt_reason = 'recreated', halt_detail = $6, updated_at = now()
WHERE group_name = $1 AND version = $2 AND topic = $3 AND state <> 'replaced' AND (cluster_id <> $4 OR topic_id <> $5)`

	// acceptedCountsSQL lists the partition counts that the topic has had.
	acceptedCountsSQL = `
SELECT partitions FROM topic_partitions WHERE cluster_id = $1 AND topic_id = $2`

	// firstCountSQL records the partition count at first sight of a topic.
	firstCountSQL = `
INSERT INTO topic_partitions (cluster_id, topic_id, topic, partitions)
SELECT $1, $2, $3, $4
WHERE NOT EXISTS (SELECT FROM topic_partitions WHERE cluster_id = $1 AND topic_id = $2)
ON CONFLICT DO NOTHING`

	// haltGrownSQL stops every partition of a topic whose count no operator accepted.
	haltGrownSQL = `
UPDATE positions
SET state = 'halted', halt_reason = 'grown', halt_detail = $5, updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND state = 'running'`

	// firstSightSQL gives every partition that has none a position at the log's start, so that nothing that is
	// written before somebody reads it is passed over.
	firstSightSQL = `
INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at)
SELECT $1, $2, $3, $4, $5, p, o, o
FROM unnest($6::int[], $7::bigint[]) AS t (p, o)
ORDER BY p
ON CONFLICT DO NOTHING`

	// claimSQL makes this worker the owner: every earlier owner's compare-and-set fails from here on.
	claimSQL = `
WITH mine AS (
	SELECT partition FROM positions
	WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = ANY ($5::int[])
	ORDER BY partition FOR UPDATE)
UPDATE positions p
SET owner_epoch = p.owner_epoch + 1, owner = $6, updated_at = now(),
    state = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN 'running' ELSE p.state END,
    halt_reason = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN '' ELSE p.halt_reason END,
    halt_detail = CASE WHEN p.halt_reason = ANY ($7::text[]) THEN '' ELSE p.halt_detail END
FROM mine
WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4 AND p.partition = mine.partition
RETURNING p.partition, p.next_offset, p.leader_epoch, p.owner_epoch, p.began_at, p.state, p.halt_reason, p.halt_detail`

	// sequencesSQL reads the numbers that were applied of each relay term.
	sequencesSQL = `
SELECT partition, relay_id, last_seq FROM relay_sequences
WHERE group_name = $1 AND version = $2 AND topic = $3 AND partition = ANY ($4::int[])`

	// deadOffsetsSQL lists the records at or above a position whose outcome is already dead-lettered.
	deadOffsetsSQL = `
SELECT log_offset FROM dead_letters
WHERE group_name = $1 AND topic_id = $2 AND partition = $3 AND log_offset >= $4 AND version <= $5`

	// advanceSQL is the compare-and-set that every transaction begins with. It takes the rows in order, and changes
	// fewer than were named when one of them has another owner or another offset.
	advanceSQL = `
WITH wanted AS (
	SELECT * FROM unnest($5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::timestamptz[],
	                     $11::bigint[], $12::bigint[], $13::bigint[])
	AS t (partition, expected, owner_epoch, next_offset, leader_epoch, last_event_at, applied, repeated, dead_lettered)),
mine AS (
	SELECT p.partition FROM positions p JOIN wanted w USING (partition)
	WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4
	  AND p.next_offset = w.expected AND p.owner_epoch = w.owner_epoch AND p.state = 'running'
	ORDER BY p.partition FOR UPDATE OF p)
UPDATE positions p
SET next_offset = w.next_offset, leader_epoch = w.leader_epoch,
    last_event_at = COALESCE(w.last_event_at, p.last_event_at), updated_at = now(),
    fetched = p.fetched + w.applied + w.repeated + w.dead_lettered, applied = p.applied + w.applied,
    repeated = p.repeated + w.repeated, dead_lettered = p.dead_lettered + w.dead_lettered
FROM wanted w, mine
WHERE w.partition = mine.partition AND p.partition = mine.partition
  AND p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4`

	// advanceUnguardedSQL is advanceSQL without the comparison, for the control that proves the comparison is needed.
	advanceUnguardedSQL = `
UPDATE positions p
SET next_offset = w.next_offset, leader_epoch = w.leader_epoch,
    last_event_at = COALESCE(w.last_event_at, p.last_event_at), updated_at = now(),
    fetched = p.fetched + w.applied + w.repeated + w.dead_lettered, applied = p.applied + w.applied,
    repeated = p.repeated + w.repeated, dead_lettered = p.dead_lettered + w.dead_lettered
FROM unnest($5::int[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::timestamptz[],
            $11::bigint[], $12::bigint[], $13::bigint[])
     AS w (partition, expected, owner_epoch, next_offset, leader_epoch, last_event_at, applied, repeated, dead_lettered)
WHERE p.group_name = $1 AND p.version = $2 AND p.cluster_id = $3 AND p.topic_id = $4 AND p.partition = w.partition`

	// whereSQL reads back what a transaction with an unknown outcome left.
	whereSQL = `
SELECT partition, next_offset, owner_epoch FROM positions
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = ANY ($5::int[])`

	// addSequencesSQL remembers the last number applied of each relay term. It never falls, or what was applied would
	// be applied again.
	addSequencesSQL = `
INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq)
SELECT $1, $2, $3, p, r, s FROM unnest($4::int[], $5::uuid[], $6::bigint[]) AS t (p, r, s)
ON CONFLICT (group_name, version, topic, partition, relay_id) DO UPDATE SET last_seq = GREATEST(relay_sequences.last_seq, excluded.last_seq)`

	// addRepeatsSQL claims the effects of unstamped events; it inserts fewer than were given when one was there.
	addRepeatsSQL = `
INSERT INTO repeats (group_name, version, effect_key, content_hash)
SELECT $1, $2, k, h FROM unnest($3::uuid[], $4::bigint[]) AS t (k, h)
ON CONFLICT DO NOTHING`

	// findRepeatsSQL tells which effects are there already, and of which content.
	findRepeatsSQL = `
SELECT effect_key, content_hash FROM repeats
WHERE group_name = $1 AND version = $2 AND effect_key = ANY ($3::uuid[])`

	// addDeadLetterSQL keeps a record that could not be applied, byte for byte. Several versions may
	// meet it: the first of them by number is kept, since its outcome is that of all later ones.
	addDeadLetterSQL = `
INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, record_time,
                          key, value, headers, value_bytes, reason, detail, user_id, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (group_name, topic_id, partition, log_offset)
DO UPDATE SET version = excluded.version WHERE dead_letters.version > excluded.version`

	// redrivenSQL tells from which version on a record that was redriven is a dead letter, and whether it is erased.
	redrivenSQL = `
SELECT COALESCE(min(version), 0), COALESCE(bool_or(state = 'erased'), false) FROM dead_letters
WHERE group_name = $1 AND topic = $2 AND partition = $3 AND log_offset = $4 AND state IN ('redriven', 'erased')`

	// haltSQL stops one partition, if it is still ours.
	haltSQL = `
UPDATE positions SET state = 'halted', halt_reason = $7, halt_detail = $8, updated_at = now()
WHERE group_name = $1 AND version = $2 AND cluster_id = $3 AND topic_id = $4 AND partition = $5 AND owner_epoch = $6`

	// relayKnownSQL tells whether a relay id is one of ours.
	relayKnownSQL = `SELECT EXISTS (SELECT FROM relays WHERE relay_id = $1)`

	// pacingSQL reads how fast a version that is being built may go.
	pacingSQL = `SELECT throttle, paused FROM versions WHERE group_name = $1 AND version = $2`

	// sourceSQL is the ce_source of everything our relay publishes.
	sourceSQL = `SELECT '/applylens/' || id FROM deployment`
)

// place identifies the log that positions speak of.
type place struct {
	group      string
	version    Version
	cluster    string
	topic      string // without prefix
	topicID    events.UUID
	partitions int // how many the topic has
}

// position is where one partition stands, as PostgreSQL has it.
type position struct {
	next        int64
	leaderEpoch int32
	ownerEpoch  int64
	beganAt     int64
}

// errFenced tells that a position has another owner or was moved: this session is over.
var errFenced = errors.New("position has another owner")

// advance is what a batch does to one partition.
type advance struct {
	partition                       int
	expected, ownerEpoch, next      int64
	leaderEpoch                     int32
	lastEventAt                     time.Time
	applied, repeated, deadLettered int64
}

// compareAndSet moves the positions of all advances or returns errFenced.
func (p *place) compareAndSet(ctx context.Context, tx pgx.Tx, advances []advance, guarded bool) error {
	n := len(advances)
	partitions, epochs := make([]int32, n), make([]int32, n)
	expected, owners, next := make([]int64, n), make([]int64, n), make([]int64, n)
	applied, repeated, dead := make([]int64, n), make([]int64, n), make([]int64, n)
	times := make([]*time.Time, n)
	for i, a := range advances {
		partitions[i], expected[i], owners[i], next[i], epochs[i] = int32(a.partition), a.expected, a.ownerEpoch, a.next, a.leaderEpoch
		applied[i], repeated[i], dead[i] = a.applied, a.repeated, a.deadLettered
		if !a.lastEventAt.IsZero() {
			times[i] = &a.lastEventAt
		}
	}
	statement := advanceSQL
	if !guarded {
		statement = advanceUnguardedSQL
	}
	tag, err := tx.Exec(ctx, statement, p.group, p.version.Number, p.cluster, p.topicID, partitions, expected, owners,
		next, epochs, times, applied, repeated, dead)
	if err != nil {
		return fmt.Errorf("advance positions: %w", err)
	}
	if tag.RowsAffected() != int64(n) {
		return errFenced
	}
	return nil
}

// landed tells, after a compare-and-set that found nothing, whether it is because the same advances committed before.
func (p *place) landed(ctx context.Context, db querier, advances []advance) (bool, error) {
	partitions := make([]int32, len(advances))
	for i, a := range advances {
		partitions[i] = int32(a.partition)
	}
	rows, err := db.Query(ctx, whereSQL, p.group, p.version.Number, p.cluster, p.topicID, partitions)
	if err != nil {
		return false, fmt.Errorf("read positions: %w", err)
	}
	type row struct {
		Partition  int32
		NextOffset int64
		OwnerEpoch int64
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return false, fmt.Errorf("read positions: %w", err)
	}
	at := make(map[int]row, len(found))
	for _, r := range found {
		at[int(r.Partition)] = r
	}
	for _, a := range advances {
		if r := at[a.partition]; r.NextOffset != a.next || r.OwnerEpoch != a.ownerEpoch {
			return false, nil
		}
	}
	return true, nil
}

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// deadLetter is a record that could not be applied, on its way into the table.
type deadLetter struct {
	partition int
	record    record
	reason    string
	detail    string
}

// maxStoredValue is how much of a dead letter is kept; longer ones are read back from the log.
const maxStoredValue = 1 << 20

func (p *place) addDeadLetters(ctx context.Context, tx pgx.Tx, letters []deadLetter) error {
	erased, err := p.erasedStrays(ctx, tx, letters)
	if err != nil {
		return err
	}
	for i := range letters {
		row, err := p.row(&letters[i], erased[i])
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, addDeadLetterSQL, row...); err != nil {
			return fmt.Errorf("add dead letter: %w", err)
		}
	}
	return nil
}

// row is a dead letter as the arguments of addDeadLetterSQL.
func (p *place) row(letter *deadLetter, erased bool) ([]any, error) {
	r := &letter.record
	var at *time.Time
	if t := storable(r.time); !t.IsZero() {
		at = &t
	}
	where := []any{p.group, p.version.Number, p.cluster, p.topic, p.topicID, letter.partition, r.offset, at}
	if erased {
		return append(where, nil, nil, nil, len(r.value), letter.reason, "", "", "erased"), nil
	}
	key, value := r.key, r.value
	if value == nil {
		value = []byte{}
	}
	if len(key)+len(value) > maxStoredValue {
		value = nil
	}
	headers, err := outbox.MarshalHeaders(plainNames(r.headers))
	if err != nil {
		return nil, err
	}
	return append(where, key, value, headers, len(r.value), letter.reason, letter.detail, p.whose(r), "open"), nil
}

// storable returns the time that a producer gave a record, or the zero time when there is none or PostgreSQL cannot
// keep it: it is for people, and no reason to refuse the record.
func storable(t time.Time) time.Time {
	const latest = 253402300799 // 9999-12-31T23:59:59Z
	if t.UnixMilli() < 0 || t.Unix() > latest {
		return time.Time{}
	}
	return t
}

// plainNames makes header names acceptable to PostgreSQL; values are kept as bytes.
func plainNames(headers []events.Header) []events.Header {
	result := make([]events.Header, len(headers))
	for i, h := range headers {
		result[i] = events.Header{Key: events.CleanText(h.Key, 200), Value: h.Value}
	}
	return result
}
