package relay

import (
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/relaykey"
)

// topicPartition is a partition of a topic, named without the deployment's prefix.
type topicPartition struct {
	topic     string
	partition int
}

// row is a row of the outbox with its relay sequence.
type row struct {
	topicPartition
	events.Stamp
	seq        int64
	id         string
	key        []byte
	value      []byte
	headers    []events.Header
	headerText []byte // as stored
	recordedAt time.Time
	signedBy   *relaykey.Key // of its term
	void       bool          // goes out without content: void or dead
	again      bool          // may have been published before
}

// prepare reads the headers, or empties a row that is void. An error means that the row can never be published.
func (r *row) prepare(source string) error {
	if r.void {
		return r.empty(source)
	}
	headers, err := outbox.UnmarshalHeaders(r.headerText)
	if err != nil {
		return err
	}
	r.headers = headers
	return nil
}

// empty turns the row into a record without content under the same relay sequence. A valid id is kept, so that a restored
// database recognises the row.
func (r *row) empty(source string) error {
	event := events.Event{Envelope: events.Envelope{ID: r.id, Source: source, Type: events.TypeVoid}}
	if event.Validate() != nil {
		event.ID = r.Stamp.Relay.String() + "/" + r.topic
	}
	record, err := events.Encode(&event)
	if err != nil {
		return err
	}
	r.void, r.key, r.value, r.headers = true, record.Key, record.Value, record.Headers
	return nil
}

// size is at least what the row takes in a batch of records, uncompressed.
func (r *row) size() int {
	const fixed = 240 // lengths, attributes, the relay sequence's two headers and the signature
	size := fixed + len(r.key) + len(r.value)
	for _, header := range r.headers {
		size += len(header.Key) + len(header.Value) + 8
	}
	return size
}

// record is the row as kafka-go sends it, signed with the key of its term. Its time is the row's.
func (r *row) record(signers relaykey.Signers) kafka.Record {
	all := append(slices.Clone(r.headers), r.Stamp.Headers()...)
	all = append(all, signers.Of(r.signedBy).Sign(r.topic, r.partition, r.key, r.value, all).Header())
	headers := make([]kafka.Header, len(all))
	for i, header := range all {
		headers[i] = kafka.Header{Key: header.Key, Value: header.Value}
	}
	return kafka.Record{
		Time: r.recordedAt, Key: kafka.NewBytes(r.key), Value: kafka.NewBytes(r.value), Headers: headers,
	}
}
