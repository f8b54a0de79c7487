// Package outbox is the transactional outbox: a transaction inserts its events beside its change of state, the relay
// publishes them, and ?wait= looks them up.
//
// An event is published if and only if the transaction that added it commits, and the events of one transaction are
// published in the order in which they were added. Publishing is producers/relay's.
package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// insertRows keeps the order of its arrays: seq is drawn after sorting.
const insertRows = `
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, headers, user_id)
SELECT id, topic, key, type, payload, headers, user_id
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::jsonb[], $7::text[])
    WITH ORDINALITY AS t (id, topic, key, type, payload, headers, user_id, position)
ORDER BY position`

// selectSource reads the identity that the first migration created.
const selectSource = `SELECT id::text FROM deployment`

// ErrNotFound tells that a person has no event of that id, or that its row was pruned.
var ErrNotFound = errors.New("no such event in the outbox")

// Querier is a pool, a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Row is a record that waits to be published.
type Row struct {
	ID      string // ce_id
	Topic   string // without the deployment's prefix
	Key     []byte
	Type    string // ce_type
	Value   []byte
	Headers []events.Header // all but the stamp
	UserID  string          // whose event it is; empty: nobody's
}

// Add encodes events and inserts their rows in the order given, one for each topic of the event. It refuses with an
// *events.Error an event that breaks the schema, and then inserts nothing.
//
// Callers that add events of one person in several transactions must hold a lock of that person from before Add until the
// commit: the relay publishes in the order of seq, which is the order of commits only under such a lock.
func Add(ctx context.Context, tx Execer, list ...*events.Event) error {
	rows, err := rowsOf(list)
	if err != nil {
		return err
	}
	return Insert(ctx, tx, rows...)
}

// Queue is Add for a batch that the caller sends within the transaction.
func Queue(b *pgx.Batch, list ...*events.Event) error {
	rows, err := rowsOf(list)
	if err != nil || len(rows) == 0 {
		return err
	}
	columns, err := columnsOf(rows)
	if err != nil {
		return err
	}
	b.Queue(insertRows, columns...)
	return nil
}

func rowsOf(list []*events.Event) ([]Row, error) {
	rows := make([]Row, 0, len(list))
	for _, event := range list {
		record, err := events.Encode(event)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", event.Type, err)
		}
		for _, topic := range event.Type.Topics() {
			rows = append(rows, Row{
				ID: event.ID, Topic: topic, Key: record.Key, Type: event.Type.String(),
				Value: record.Value, Headers: record.Headers, UserID: event.UserID(),
			})
		}
	}
	return rows, nil
}

// Insert inserts rows in the order given.
func Insert(ctx context.Context, tx Execer, rows ...Row) error {
	if len(rows) == 0 {
		return nil
	}
	columns, err := columnsOf(rows)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertRows, columns...); err != nil {
		return fmt.Errorf("insert %d outbox rows: %w", len(rows), err)
	}
	return nil
}

func columnsOf(rows []Row) ([]any, error) {
	n := len(rows)
	ids, topics, types, users, headers := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	keys, values := make([][]byte, n), make([][]byte, n)
	for i, row := range rows {
		text, err := MarshalHeaders(row.Headers)
		if err != nil {
			return nil, fmt.Errorf("write headers of %s: %w", row.Type, err)
		}
		ids[i], topics[i], types[i], users[i], headers[i] = row.ID, row.Topic, row.Type, row.UserID, string(text)
		keys[i], values[i] = notNull(row.Key), notNull(row.Value)
	}
	return []any{ids, topics, keys, types, values, headers, users}, nil
}

func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Source returns the ce_source of this deployment's own events. It never changes.
func Source(ctx context.Context, db Querier) (string, error) {
	var id string
	if err := db.QueryRow(ctx, selectSource).Scan(&id); err != nil {
		return "", fmt.Errorf("read deployment id: %w", err)
	}
	return "/applylens/" + id, nil
}
