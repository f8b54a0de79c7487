package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	fetchapi "github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
)

// record is one data record of the log. Its key, value and headers belong to its chunk.
type record struct {
	offset  int64
	epoch   int32 // of the leader that wrote its batch; -1 when the log does not say
	time    time.Time
	key     []byte
	value   []byte
	headers []events.Header
}

// chunk is what one fetch returned: the data records from a position on, and where reading goes on.
type chunk struct {
	from          int64 // the position that was asked for
	records       []record
	next          int64 // one past the last record, control records and aborted ones included
	epoch         int32 // of the last batch; -1 when there was none
	highWatermark int64
	stable        int64 // the end of what can be read: the high watermark, or an open transaction before it
	logStart      int64
	bytes         int

	block   []byte          // where keys and values are copied
	headers []events.Header // what the records' headers are cut from
}

// caughtUp tells whether there is nothing to read behind the chunk yet.
func (c *chunk) caughtUp() bool { return c.next >= c.stable }

// firstEpoch is the leader epoch of the first record; -1 when there is none.
func (c *chunk) firstEpoch() int32 {
	if len(c.records) == 0 {
		return c.epoch
	}
	return c.records[0].epoch
}

// topicLog reads one topic by fetch requests of its own, read committed. It is safe for concurrent use.
//
// kafka-go's Client.Fetch hides which transactions were aborted, so the request is made one layer below it, through
// the same Transport.
type topicLog struct {
	conn     *broker.Conn
	topic    string // as Kafka knows it
	maxBytes int
	maxWait  time.Duration
}

// errOffsetOutOfRange tells that the log does not hold the position, whichever end it is beyond.
var errOffsetOutOfRange = errors.New("position is outside the log")

