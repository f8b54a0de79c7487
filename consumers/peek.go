package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
)

// LogRecord is one record and its place in a partition.
type LogRecord struct {
	events.Record
	Offset int64
	Time   time.Time // zero when the record carries none
}

// Peek reads the first data record at or above offset of a partition, and nothing else: it moves no position. It is
// false when the log holds no such record yet, control records and aborted ones aside. The topic is named as Kafka
// knows it. An offset outside the log is an error.
func Peek(ctx context.Context, conn *broker.Conn, topic string, partition int, offset int64) (LogRecord, bool, error) {
	// The batch that holds the offset comes whole, however small the bound is.
	log := topicLog{conn: conn, topic: topic, maxBytes: 16 << 10}
	for {
		c, err := log.fetch(ctx, partition, offset)
		if err != nil {
			return LogRecord{}, false, fmt.Errorf("peek at %s/%d at %d: %w", topic, partition, offset, err)
		}
		if len(c.records) > 0 {
			return c.records[0].exported(), true, nil
		}
		if c.next == offset {
			return LogRecord{}, false, nil
		}
		offset = c.next
	}
}

func (r *record) exported() LogRecord {
	result := LogRecord{Record: events.Record{Key: r.key, Value: r.value, Headers: r.headers}, Offset: r.offset}
	if r.time.UnixMilli() > 0 { // Kafka's mark for a record without time is -1
		result.Time = r.time
	}
	return result
}
