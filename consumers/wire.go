package consumers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/applylens/applylens/events"
)

// fetchExchange is a fetch request that writes itself and keeps its answer as bytes, so that records can be cut from
// them: kafka-go's own decoder copies every record out of pages and allocates every header twice, which cost a third
// of a rebuild. Everything else of the client (routing, connections, TLS, SASL, versions) is used as it is.
type fetchExchange struct {
	fetchapi.Request // of one partition
	version          int16
}

// Required makes the connection call RawExchange. The version is the greatest that both sides know.
func (f *fetchExchange) Required(versions map[protocol.ApiKey]int16) bool {
	f.version = versions[protocol.Fetch]
	return true
}

// The versions of the fetch API that are written here: 4 is the first with transactions and the least that Kafka 4
// speaks, 11 the last that kafka-go negotiates and that is not of the flexible form.
const (
	leastFetchVersion    = 4
	greatestFetchVersion = 11
)

// maxAnswer bounds an answer in bytes: one batch that is larger than was asked for comes whole.
const maxAnswer = 256 << 20

// RawExchange writes the request and reads the answer. The connection has its deadlines already.
func (f *fetchExchange) RawExchange(connection io.ReadWriter) (protocol.Message, error) {
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
	answer := make([]byte, length)
	if _, err := io.ReadFull(connection, answer); err != nil {
		return nil, err
	}
	return &fetchAnswer{version: f.version, body: answer[4:]}, nil // the correlation id is ours: one request at a time
}

