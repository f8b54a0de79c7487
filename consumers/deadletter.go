package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/outbox"
)

const (
	listDeadLettersSQL = `
SELECT id, group_name, version, topic, topic_id, partition, log_offset, record_time, value_bytes, reason, detail, state, state_note, created_at
FROM dead_letters
WHERE group_name = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR reason = $3) AND id > $4
ORDER BY id LIMIT $5`

	showDeadLetterSQL = `
SELECT id, group_name, version, topic, topic_id, partition, log_offset, record_time, value_bytes, reason, detail, state, state_note, created_at,
       key, value, headers, user_id
FROM dead_letters WHERE id = $1`

	lockDeadLetterSQL = showDeadLetterSQL + ` FOR UPDATE`

	settleDeadLetterSQL = `
UPDATE dead_letters SET state = $2, state_note = $3, updated_at = now() WHERE id = $1`
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

// DeadLetterFilter selects dead letters of a group; empty fields select all.
type DeadLetterFilter struct {
	Group  string
	State  string
	Reason string
	After  int64 // ids above this one
	Limit  int
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// ListDeadLetters lists dead letters, oldest first.
func ListDeadLetters(ctx context.Context, pool *pgxpool.Pool, f DeadLetterFilter) ([]DeadLetter, error) {
	rows, err := pool.Query(ctx, listDeadLettersSQL, f.Group, f.State, f.Reason, f.After, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	letters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DeadLetter])
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

// ShowDeadLetter returns one dead letter with its record.
func ShowDeadLetter(ctx context.Context, pool *pgxpool.Pool, id int64) (*DeadRecord, error) {
	return readDeadLetter(ctx, pool, showDeadLetterSQL, id)
}

func readDeadLetter(ctx context.Context, db querier, statement string, id int64) (*DeadRecord, error) {
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

// Redrive puts the stored bytes of an open dead letter into the outbox, marked for its group alone, so that it is
// folded once more in log order, live and in every rebuild. A conflict is applied only with force.
func Redrive(ctx context.Context, pool *pgxpool.Pool, conn *broker.Conn, id int64, actor string, force bool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		d, err := readDeadLetter(ctx, tx, lockDeadLetterSQL, id)
		if err != nil {
			return err
		}
		if d.State != "open" {
			return fmt.Errorf("it is %s already", d.State)
		}
		if d.Reason == reasonConflict && !force {
			return errors.New("an event with the same identity and other content was applied before: redriving it needs --force")
		}
		if d.Value == nil {
			if err := readBack(ctx, conn, d); err != nil {
				return err
			}
		}
		if err := outbox.Insert(ctx, tx, d.again(force)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, settleDeadLetterSQL, id, "redriven", "by "+actor); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, addAuditSQL, actor, "redrive", d.Group, d.Version, d.Topic, d.Partition, d.Offset, nil, d.Reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("redrive dead letter %d: %w", id, err)
	}
	return nil
}

// again is the outbox row that publishes the record once more; its old stamp, if it had one, is not part of it.
func (d *DeadRecord) again(force bool) outbox.Row {
	row := outbox.Row{ID: fmt.Sprintf("redrive-%d", d.ID), Topic: d.Topic, Key: d.Key, Value: d.Value, UserID: d.UserID}
	for _, h := range d.Headers {
		switch h.Key {
		case events.HeaderRelayID, events.HeaderRelaySeq, events.HeaderRedriveGroup, events.HeaderRedrivenFrom, events.HeaderRedriveForce:
			continue
		case events.HeaderType:
			row.Type = events.CleanText(string(h.Value), 200)
		}
		row.Headers = append(row.Headers, h)
	}
	from := d.Topic + "/" + strconv.Itoa(d.Partition) + "/" + strconv.FormatInt(d.Offset, 10)
	row.Headers = append(row.Headers,
		events.Header{Key: events.HeaderRedriveGroup, Value: []byte(d.Group)},
		events.Header{Key: events.HeaderRedrivenFrom, Value: []byte(from)})
	if force {
		row.Headers = append(row.Headers, events.Header{Key: events.HeaderRedriveForce, Value: []byte("true")})
	}
	return row
}

// readBack fetches a value that was too large to keep.
func readBack(ctx context.Context, conn *broker.Conn, d *DeadRecord) error {
	topic, err := conn.DescribeTopic(ctx, conn.Topic(d.Topic))
	if err != nil {
		return err
	}
	if topic.ID != d.TopicID {
		return errors.New("its value was too large to keep, and its topic was recreated since: it is gone")
	}
	log := &topicLog{conn: conn, topic: conn.Topic(d.Topic), maxBytes: 16 << 20, maxWait: time.Second}
	c, err := log.fetch(ctx, d.Partition, d.Offset)
	if errors.Is(err, errOffsetOutOfRange) || err == nil && (len(c.records) == 0 || c.records[0].offset != d.Offset) {
		return errors.New("its value was too large to keep, and the log no longer holds it: it is gone")
	}
	if err != nil {
		return err
	}
	d.Value = c.records[0].value
	return nil
}

// Discard closes an open dead letter for good, with the reason.
func Discard(ctx context.Context, pool *pgxpool.Pool, id int64, actor, reason string) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		d, err := readDeadLetter(ctx, tx, lockDeadLetterSQL, id)
		if err != nil {
			return err
		}
		if d.State != "open" {
			return fmt.Errorf("it is %s already", d.State)
		}
		if _, err := tx.Exec(ctx, settleDeadLetterSQL, id, "discarded", events.CleanText(reason, 500)+" (by "+actor+")"); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, addAuditSQL, actor, "discard", d.Group, d.Version, d.Topic, d.Partition, d.Offset, nil, reason)
		return err
	})
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", id, err)
	}
	return nil
}
