package kafkalog

import (
	"context"
	"fmt"

	"github.com/applylens/applylens/internal/broker"
)

// Peek reads the first data record at or above offset of a partition, and nothing else: it moves no position. It is
// false when the log holds no such record yet, control records and aborted ones aside. The topic is named as Kafka
// knows it. An offset outside the log is an error.
func Peek(ctx context.Context, conn *broker.Conn, topic string, partition int, offset int64) (Record, bool, error) {
	return (&Reader{Conn: conn, Topic: topic}).peek(ctx, partition, offset)
}

// PeekUncommitted is Peek for records of open and aborted transactions too.
func PeekUncommitted(ctx context.Context, conn *broker.Conn, topic string, partition int, offset int64) (Record, bool, error) {
	return (&Reader{Conn: conn, Topic: topic, Uncommitted: true}).peek(ctx, partition, offset)
}

func (log *Reader) peek(ctx context.Context, partition int, offset int64) (Record, bool, error) {
	log.MaxBytes = 16 << 10 // the batch that holds the offset comes whole, however small the bound is
	for {
		c, err := log.Fetch(ctx, partition, offset)
		if err != nil {
			return Record{}, false, fmt.Errorf("peek at %s/%d at %d: %w", log.Topic, partition, offset, err)
		}
		next, r := c.Next, c.Read()
		var found Record
		if r != nil {
			found = r.Clone()
		}
		c.Release()
		if r != nil {
			return found, true, nil
		}
		if next == offset {
			return Record{}, false, nil
		}
		offset = next
	}
}
