package mailimport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/retry"
)

// Limits of a write to Kafka.
const (
	batchMessages = 500
	batchBytes    = 4 << 20
)

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 15 * time.Second
)

// publisher writes records to the mail topic until Kafka has acknowledged all of them.
type publisher struct {
	writer  *kafka.Writer
	log     *slog.Logger
	waiting func(bool) // called when Kafka becomes unavailable and when it is available again
}

func newPublisher(conn *broker.Conn, log *slog.Logger, waiting func(bool)) *publisher {
	return &publisher{log: log, waiting: waiting, writer: &kafka.Writer{
		Addr:         conn.Addr,
		Transport:    conn.Transport,
		Topic:        conn.Topic(events.TopicMail),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond,
		BatchSize:    batchMessages,
		BatchBytes:   1 << 20, // the topic's limit; one event is below it
		MaxAttempts:  3,
		WriteTimeout: 30 * time.Second,
		Compression:  kafka.Lz4,
	}}
}

func (p *publisher) close() error { return p.writer.Close() }

// publish returns when Kafka has acknowledged all messages that it accepts, and calls refused for each of the others. It
// retries while Kafka is unavailable, and returns an error only if ctx ends.
func (p *publisher) publish(ctx context.Context, messages []kafka.Message, refused func(index int, err error)) error {
	pending := make([]int, len(messages))
	for i := range pending {
		pending[i] = i
	}
	return retry.Until(ctx, firstBackoff, lastBackoff, func(int) error {
		batch := make([]kafka.Message, len(pending))
		for i, index := range pending {
			batch[i] = messages[index]
		}
		err := p.writer.WriteMessages(ctx, batch...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pending = remaining(pending, err, refused)
		p.waiting(len(pending) > 0)
		if len(pending) == 0 {
			return nil
		}
		p.log.Warn("waiting for Kafka", "topic", p.writer.Topic, "records", len(pending), "error", eachOnce(err))
		return err
	})
}

// describe returns the current mail topic. It retries while Kafka is unavailable; a missing topic is an error.
func (p *publisher) describe(ctx context.Context, conn *broker.Conn) (topic broker.Topic, err error) {
	err = retry.Until(ctx, firstBackoff, lastBackoff, func(int) error {
		var err error
		topic, err = conn.DescribeTopic(ctx, p.writer.Topic)
		if err == nil || ctx.Err() != nil || errors.Is(err, kerr.UnknownTopicOrPartition) {
			p.waiting(false)
			return retry.Stop(err)
		}
		p.waiting(true)
		p.log.Warn("waiting for Kafka", "topic", p.writer.Topic, "error", err)
		return err
	})
	return topic, err
}

// remaining returns which of pending to write again, by the error of each message.
func remaining(pending []int, err error, refused func(int, error)) []int {
	if err == nil {
		return nil
	}
	var perMessage kafka.WriteErrors
	if !errors.As(err, &perMessage) || len(perMessage) != len(pending) {
		return pending // the outcome of all is unknown
	}
	var again []int
	for i, index := range pending {
		switch fault := perMessage[i]; {
		case fault == nil:
		case permanent(fault):
			refused(index, fault)
		default:
			again = append(again, index)
		}
	}
	return again
}

// eachOnce returns an error that names each fault once: Kafka's client repeats it for every record of a write.
func eachOnce(err error) error {
	var perMessage kafka.WriteErrors
	if !errors.As(err, &perMessage) {
		return err
	}
	var faults []error
	for _, fault := range perMessage {
		known := func(other error) bool { return other.Error() == fault.Error() }
		if fault != nil && !slices.ContainsFunc(faults, known) {
			faults = append(faults, fault)
		}
	}
	return errors.Join(faults...)
}

// permanent reports an error that retrying does not fix. All other errors count as an outage.
func permanent(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.InvalidMessage) || errors.Is(err, kafka.InvalidTimestamp)
}

// messageOf encodes an event for the mail topic. It takes from the event what is least missed until a record can hold it.
func messageOf(event *events.Event) (kafka.Message, error) {
	record, err := events.Encode(event)
	for mail, tried := event.Mail, 0; errors.Is(err, events.ErrTooLong) && tried < 3; tried++ {
		switch tried {
		case 0:
			mail.HTML = ""
		case 1:
			mail.Calendar, mail.References = "", nil
		case 2:
			mail.To, mail.Cc = nil, nil
		}
		record, err = events.Encode(event)
	}
	if err != nil {
		return kafka.Message{}, fmt.Errorf("encode: %w", err)
	}
	message := kafka.Message{Key: record.Key, Value: record.Value, Headers: make([]kafka.Header, len(record.Headers))}
	for i, header := range record.Headers {
		message.Headers[i] = kafka.Header(header)
	}
	return message, nil
}
