package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// deadOffsetsSQL lists the records at or above an offset whose outcome is already dead-lettered.
	deadOffsetsSQL = `
SELECT log_offset FROM dead_letters
WHERE group_name = $1 AND topic_id = $2 AND partition = $3 AND log_offset >= $4 AND version <= $5`

	// addLettersSQL keeps records that could not be applied, byte for byte. Several versions may meet one: the first of
	// them by number is kept, since its outcome is that of all later ones.
	addLettersSQL = `
INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, record_time,
                          key, value, headers, value_bytes, reason, detail, user_id, state)
SELECT $1, $2, $3, $4, $5, x.* FROM unnest($6::int[], $7::bigint[], $8::timestamptz[], $9::bytea[], $10::bytea[], $11::jsonb[],
                          $12::int[], $13::text[], $14::text[], $15::text[], $16::text[]) AS x
ON CONFLICT (group_name, topic_id, partition, log_offset)
DO UPDATE SET version = excluded.version WHERE dead_letters.version > excluded.version`

	// redrivenSQL tells from which version on a record that was redriven is a dead letter, and whether it is erased.
	redrivenSQL = `
SELECT COALESCE(min(version), 0), COALESCE(bool_or(state = 'erased'), false) FROM dead_letters
WHERE group_name = $1 AND topic_id = $2 AND partition = $3 AND log_offset = $4 AND state IN ('redriven', 'erased')`
)

// The states of a dead letter.
const (
	LetterOpen      = "open"
	LetterRedriven  = "redriven"
	LetterDiscarded = "discarded"
	LetterErased    = "erased"
)

// Letter is a record that could not be applied, on its way into the table.
type Letter struct {
	Partition int
	Record    kafkalog.Record // with bytes of its own
	Reason    string
	Detail    string
}

// Size is roughly how many bytes the letter takes.
func (l *Letter) Size() int {
	size := 300 + len(l.Record.Key) + len(l.Record.Value)
	for _, h := range l.Record.Headers {
		size += 40 + len(h.Key) + len(h.Value)
	}
	return size
}

// maxStoredValue is how much of a dead letter is kept; longer ones are read back from the log.
const maxStoredValue = 1 << 20

// The limits of one statement.
const (
	letterRows  = 1000
	letterBytes = 2 << 20
)

// AddLetters adds dead letters.
func (l *Log) AddLetters(ctx context.Context, tx *postgres.Tx, letters []Letter) error {
	erased, err := l.erasedStrays(ctx, tx, letters)
	if err != nil {
		return err
	}
	for len(letters) > 0 {
		var columns letterColumns
		count := 0
		for size := 0; count < len(letters) && count < letterRows && (count == 0 || size+letters[count].Size() < letterBytes); count++ {
			size += letters[count].Size()
			if err := columns.add(l, &letters[count], erased[count]); err != nil {
				return err
			}
		}
		letters, erased = letters[count:], erased[count:]
		if _, err := tx.Exec(ctx, addLettersSQL, columns.arguments(l)...); err != nil {
			return fmt.Errorf("add dead letters: %w", err)
		}
	}
	return nil
}

// letterColumns are letters as the arguments of addLettersSQL.
type letterColumns struct {
	partitions                     []int32
	offsets                        []int64
	times                          []*time.Time
	keys, values                   [][]byte
	headers                        []*string
	sizes                          []int32
	reasons, details, users, state []string
}

func (c *letterColumns) add(l *Log, letter *Letter, erased bool) error {
	r := &letter.Record
	var at *time.Time
	if t := storable(r.Time); !t.IsZero() {
		at = &t
	}
	c.partitions = append(c.partitions, int32(letter.Partition))
	c.offsets, c.times, c.sizes = append(c.offsets, r.Offset), append(c.times, at), append(c.sizes, int32(len(r.Value)))
	c.reasons = append(c.reasons, letter.Reason)
	if erased {
		c.content(nil, nil, nil, "", "", LetterErased)
		return nil
	}
	value := r.Value
	switch {
	case len(r.Key)+len(r.Value) > maxStoredValue || r.Err != nil:
		value = nil
	case value == nil:
		value = []byte{}
	}
	text, err := outbox.MarshalHeaders(plainNames(r.Headers))
	if err != nil {
		return err
	}
	headers := string(text)
	c.content(r.Key, value, &headers, letter.Detail, l.whose(r), LetterOpen)
	return nil
}

func (c *letterColumns) content(key, value []byte, headers *string, detail, user, state string) {
	c.keys, c.values, c.headers = append(c.keys, key), append(c.values, value), append(c.headers, headers)
	c.details, c.users, c.state = append(c.details, detail), append(c.users, user), append(c.state, state)
}

func (c *letterColumns) arguments(l *Log) []any {
	return []any{l.Group, l.Version, l.Cluster, l.Topic, l.TopicID, c.partitions, c.offsets, c.times, c.keys, c.values, c.headers,
		c.sizes, c.reasons, c.details, c.users, c.state}
}

// plainNames makes header names acceptable to PostgreSQL; values are kept as bytes.
func plainNames(headers []events.Header) []events.Header {
	result := make([]events.Header, len(headers))
	for i, h := range headers {
		result[i] = events.Header{Key: events.CleanText(h.Key, 200), Value: h.Value}
	}
	return result
}

// DeadOffsets returns the offsets from one on whose outcome an earlier version or run decided.
func (l *Log) DeadOffsets(ctx context.Context, db Querier, partition int, from int64) (map[int64]struct{}, error) {
	offsets, err := collect(ctx, db, "read dead letters", pgx.RowTo[int64], deadOffsetsSQL, l.Group, l.TopicID, partition, from, l.Version)
	if err != nil {
		return nil, err
	}
	dead := make(map[int64]struct{}, len(offsets))
	for _, offset := range offsets {
		dead[offset] = struct{}{}
	}
	return dead, nil
}

// Redriven tells from which version on the record at an offset became a dead letter that was redriven, 0 when none did,
// and whether its person was erased since. A topic that was recreated has other records at the same places.
func Redriven(ctx context.Context, db Querier, group string, topic events.UUID, partition int, offset int64) (since int, erased bool, err error) {
	if err := db.QueryRow(ctx, redrivenSQL, group, topic, partition, offset).Scan(&since, &erased); err != nil {
		return 0, false, fmt.Errorf("look up redriven record: %w", err)
	}
	return since, erased, nil
}

var userMember = regexp.MustCompile(`"user_id"\s*:\s*("(?:[^"\\]|\\.)*")`)

// whose returns the person that a record is about: the one that its value names, however broken it is, else its key.
func (l *Log) whose(r *kafkalog.Record) string {
	if l.Topic == events.TopicApplications {
		return ""
	}
	// The name of a member is exact, as for the decoder of events: a struct would take other letter case too, and the dead letter
	// would not be erased with its person.
	var members map[string]json.RawMessage
	var user string
	value := events.DataOf(r.Headers, r.Value[:min(len(r.Value), events.MaxValue)])
	// A value that no event can have is not taken apart: its first member of that name is good enough. Searching all of one
	// that is too large to keep would take seconds within a transaction.
	if len(r.Value) > events.MaxValue || json.Unmarshal(value, &members) != nil {
		if match := userMember.FindSubmatch(value[:min(len(value), maxStoredValue)]); match != nil {
			_ = json.Unmarshal(match[1], &user) // what is no string names nobody
		}
	} else if value, has := members["user_id"]; has {
		_ = json.Unmarshal(value, &user)
	}
	if user == "" {
		user = string(r.Key)
	}
	return events.CleanText(user, events.MaxUserID)
}
