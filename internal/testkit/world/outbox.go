package world

import (
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

const (
	selectWaiting   = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
	selectOutbox    = "SELECT seq, aggregatetype, aggregateid, payload, headers FROM outbox WHERE "
	inOrder         = " ORDER BY seq"
	updatePublished = "UPDATE outbox SET published_at = now() WHERE seq = ANY ($1)"
)

// Outboxed is an event as it stands in the outbox.
type Outboxed struct {
	Seq   int64
	Topic string
	Key   string
	Event events.Event
}

// Outbox decodes the rows of the outbox that a condition selects, in order.
func (w *World) Outbox(condition string, args ...any) []Outboxed {
	w.Helper()
	var list []Outboxed
	w.eachOutboxed(condition, args, func(seq int64, topic string, key, value []byte, headers []events.Header) {
		decoder := events.NewDecoder()
		head, err := decoder.Head(headers)
		w.Must(err)
		row := Outboxed{Seq: seq, Topic: topic, Key: string(key)}
		w.Must(decoder.Decode(&head, value, &row.Event))
		list = append(list, row)
	})
	return list
}

// RelayOutbox publishes what waits in the outbox as the relay does, and returns how many records it was.
func (w *World) RelayOutbox() int {
	w.Helper()
	var records []*kgo.Record
	var published []int64
	w.eachOutboxed("published_at IS NULL", nil, func(seq int64, topic string, key, value []byte, headers []events.Header) {
		records, published = append(records, w.Next(w.record(topic, key, value, headers))), append(published, seq)
	})
	w.Publish(records...)
	w.Exec(updatePublished, published)
	return len(records)
}

func (w *World) eachOutboxed(condition string, args []any, do func(seq int64, topic string, key, value []byte, headers []events.Header)) {
	w.Helper()
	rows, err := w.Pool.Query(w.Context(), selectOutbox+condition+inOrder, args...)
	w.Must(err)
	var seq int64
	var topic string
	var key, value, text []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &topic, &key, &value, &text}, func() error {
		headers, err := outbox.UnmarshalHeaders(text)
		if err == nil {
			do(seq, topic, slices.Clone(key), slices.Clone(value), headers)
		}
		return err
	})
	w.Must(err)
}

// AwaitPublished waits until a relay has published everything that is in the outbox.
func (w *World) AwaitPublished() {
	w.Helper()
	w.Eventually("everything is published", func() error {
		var waiting int
		if err := w.Pool.QueryRow(w.Context(), selectWaiting).Scan(&waiting); err != nil {
			return err
		}
		return Want(waiting == 0, "%d rows wait", waiting)
	})
}
