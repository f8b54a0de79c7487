package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
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
// the same Transport; wire.go reads the answer.
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
	message, err := l.conn.Transport.RoundTrip(ctx, l.conn.Addr, &fetchExchange{Request: fetchapi.Request{
		MaxWaitTime:    int32(l.maxWait / time.Millisecond),
		MinBytes:       1,
		MaxBytes:       int32(l.maxBytes),
		IsolationLevel: int8(kafka.ReadCommitted),
		Topics: []fetchapi.RequestTopic{{
			Topic: l.topic,
			Partitions: []fetchapi.RequestPartition{{
				Partition:         int32(partition),
				FetchOffset:       offset,
				PartitionMaxBytes: int32(l.maxBytes),
			}},
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("fetch %s/%d: %w", l.topic, partition, err)
	}
	c, err := message.(*fetchAnswer).chunk(offset)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d at %d: %w", l.topic, partition, offset, err)
	}
	return c, nil
}

// advance moves next past offset unless it is there already.
func (c *chunk) advance(offset int64, epoch int32) {
	if offset >= c.next {
		c.next, c.epoch = offset+1, epoch
	}
}

// abortedTransaction is one that the broker listed for the range of an answer.
type abortedTransaction struct{ producer, first int64 }

// abortedTransactions follows which producers' records are to be skipped.
type abortedTransactions struct {
	pending   []abortedTransaction
	producers map[int64]bool
}

func (a *abortedTransactions) covers(producer, offset int64) bool {
	a.begin(offset)
	return a.producers[producer]
}

func (a *abortedTransactions) begin(offset int64) {
	kept := a.pending[:0]
	for _, transaction := range a.pending {
		if transaction.first <= offset {
			a.producers[transaction.producer] = true
		} else {
			kept = append(kept, transaction)
		}
	}
	a.pending = kept
}

// control reads a control record, whose key is a version and a type: the type 0 ends an aborted transaction.
func (a *abortedTransactions) control(producer, offset int64, key []byte) {
	if len(key) < 4 || key[2] != 0 || key[3] != 0 {
		return
	}
	a.begin(offset)
	delete(a.producers, producer)
}