// fetch returns what stands in the partition from offset on, after at most l.maxWait when there is nothing yet. An
// error is transient, except errOffsetOutOfRange.
func (l *topicLog) fetch(ctx context.Context, partition int, offset int64) (*chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, l.maxWait+10*time.Second)
	defer cancel()
	message, err := l.conn.Transport.RoundTrip(ctx, l.conn.Addr, &fetchapi.Request{
		ReplicaID:      -1,
		MaxWaitTime:    int32(l.maxWait / time.Millisecond),
		MinBytes:       1,
		MaxBytes:       int32(l.maxBytes),
		IsolationLevel: int8(kafka.ReadCommitted),
		SessionID:      -1,
		SessionEpoch:   -1,
		Topics: []fetchapi.RequestTopic{{
			Topic: l.topic,
			Partitions: []fetchapi.RequestPartition{{
				Partition:          int32(partition),
				CurrentLeaderEpoch: -1,
				FetchOffset:        offset,
				LogStartOffset:     -1,
				PartitionMaxBytes:  int32(l.maxBytes),
			}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("fetch %s/%d: %w", l.topic, partition, err)
	}
	response := message.(*fetchapi.Response)
	if response.ErrorCode != 0 {
		return nil, fmt.Errorf("fetch %s/%d: %w", l.topic, partition, kafka.Error(response.ErrorCode))
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("fetch %s/%d: the answer names no partition", l.topic, partition)
	}
	answer := &response.Topics[0].Partitions[0]
	switch code := kafka.Error(answer.ErrorCode); {
	case code == kafka.OffsetOutOfRange:
		return nil, errOffsetOutOfRange
	case code != 0:
		return nil, fmt.Errorf("fetch %s/%d: %w", l.topic, partition, code)
	}
	result, err := readChunk(answer, offset)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w", l.topic, partition, offset, err)
	}
	return result, nil
}

// readChunk copies the data records from offset on out of an answer and closes it. Control records and records of
// aborted transactions only move next.
func readChunk(answer *fetchapi.ResponsePartition, offset int64) (*chunk, error) {
	result := &chunk{from: offset, next: offset, epoch: -1, highWatermark: answer.HighWatermark, stable: answer.LastStableOffset, logStart: answer.LogStartOffset}
	aborted := abortedTransactions{pending: answer.AbortedTransactions, producers: map[int64]bool{}}
	for _, batch := range batchesOf(answer.RecordSet.Records) {
		if err := result.readBatch(batch, &aborted); err != nil {
			if len(result.records) > 0 || result.next > offset {
				return result, nil // the next fetch begins at the damage and reports it
			}
			return nil, err
		}
	}
	return result, nil
}

func batchesOf(reader protocol.RecordReader) []protocol.RecordReader {
	switch r := reader.(type) {
	case nil:
		return nil
	case *protocol.RecordStream:
		return r.Records
	}
	return []protocol.RecordReader{reader}
}

func (c *chunk) readBatch(batch protocol.RecordReader, aborted *abortedTransactions) error {
	epoch, producer, base, transactional := int32(-1), int64(-1), int64(-1), false
	switch b := batch.(type) {
	case *protocol.ControlBatch:
		return c.readControl(b, aborted)
	case *protocol.RecordBatch:
		epoch, producer, base, transactional = b.PartitionLeaderEpoch, b.ProducerID, b.BaseOffset, b.Attributes.Transactional()
	}
	for {
		raw, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		skip := raw.Offset < c.from || transactional && aborted.covers(producer, raw.Offset)
		if err := c.add(raw, epoch, skip); err != nil {
			return err
		}
	}
	c.advance(base, epoch) // for a batch whose records compaction removed
	return nil
}

// advance moves next past offset unless it is there already.
func (c *chunk) advance(offset int64, epoch int32) {
	if offset >= c.next {
		c.next, c.epoch = offset+1, epoch
	}
}

// add copies raw unless it is to be skipped, and closes it either way.
func (c *chunk) add(raw *protocol.Record, epoch int32, skip bool) error {
	key, err := c.take(raw.Key, skip)
	if err != nil {
		return err
	}
	value, err := c.take(raw.Value, skip)
	if err != nil {
		return err
	}
	c.advance(raw.Offset, epoch)
	if skip {
		return nil
	}
	first := len(c.headers)
	for _, h := range raw.Headers {
		c.headers = append(c.headers, events.Header{Key: h.Key, Value: h.Value})
		c.bytes += len(h.Key) + len(h.Value)
	}
	c.bytes += len(key) + len(value)
	c.records = append(c.records, record{
		offset: raw.Offset, epoch: epoch, time: raw.Time, key: key, value: value,
		headers: c.headers[first:len(c.headers):len(c.headers)],
	})
	return nil
}

// take copies data into the chunk's block; nil stays nil.
func (c *chunk) take(data protocol.Bytes, skip bool) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	defer data.Close()
	if skip {
		return nil, nil
	}
	const blockSize = 64 << 10
	size := data.Len()
	if size > cap(c.block)-len(c.block) {
		c.block = make([]byte, 0, max(blockSize, size))
	}
	first := len(c.block)
	c.block = c.block[:first+size]
	copied := c.block[first : first+size : first+size]
	_, err := io.ReadFull(data, copied)
	return copied, err
}

func (c *chunk) readControl(batch *protocol.ControlBatch, aborted *abortedTransactions) error {
	for {
		control, err := batch.ReadControlRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		const abortMarker = 0
		if control.Type == abortMarker {
			aborted.end(batch.ProducerID, control.Offset)
		}
		c.advance(control.Offset, batch.PartitionLeaderEpoch)
	}
}

// abortedTransactions follows which producers' records are to be skipped, as the broker listed them for the range.
type abortedTransactions struct {
	pending   []fetchapi.ResponseTransaction
	producers map[int64]bool
}

func (a *abortedTransactions) covers(producer, offset int64) bool {
	a.begin(offset)
	return a.producers[producer]
}

func (a *abortedTransactions) begin(offset int64) {
	kept := a.pending[:0]
	for _, transaction := range a.pending {
		if transaction.FirstOffset <= offset {
			a.producers[transaction.ProducerID] = true
		} else {
			kept = append(kept, transaction)
		}
	}
	a.pending = kept
}

func (a *abortedTransactions) end(producer, offset int64) {
	a.begin(offset)
	delete(a.producers, producer)
}
