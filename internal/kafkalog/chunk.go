package kafkalog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/events"
)

// Record is one record of the log.
type Record struct {
	Offset  int64
	Epoch   int32     // of the leader that wrote its batch; -1 when the log does not say
	Time    time.Time // the producer's or, where the topic says so, the broker's; zero when there is none
	Key     []byte    // nil for null
	Value   []byte    // nil for null
	Headers []events.Header

	// Transactional marks a record of a transaction, for a Reader that reads uncommitted.
	Transactional bool

	// Err tells why the record cannot be read, although its batch has the right checksum: Key, Value and Headers are nil
	// then, and the record stands for all from Offset to Last.
	Err  error
	Last int64
}

// Clone returns the record with bytes of its own.
func (r *Record) Clone() Record {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return c
}

// Chunk is what one fetch returned. Read hands out its records; the fields are known at once. It is for one goroutine at
// a time.
type Chunk struct {
	From          int64 // the offset that was asked for
	Next          int64 // where the next fetch goes on: behind the last batch, control records and aborted ones included
	Epoch         int32 // leader epoch of the last batch; -1 when there was none
	HighWatermark int64
	LastStable    int64 // the end of what can be read: the high watermark, or an open transaction before it
	LogStart      int64 // -1 when the broker is too old to say

	body        []byte // what the batches are cut from
	uncommitted bool
	aborted     abortedTransactions
	batches     []batch // in order, the one being read first
	open        bool    // the first batch is being read
	left        int32   // its records that were not read yet
	position    int64   // no record below it is handed out
	window      window
	record      Record
	names       nameCache
}

// CaughtUp tells whether there was nothing to read behind the chunk yet.
func (c *Chunk) CaughtUp() bool { return c.Next >= c.LastStable }

// FirstEpoch is the leader epoch of the first batch, -1 when there is none.
func (c *Chunk) FirstEpoch() int32 {
	if len(c.batches) == 0 {
		return -1
	}
	return c.batches[0].epoch
}

// Release gives the chunk's memory back. Neither the chunk nor a record of it may be used afterwards.
func (c *Chunk) Release() {
	c.window.close()
	if c.body != nil {
		releaseBuffer(c.body)
	}
	c.body, c.batches, c.record, c.open = nil, nil, Record{}, false
}

// Read returns the next data record at or above From, or nil behind the last one. The record is valid until the next
// call of Read or Release.
func (c *Chunk) Read() *Record {
	c.position = max(c.position, c.From)
	for len(c.batches) > 0 {
		b := &c.batches[0]
		if !c.open {
			if c.passOver(b) {
				c.batches = c.batches[1:]
				continue
			}
			c.open, c.left = true, b.count
			if err := c.window.reset(b.compression(), b.records); err != nil {
				return c.unreadable(b, err)
			}
		}
		for c.left > 0 && c.position <= b.last() { // a count that is too high has no records to its name
			c.left--
			if err := c.readRecord(b); err != nil {
				return c.unreadable(b, err)
			}
			if b.control() || c.record.Offset < c.position {
				continue
			}
			c.position = c.record.Offset + 1
			return &c.record
		}
		c.closeBatch()
	}
	return nil
}

// passOver tells whether no record of a batch is to be handed out.
func (c *Chunk) passOver(b *batch) bool {
	return b.last() < c.position || !c.uncommitted && b.transactional() && !b.control() && c.aborted.covers(b.producer, b.base)
}

func (c *Chunk) closeBatch() {
	c.window.close()
	c.batches, c.open = c.batches[1:], false
}

// unreadable stands for what was not read of a batch.
func (c *Chunk) unreadable(b *batch, why error) *Record {
	c.record = Record{
		Offset: max(c.position, b.base), Last: b.last(), Epoch: b.epoch, Time: timeOf(b.first),
		Transactional: b.transactional(), Err: fmt.Errorf("the batch at offset %d cannot be read: %w", b.base, why),
	}
	c.closeBatch()
	c.position = c.record.Last + 1
	return &c.record
}

var (
	// errRecord tells that a record breaks the format.
	errRecord = errors.New("a record breaks the format")

	errTooManyHeaders = fmt.Errorf("a record of more than %d headers", maxHeaders)
)

// maxHeaders bounds the headers of a record: an empty one has two bytes, and twenty times that in memory.
const maxHeaders = 10_000

// readRecord reads the next record of a batch into c.record.
func (c *Chunk) readRecord(b *batch) error {
	content, err := c.window.next()
	if err != nil {
		return err
	}
	r := wire{b: content}
	r.int8() // attributes
	at := b.first + r.varint()
	if b.appendTime() {
		at = b.latest
	}
	delta := r.varint()
	offset := b.base + delta
	key, value := r.bytes(int(r.varint())), r.bytes(int(r.varint()))
	if b.control() {
		if !c.uncommitted {
			c.aborted.control(b.producer, offset, key)
		}
		return nil
	}
	headers, err := c.readHeaders(&r)
	if err != nil {
		return err
	}
	if !r.ok() || delta < 0 || delta > int64(b.lastDelta) {
		return errRecord
	}
	c.record = Record{
		Offset: offset, Last: offset, Epoch: b.epoch, Time: timeOf(at), Key: key, Value: value, Headers: headers,
		Transactional: b.transactional(),
	}
	return nil
}

// timeOf returns a time in milliseconds since 1970. Kafka's mark for a record without time is -1.
func timeOf(milliseconds int64) time.Time {
	if milliseconds <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds)
}

// readHeaders reads headers into the memory of those of the record before.
func (c *Chunk) readHeaders(r *wire) ([]events.Header, error) {
	headers, count := c.record.Headers[:0], r.varint()
	if count > maxHeaders {
		return nil, errTooManyHeaders
	}
	for n := count; n > 0 && r.ok(); n-- {
		name := r.bytes(int(r.varint()))
		headers = append(headers, events.Header{Key: c.names.get(name), Value: r.bytes(int(r.varint()))})
	}
	return headers, nil
}

// nameCache keeps names of headers as strings, since those of one producer repeat.
type nameCache map[string]string

// The names that one chunk remembers: so many, of so many bytes each.
const (
	mostNames   = 64
	longestName = 100
)

func (n *nameCache) get(b []byte) string {
	if name, known := (*n)[string(b)]; known {
		return name
	}
	name := string(b)
	if len(*n) < mostNames && len(name) <= longestName {
		if *n == nil {
			*n = nameCache{}
		}
		(*n)[name] = name
	}
	return name
}
