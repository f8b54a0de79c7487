package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
)

// logReader reads partitions by requests of its own. It is safe for concurrent use.
type logReader struct{ conn *broker.Conn }

// entry is a record of the log with a relay's stamp.
type entry struct {
	offset int64
	time   time.Time
	head   events.Head
	value  []byte
}

// ends returns the offset of the first record and the one past the last.
func (l *logReader) ends(ctx context.Context, at place) (start, end int64, err error) {
	topic := l.conn.Topic(at.topic)
	response, err := l.conn.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(at.partition), kafka.LastOffsetOf(at.partition)}},
	})
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, at.partition, err)
	}
	for _, p := range response.Topics[topic] {
		if p.Partition == at.partition {
			if p.Error != nil {
				return 0, 0, fmt.Errorf("list offsets of %s/%d: %w", topic, at.partition, p.Error)
			}
			return p.FirstOffset, p.LastOffset, nil
		}
	}
	return 0, 0, fmt.Errorf("list offsets of %s/%d: the answer names no partition", topic, at.partition)
}

// read returns the stamped records from offset on that one request brings, and the offset after the last record of any
// kind. Transactional and control batches are passed over: the relay writes none.
func (l *logReader) read(ctx context.Context, at place, offset int64, maxBytes int64) ([]entry, int64, error) {
	topic := l.conn.Topic(at.topic)
	response, err := l.conn.Client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: at.partition, Offset: offset,
		MinBytes: 1, MaxBytes: maxBytes, MaxWait: 500 * time.Millisecond,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return nil, offset, fmt.Errorf("fetch %s/%d at %d: %w", topic, at.partition, offset, err)
	}
	s := scan{next: offset, from: offset, decoder: events.NewDecoder()}
	if err := s.batches(response.Records); err != nil && s.next == offset {
		return nil, offset, fmt.Errorf("read %s/%d at %d: %w", topic, at.partition, offset, err)
	}
	return s.entries, s.next, nil
}

// scan collects what one response holds.
type scan struct {
	decoder    *events.Decoder
	from, next int64
	entries    []entry
}

func (s *scan) batches(reader kafka.RecordReader) error {
	stream, ok := reader.(*protocol.RecordStream)
	if !ok {
		return s.batch(reader)
	}
	for _, batch := range stream.Records {
		if err := s.batch(batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) batch(batch kafka.RecordReader) error {
	pass := false
	switch b := batch.(type) {
	case *protocol.ControlBatch:
		return s.control(b)
	case *protocol.RecordBatch:
		pass = b.Attributes.Transactional()
		defer s.advance(b.BaseOffset) // for a batch whose records compaction removed
	}
	for {
		record, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.record(record, pass || record.Offset < s.from); err != nil {
			return err
		}
		s.advance(record.Offset)
	}
}

func (s *scan) control(batch *protocol.ControlBatch) error {
	for {
		record, err := batch.ReadControlRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.advance(record.Offset)
	}
}

func (s *scan) advance(offset int64) { s.next = max(s.next, offset+1) }

// record keeps a stamped record. What has no readable headers is not ours.
func (s *scan) record(record *protocol.Record, pass bool) error {
	value, err := take(record.Value)
	if err != nil {
		return err
	}
	if _, err := take(record.Key); err != nil {
		return err
	}
	if pass {
		return nil
	}
	headers := make([]events.Header, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = events.Header{Key: header.Key, Value: header.Value}
	}
	head, err := s.decoder.Head(headers)
	if err != nil || head.Relay.IsZero() {
		return nil
	}
	s.entries = append(s.entries, entry{offset: record.Offset, time: record.Time, head: head, value: value})
	return nil
}

func take(data protocol.Bytes) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	defer data.Close()
	return protocol.ReadAll(data)
}
