package kafkalog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/applylens/applylens/internal/broker"
)

// Reader reads one topic by fetch requests of its own. It is safe for concurrent use.
//
// kafka-go's Client.Fetch hides which transactions were aborted and copies every record several times, so the request is
// made one layer below it, through the same Transport.
type Reader struct {
	Conn     *broker.Conn
	Topic    string        // as Kafka knows it
	MaxBytes int           // of one answer, compressed. A batch that is larger still comes whole
	MaxWait  time.Duration // how long the broker may wait for the first record

	// Uncommitted makes the reader see open and aborted transactions too; Record.Transactional marks their records.
	Uncommitted bool
}

// ErrOffsetOutOfRange tells that the log does not hold an offset, whichever end it is beyond.
var ErrOffsetOutOfRange = errors.New("the offset is outside the log")

// Fetch returns what the partition holds from offset on, after at most MaxWait when there is nothing yet. Every error is
// transient, except ErrOffsetOutOfRange. The caller releases the chunk.
func (r *Reader) Fetch(ctx context.Context, partition int, offset int64) (*Chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, r.MaxWait+10*time.Second)
	defer cancel()
	isolation := kafka.ReadCommitted
	if r.Uncommitted {
		isolation = kafka.ReadUncommitted
	}
	message, err := r.Conn.Transport.RoundTrip(ctx, r.Conn.Addr, &exchange{Request: fetchapi.Request{
		MaxWaitTime:    int32(r.MaxWait / time.Millisecond),
		MinBytes:       1,
		MaxBytes:       int32(r.MaxBytes),
		IsolationLevel: int8(isolation),
		Topics: []fetchapi.RequestTopic{{
			Topic: r.Topic,
			Partitions: []fetchapi.RequestPartition{{
				Partition:         int32(partition),
				FetchOffset:       offset,
				PartitionMaxBytes: int32(r.MaxBytes),
			}},
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("fetch %s/%d: %w", r.Topic, partition, err)
	}
	c, err := message.(*answer).chunk(offset, r.Uncommitted)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w", r.Topic, partition, offset, err)
	}
	return c, nil
}

// exchange is a fetch request that writes itself and keeps its answer as bytes. Everything else of the client (routing,
// connections, TLS, SASL, versions) is used as it is.
type exchange struct {
	fetchapi.Request // of one partition
	version          int16
}

// Required makes the connection call RawExchange. The version is the greatest that both sides know.
func (f *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	f.version = versions[protocol.Fetch]
	return true
}

// The versions of the fetch API that are written here: 4 is the first with transactions and the least that Kafka 4
// speaks, 11 the last that kafka-go negotiates and that has no tagged fields.
const (
	leastFetchVersion    = 4
	greatestFetchVersion = 11
)

// maxAnswer bounds an answer in bytes: one batch that is larger than was asked for comes whole.
const maxAnswer = 256 << 20

// RawExchange writes the request and reads the answer. The connection has its deadlines already.
func (f *exchange) RawExchange(connection io.ReadWriter) (protocol.Message, error) {
	if f.version < leastFetchVersion || f.version > greatestFetchVersion {
		return nil, fmt.Errorf("the broker's fetch API in version %d cannot be used", f.version)
	}
	if _, err := connection.Write(f.request()); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(connection, size[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(size[:])
	if length < 4 || length > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes", length)
	}
	body := takeBuffer(int(length))
	if _, err := io.ReadFull(connection, body); err != nil {
		releaseBuffer(body)
		return nil, err
	}
	return &answer{version: f.version, body: body}, nil
}

// request is the request in its wire form, header version 1.
func (f *exchange) request() []byte {
	topic := &f.Topics[0]
	partition := &topic.Partitions[0]
	const clientID = "applylens"
	b := make([]byte, 4, 128+len(topic.Topic))
	b = binary.BigEndian.AppendUint16(b, uint16(protocol.Fetch))
	b = binary.BigEndian.AppendUint16(b, uint16(f.version))
	b = binary.BigEndian.AppendUint32(b, 0) // correlation id: the connection carries one request at a time
	b = appendText(b, clientID)
	b = appendInts(b, -1, f.MaxWaitTime, f.MinBytes, f.MaxBytes) // replica id first
	b = append(b, byte(f.IsolationLevel))
	if f.version >= 7 {
		b = appendInts(b, 0, -1) // no fetch session
	}
	b = appendInts(b, 1)
	b = appendText(b, topic.Topic)
	b = appendInts(b, 1, partition.Partition)
	if f.version >= 9 {
		b = appendInts(b, -1) // current leader epoch: not checked
	}
	b = binary.BigEndian.AppendUint64(b, uint64(partition.FetchOffset))
	if f.version >= 5 {
		b = binary.BigEndian.AppendUint64(b, ^uint64(0)) // log start offset: not a follower
	}
	b = appendInts(b, partition.PartitionMaxBytes)
	if f.version >= 7 {
		b = appendInts(b, 0) // forgotten topics
	}
	if f.version >= 11 {
		b = appendText(b, "") // rack
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func appendInts(b []byte, values ...int32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

// answer is the answer to an exchange: the correlation id and the body.
type answer struct {
	version int16
	body    []byte
}

// ApiKey makes it a message of kafka-go's.
func (*answer) ApiKey() protocol.ApiKey { return protocol.Fetch }

// errDamaged tells that bytes are not what the protocol says.
var errDamaged = errors.New("the answer is damaged")

// chunk reads all but the batches of the answer. The chunk owns the answer's bytes.
func (a *answer) chunk(offset int64, uncommitted bool) (*Chunk, error) {
	c, err := a.read(offset)
	if err != nil {
		releaseBuffer(a.body)
		return nil, err
	}
	c.body, c.uncommitted = a.body, uncommitted
	return c, nil
}

func (a *answer) read(offset int64) (*Chunk, error) {
	r := wire{b: a.body}
	r.int32() // correlation id
	r.int32() // throttle time
	code := kafka.Error(0)
	if a.version >= 7 {
		code = kafka.Error(r.int16())
		r.int32() // session
	}
	if code != 0 {
		return nil, code
	}
	if r.int32() != 1 {
		return nil, errDamaged
	}
	r.skip(int(r.int16())) // topic
	if r.int32() != 1 {
		return nil, errDamaged
	}
	r.int32() // partition
	code = kafka.Error(r.int16())
	c := &Chunk{From: offset, Next: offset, Epoch: -1, LogStart: -1}
	c.HighWatermark, c.LastStable = r.int64(), r.int64()
	if a.version >= 5 {
		c.LogStart = r.int64()
	}
	for n := r.int32(); n > 0 && r.ok(); n-- {
		c.aborted.pending = append(c.aborted.pending, abortedTransaction{producer: r.int64(), first: r.int64()})
	}
	if a.version >= 11 {
		r.int32() // preferred read replica
	}
	switch {
	case code == kafka.OffsetOutOfRange:
		return nil, ErrOffsetOutOfRange
	case code != 0:
		return nil, code
	}
	batches := r.bytes(int(r.int32()))
	if !r.ok() {
		return nil, errDamaged
	}
	return c, c.index(batches)
}
