package mailimport

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/retry"
)

// Ready is a message that can be published, with what tells it from others.
type Ready struct {
	MessageID   string
	ContentHash string

	message kafka.Message
}

// Size is how many bytes it takes.
func (r *Ready) Size() int { return len(r.message.Value) }

// Single reads messages that are not in files, one at a time, as an import reads those that are: the same message is the same mail,
// whatever way it comes in. It is for one goroutine.
type Single struct{ reader *Reader }

// NewSingle returns a reader of single messages.
func NewSingle() *Single { return &Single{NewReader(nil, "")} }

// Read reads a message to its end. The error is a *BrokenError for one that cannot be imported, and otherwise that of in.
func (s *Single) Read(in io.Reader, options Options) (*Ready, error) {
	s.reader.reset(in, Place{})
	s.reader.started, s.reader.single = true, true
	raw, err := s.reader.Next()
	if err != nil {
		return nil, err
	}
	event, err := Parse(raw, options)
	if err != nil {
		return nil, err
	}
	message, err := messageOf(event)
	if err != nil {
		return nil, &BrokenError{err.Error()}
	}
	return &Ready{event.Mail.MessageID, event.Mail.ContentHash, message}, nil
}

// Live publishes mail while it comes in. It is safe for concurrent use.
type Live struct{ publisher *publisher }

// NewLive returns a publisher to the mail topic.
func NewLive(conn *broker.Conn, log *slog.Logger) *Live {
	return &Live{newPublisher(conn, log, func(bool) {})}
}

// Publish returns when Kafka has acknowledged the messages, but for those that it refuses, by their index. While Kafka is unavailable
// it waits; the error is that of ctx.
func (l *Live) Publish(ctx context.Context, list []*Ready) (refused map[int]error, err error) {
	messages := make([]kafka.Message, len(list))
	for i, ready := range list {
		messages[i] = ready.message
	}
	refused = map[int]error{}
	err = l.publisher.publish(ctx, messages, func(index int, err error) { refused[index] = err })
	return refused, err
}

// Close waits for what is on its way, for a moment.
func (l *Live) Close() { retry.AtMost(closeLimit, func() { _ = l.publisher.close() }) }

// Aside tells whether the name of a folder of a mailbox says that people do not look into it: trash, drafts or junk.
func Aside(name, delimiter string) bool {
	if delimiter != "" {
		name = name[strings.LastIndex(name, delimiter)+len(delimiter):]
	}
	return folderNames[strings.ToLower(name)] != noFolder
}
