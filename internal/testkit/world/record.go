package world

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/relaykey"
)

const insertRelay = "INSERT INTO relays (relay_id, key_number) VALUES ($1, $2)"

// NewRelay begins a term of the relay, which Own numbers and signs records for.
func (w *World) NewRelay() {
	w.Helper()
	w.Relay, w.Seqs = events.NewUUIDv7(time.Now()), map[int32]int64{}
	keys, err := relaykey.Ensure(w.Context(), w.Pool, nil, w.Source)
	w.Must(err)
	w.signer = keys.Current().Signer()
	w.Exec(insertRelay, w.Relay, keys.Current().Number)
}

// Own encodes an event as our relay publishes it, with the next sequence of its partition.
func (w *World) Own(e *events.Event) *kgo.Record {
	w.Helper()
	e.Source = w.Source
	return w.Next(w.Record(e))
}

// Foreign encodes an event as another team's service publishes it.
func (w *World) Foreign(e *events.Event) *kgo.Record {
	w.Helper()
	if e.Source == "" {
		e.Source = "/upstream"
	}
	return w.Record(e)
}

// Record encodes an event without a relay's stamp, for the partition of its key.
func (w *World) Record(e *events.Event) *kgo.Record {
	w.Helper()
	encoded, err := events.Encode(e)
	w.Must(err)
	return w.record(e.Topic(), encoded.Key, encoded.Value, encoded.Headers)
}

func (w *World) record(topic string, key, value []byte, headers []events.Header) *kgo.Record {
	record := &kgo.Record{
		Topic: w.Conn.Topic(topic), Key: key, Value: value,
		Partition: int32(w.PartitionOf(string(key))), Timestamp: w.Now(),
	}
	for _, h := range headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return record
}

// Next numbers and signs a record as the next one of the current term.
func (w *World) Next(record *kgo.Record) *kgo.Record {
	w.Helper()
	if w.Relay.IsZero() {
		w.NewRelay()
	}
	w.Seqs[record.Partition]++
	return w.Sign(Stamp(record, w.Relay, w.Seqs[record.Partition]))
}

// Sign adds the signature of the current term's key to a record that has all other headers.
func (w *World) Sign(record *kgo.Record) *kgo.Record {
	headers := make([]events.Header, len(record.Headers))
	for i, h := range record.Headers {
		headers[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	topic := strings.TrimPrefix(record.Topic, w.Conn.Topic(""))
	header := w.signer.Sign(topic, int(record.Partition), record.Key, record.Value, headers).Header()
	record.Headers = append(record.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	return record
}

// Stamp adds a relay sequence, but no signature.
func Stamp(record *kgo.Record, relay events.UUID, seq int64) *kgo.Record {
	record.Headers = append(record.Headers,
		kgo.RecordHeader{Key: events.HeaderRelayID, Value: []byte(relay.String())},
		kgo.RecordHeader{Key: events.HeaderRelaySeq, Value: []byte(strconv.FormatInt(seq, 10))})
	return record
}

// Publish appends records to the log.
func (w *World) Publish(records ...*kgo.Record) {
	w.Helper()
	w.Must(w.Producer.ProduceSync(w.Context(), records...).FirstErr())
}

// PartitionOf returns where the records of a key go.
func (w *World) PartitionOf(key string) int { return events.Partition([]byte(key), w.Partitions) }

// UsersOf returns count users whose records go to the partition.
func (w *World) UsersOf(partition, count int) []string {
	var users []string
	for n := 0; len(users) < count; n++ {
		if user := fmt.Sprint("user-", n); w.PartitionOf(user) == partition {
			users = append(users, user)
		}
	}
	return users
}