// request is the request in its wire form, header version 1.
func (f *fetchExchange) request() []byte {
	topic := &f.Topics[0]
	partition := &topic.Partitions[0]
	const clientID = "applylens"
	b := make([]byte, 4, 128+len(topic.Topic))
	b = binary.BigEndian.AppendUint16(b, uint16(protocol.Fetch))
	b = binary.BigEndian.AppendUint16(b, uint16(f.version))
	b = binary.BigEndian.AppendUint32(b, 0) // correlation id
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

// fetchAnswer is the answer to a fetchExchange, as bytes.
type fetchAnswer struct {
	version int16
	body    []byte
}

// ApiKey makes it a message of kafka-go's.
func (*fetchAnswer) ApiKey() protocol.ApiKey { return protocol.Fetch }

// errDamaged tells that bytes are not what the protocol says.
var errDamaged = errors.New("the answer is damaged")

// chunk reads the answer: the data records from offset on, which share its bytes.
func (f *fetchAnswer) chunk(offset int64) (*chunk, error) {
	r := wireReader{b: f.body}
	r.int32() // throttle time
	code := kafka.Error(0)
	if f.version >= 7 {
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
	c := &chunk{from: offset, next: offset, epoch: -1, logStart: -1}
	c.highWatermark, c.stable = r.int64(), r.int64()
	if f.version >= 5 {
		c.logStart = r.int64()
	}
	aborted := abortedTransactions{producers: map[int64]bool{}}
	for n := r.int32(); n > 0 && r.ok(); n-- {
		aborted.pending = append(aborted.pending, abortedTransaction{producer: r.int64(), first: r.int64()})
	}
	if f.version >= 11 {
		r.int32() // preferred read replica
	}
	switch {
	case code == kafka.OffsetOutOfRange:
		return nil, errOffsetOutOfRange
	case code != 0:
		return nil, code
	}
	records := r.bytes(int(r.int32()))
	if !r.ok() {
		return nil, errDamaged
	}
	return c, c.readBatches(records, &aborted)
}

// batchHeader is the length of what stands before the records of a batch, and beforeLength of what its length leaves out.
const (
	batchHeader  = 61
	beforeLength = 12
)

// readBatches reads whole batches; the last one may be cut short by the bound of the request. Damage behind the first
// records is left to the next fetch, which begins with it.
func (c *chunk) readBatches(records []byte, aborted *abortedTransactions) error {
	for len(records) >= batchHeader {
		length := int(int32(binary.BigEndian.Uint32(records[8:]))) + beforeLength
		if length < batchHeader {
			return c.damaged(errDamaged)
		}
		if length > len(records) {
			return nil
		}
		if err := c.readBatch(records[:length], aborted); err != nil {
			return c.damaged(err)
		}
		records = records[length:]
	}
	return nil
}

// damaged returns err unless there is something to use before the damage.
func (c *chunk) damaged(err error) error {
	if c.next > c.from {
		return nil
	}
	return err
}

// batch is what the header of a record batch says (message format 2).
type batch struct {
	base         int64
	epoch        int32
	attributes   protocol.Attributes
	lastDelta    int32
	first, last  int64 // times in milliseconds
	producer     int64
	count        int32
	appendedTime bool // last is the broker's time, and that of all records
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c *chunk) readBatch(b []byte, aborted *abortedTransactions) error {
	r := wireReader{b: b}
	var h batch
	h.base = r.int64()
	r.int32() // length
	h.epoch = r.int32()
	if magic := r.int8(); magic != 2 {
		return fmt.Errorf("messages of format %d are not read: convert the topic to format 2 (Kafka 0.11)", magic)
	}
	if sum := uint32(r.int32()); crc32.Checksum(r.b, castagnoli) != sum {
		return errors.New("a batch whose checksum is wrong")
	}
	const appendTime = 1 << 3
	attributes := r.int16()
	h.attributes, h.appendedTime = protocol.Attributes(attributes), attributes&appendTime != 0
	h.lastDelta = r.int32()
	h.first, h.last, h.producer = r.int64(), r.int64(), r.int64()
	r.skip(6) // producer epoch, base sequence
	h.count = r.int32()
	if !r.ok() || h.count < 0 || h.lastDelta < 0 {
		return errDamaged
	}
	if err := c.readRecords(&h, r.b, aborted); err != nil {
		return err
	}
	c.advance(h.base+int64(h.lastDelta), h.epoch) // also past what compaction removed
	return nil
}

// readRecords adds the data records of a batch that were asked for.
func (c *chunk) readRecords(h *batch, b []byte, aborted *abortedTransactions) error {
	b, err := decompress(h.attributes, b)
	if err != nil {
		return err
	}
	kept, keptHeaders, keptBytes := len(c.records), len(c.headers), c.bytes
	r := wireReader{b: b}
	for range h.count {
		one := wireReader{b: r.bytes(int(r.varint()))}
		one.int8() // attributes
		at := h.first + one.varint()
		if h.appendedTime {
			at = h.last
		}
		offset := h.base + one.varint()
		key, value := one.bytes(int(one.varint())), one.bytes(int(one.varint()))
		if h.attributes.Control() {
			aborted.control(h.producer, offset, key)
			continue
		}
		headers := c.readHeaders(&one)
		if !one.ok() || !r.ok() {
			c.records, c.headers, c.bytes = c.records[:kept], c.headers[:keptHeaders], keptBytes
			return errDamaged
		}
		if offset < c.from || h.attributes.Transactional() && aborted.covers(h.producer, offset) {
			continue
		}
		c.bytes += len(key) + len(value)
		c.records = append(c.records, record{offset: offset, epoch: h.epoch, time: time.UnixMilli(at), key: key, value: value, headers: headers})
	}
	return nil
}

func (c *chunk) readHeaders(r *wireReader) []events.Header {
	first := len(c.headers)
	for n := r.varint(); n > 0 && r.ok(); n-- {
		name := headerName(r.bytes(int(r.varint())))
		value := r.bytes(int(r.varint()))
		c.bytes += len(name) + len(value)
		c.headers = append(c.headers, events.Header{Key: name, Value: value})
	}
	return c.headers[first:len(c.headers):len(c.headers)]
}

// headerName returns the name as a string, without allocating one for those that every event has.
func headerName(b []byte) string {
	switch string(b) {
	case events.HeaderSpecVersion:
		return events.HeaderSpecVersion
	case events.HeaderID:
		return events.HeaderID
	case events.HeaderSource:
		return events.HeaderSource
	case events.HeaderType:
		return events.HeaderType
	case events.HeaderTime:
		return events.HeaderTime
	case events.HeaderSubject:
		return events.HeaderSubject
	case events.HeaderContentType:
		return events.HeaderContentType
	case events.HeaderRelayID:
		return events.HeaderRelayID
	case events.HeaderRelaySeq:
		return events.HeaderRelaySeq
	}
	return string(b)
}

// decompress returns the records of a batch, bounded like an answer.
func decompress(attributes protocol.Attributes, b []byte) ([]byte, error) {
	compression := attributes.Compression()
	if compression == compress.None {
		return b, nil
	}
	codec := compression.Codec()
	if codec == nil {
		return nil, fmt.Errorf("a batch that is compressed by an unknown method, %d", compression)
	}
	reader := codec.NewReader(&byteReader{b})
	defer reader.Close()
	plain, err := io.ReadAll(io.LimitReader(reader, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("decompress a batch: %w", err)
	}
	if len(plain) > maxAnswer {
		return nil, fmt.Errorf("a batch of more than %d bytes when decompressed", maxAnswer)
	}
	return plain, nil
}

// byteReader hands out bytes without hiding their end from decompressors.
type byteReader struct{ b []byte }

func (r *byteReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// wireReader reads the protocol's primitive types; after the end it returns zeros and ok says no.
type wireReader struct {
	b      []byte
	failed bool
}

func (r *wireReader) ok() bool { return !r.failed }

// bytes returns the next n bytes; nil for a negative n, which stands for null.
func (r *wireReader) bytes(n int) []byte {
	if n < 0 {
		return nil
	}
	if n > len(r.b) {
		r.b, r.failed = nil, true
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *wireReader) skip(n int) { r.bytes(n) }

func (r *wireReader) int8() int8 {
	if b := r.bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *wireReader) int16() int16 {
	if b := r.bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *wireReader) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *wireReader) int64() int64 {
	if b := r.bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// varint reads a zig-zag varint of up to 64 bits.
func (r *wireReader) varint() int64 {
	value, n := binary.Varint(r.b)
	if n <= 0 {
		r.b, r.failed = nil, true
		return 0
	}
	r.b = r.b[n:]
	return value
}
