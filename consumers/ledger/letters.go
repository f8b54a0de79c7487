package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
)

const (
	// listLettersSQL lists dead letters, oldest first.
	listLettersSQL = `
SELECT id, group_name, version, topic, topic_id, partition, log_offset, record_time, value_bytes, reason, detail, state, state_note, created_at
FROM dead_letters
WHERE group_name = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR reason = $3) AND id > $4
ORDER BY id LIMIT $5`

	// showLetterSQL reads one with its record, and lockLetterSQL keeps it from changing until the transaction ends.
	showLetterSQL = `
SELECT id, group_name, version, topic, topic_id, partition, log_offset, record_time, value_bytes, reason, detail, state, state_note, created_at,
       key, value, headers, user_id
FROM dead_letters WHERE id = $1`
	lockLetterSQL = showLetterSQL + ` FOR UPDATE`

	// closeLetterSQL records what an operator made of a dead letter.
	closeLetterSQL = `
UPDATE dead_letters SET state = $2, state_note = $3, updated_at = now() WHERE id = $1`

	// emptyClosedSQL takes the bytes of dead letters away that were closed a month ago. The rows stay as the outcome of their
	// records. It takes more than one is closed at a time, so that they become no more.
	emptyClosedSQL = `
UPDATE dead_letters SET key = NULL, value = NULL, headers = NULL WHERE id = ANY (ARRAY(
	SELECT id FROM dead_letters WHERE state IN ('redriven', 'discarded') AND value IS NOT NULL AND updated_at < now() - interval '30 days'
	ORDER BY updated_at LIMIT 100 FOR UPDATE SKIP LOCKED))`
)

// DeadLetter is a record that could not be applied, without its bytes.
type DeadLetter struct {
	ID         int64       `json:"id"`
	Group      string      `json:"group"`
	Version    int         `json:"version"`
	Topic      string      `json:"topic"`
	TopicID    events.UUID `json:"-"`
	Partition  int         `json:"partition"`
	Offset     int64       `json:"offset"`
	RecordTime *time.Time  `json:"record_time,omitempty"`
	Bytes      int         `json:"bytes"`
	Reason     string      `json:"reason"`
	Detail     string      `json:"detail"`
	State      string      `json:"state"` // open, redriven, discarded or erased
	StateNote  string      `json:"state_note,omitempty"`
	CreatedAt  time.Time   `json:"created_at"`
}

// DeadRecord is a dead letter with the record as it was; Value is nil when it was too large to keep or was erased.
type DeadRecord struct {
	DeadLetter
	Key     []byte
	Value   []byte
	Headers []events.Header
	UserID  string
}

// LetterFilter selects dead letters of a group; empty fields select all.
type LetterFilter struct {
	Group  string
	State  string
	Reason string
	After  int64 // ids above this one
	Limit  int
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetters lists dead letters, oldest first.
func DeadLetters(ctx context.Context, db Querier, f LetterFilter) ([]DeadLetter, error) {
	return collect(ctx, db, "list dead letters", pgx.RowToStructByPos[DeadLetter], listLettersSQL, f.Group, f.State, f.Reason, f.After, f.Limit)
}

// ShowDeadLetter returns one dead letter with its record.
func ShowDeadLetter(ctx context.Context, db Querier, id int64) (*DeadRecord, error) {
	return readLetter(ctx, db, showLetterSQL, id)
}

// LockDeadLetter does the same, and keeps it from changing until the transaction ends.
func LockDeadLetter(ctx context.Context, tx *postgres.Tx, id int64) (*DeadRecord, error) {
	return readLetter(ctx, tx, lockLetterSQL, id)
}

func readLetter(ctx context.Context, db Querier, statement string, id int64) (*DeadRecord, error) {
	var d DeadRecord
	var headers []byte
	err := db.QueryRow(ctx, statement, id).Scan(&d.ID, &d.Group, &d.Version, &d.Topic, &d.TopicID, &d.Partition, &d.Offset, &d.RecordTime,
		&d.Bytes, &d.Reason, &d.Detail, &d.State, &d.StateNote, &d.CreatedAt, &d.Key, &d.Value, &headers, &d.UserID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: %d", ErrNoDeadLetter, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	if headers != nil {
		if d.Headers, err = outbox.UnmarshalHeaders(headers); err != nil {
			return nil, fmt.Errorf("read dead letter %d: %w", id, err)
		}
	}
	return &d, nil
}

// Close records what an operator made of the dead letter: redriven or discarded. Its bytes are kept for a month.
func (d *DeadLetter) Close(tx *postgres.Tx, state, note string) {
	tx.Queue(closeLetterSQL, d.ID, state, note)
	tx.Queue(emptyClosedSQL)
}
