// Package client publishes events to ApplyLens from Go services.
//
// An event that breaks the contract is refused before anything is written. Every event goes to the topic and partition of
// its key. Publish returns nil only if all in-sync replicas have acknowledged all events.
//
// # The contract
//
// The service chooses the id of an event (ce_id). It must be unique within the source and the same on every attempt.
// Events are deduplicated by identity, so publishing the same event again has no effect. The same identity with different
// content is a conflict and becomes a dead letter. Decisions on actions are identified by action, kind and round,
// whatever their ce_id.
//
// The key is taken from the event: the user, or system/application_id for job applications. Events of one key take effect
// in log order. A service that needs an order must publish the next event only after Publish of the previous one
// returned nil; after an error it must publish that one again first.
//
// After any error of Publish other than a refusal, the outcome is unknown: the event may be in the log. Publish it again.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/applylens/applylens/events"
)

// ownSource is the prefix of ApplyLens's own sources, which other services must not use.
const ownSource = "/applylens/"

// Config has the brokers and the identity of the service.
type Config struct {
	// Brokers are addresses of Kafka brokers, as host:port. Required.
	Brokers []string

	// Source is the ce_source of the service, a URI reference such as "/mail/importer". Required.
	Source string

	// TopicPrefix is the deployment's prefix of all topic names. Default: none.
	TopicPrefix string

	// TLS and SASL secure the connections. Default: none.
	TLS  *tls.Config
	SASL sasl.Mechanism

	// Compression of the batches. Default: none, which is the fastest to read. kafka.Zstd saves network and disk.
	Compression kafka.Compression
}

// Validate lists every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("client: no Brokers"))
	}
	if c.Source == "" || len(c.Source) > events.MaxSource {
		faults = append(faults, fmt.Errorf("client: Source must have 1 to %d bytes", events.MaxSource))
	}
	if strings.HasPrefix(c.Source, ownSource) {
		faults = append(faults, fmt.Errorf("client: Source begins with %s, which is reserved for ApplyLens", ownSource))
	}
	return errors.Join(faults...)
}

// Client publishes events. It is safe for concurrent use.
type Client struct {
	source string
	prefix string
	writer *kafka.Writer
}

// New returns a client. It connects lazily, so an unavailable broker is not an error here.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	// The defaults of a Writer are unsuitable: it waits for no acknowledgement, distributes the records of a user over
	// all partitions, and delays every batch by a second.
	writer := &kafka.Writer{
		Addr:         kafka.TCP(config.Brokers...),
		Balancer:     kafka.Murmur2Balancer{},
		RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond,
		BatchSize:    1000,
		BatchBytes:   900 << 10,
		Compression:  config.Compression,
		Transport:    &kafka.Transport{TLS: config.TLS, SASL: config.SASL, ClientID: "applylens-client", DialTimeout: 5 * time.Second},
	}
	return &Client{source: config.Source, prefix: config.TopicPrefix, writer: writer}, nil
}

// Close waits for pending writes and closes the connections.
func (c *Client) Close() error { return c.writer.Close() }

// Errors are the errors of one Publish, by the index of the event; nil for published events.
type Errors []error

// Error returns how many events failed, and why the first did.
func (e Errors) Error() string {
	failed := e.Unwrap()
	if len(failed) == 0 {
		return "no event failed"
	}
	return fmt.Sprintf("%d of %d events were not published, the first: %v", len(failed), len(e), failed[0])
}

// Unwrap returns the errors of the events that failed.
func (e Errors) Unwrap() []error {
	var failed []error
	for _, err := range e {
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// Publish returns nil if all in-sync replicas have acknowledged all events. An event without Source gets the client's. If an
// event breaks the contract, nothing is published, and the returned Errors have an *events.Error at its index; retrying
// does not help. Otherwise Errors say which events were not acknowledged: publish those again. If the context ended, the
// outcome of all events is unknown: publish all of them again.
func (c *Client) Publish(ctx context.Context, list ...*events.Event) error {
	messages, owners, err := c.encode(list)
	if err != nil || len(messages) == 0 {
		return err
	}
	err = c.writer.WriteMessages(ctx, messages...)
	var written kafka.WriteErrors
	if !errors.As(err, &written) {
		if err != nil {
			return fmt.Errorf("publish %d events: %w", len(list), err)
		}
		return nil
	}
	failed := make(Errors, len(list))
	for i, err := range written {
		if err != nil && failed[owners[i]] == nil {
			failed[owners[i]] = err
		}
	}
	return failed
}

// encode returns the messages of events, and the index of each message's event. An event may have several messages.
func (c *Client) encode(list []*events.Event) (messages []kafka.Message, owners []int, err error) {
	refused, any := make(Errors, len(list)), false
	for i, event := range list {
		record, err := c.encodeOne(event)
		if err != nil {
			refused[i], any = err, true
			continue
		}
		for _, topic := range event.Type.Topics() {
			messages = append(messages, c.message(topic, record))
			owners = append(owners, i)
		}
	}
	if any {
		return nil, nil, refused
	}
	return messages, owners, nil
}

func (c *Client) encodeOne(event *events.Event) (events.Record, error) {
	if event.Source != "" && event.Source != c.source {
		return events.Record{}, &events.Error{Reason: events.ReasonEnvelope, Field: events.HeaderSource, Detail: "is not the source of the client"}
	}
	if event.Type == events.TypeVoid {
		return events.Record{}, &events.Error{Reason: events.ReasonEnvelope, Field: events.HeaderType, Detail: "is reserved for ApplyLens"}
	}
	own := *event
	own.Source = c.source
	return events.Encode(&own)
}

func (c *Client) message(topic string, record events.Record) kafka.Message {
	headers := make([]kafka.Header, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = kafka.Header{Key: header.Key, Value: header.Value}
	}
	return kafka.Message{Topic: c.prefix + topic, Key: record.Key, Value: record.Value, Headers: headers}
}
