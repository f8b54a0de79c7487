// Package client is what a Go service uses to publish events to ApplyLens.
//
// It promises that an event which breaks the contract is refused before anything is written, that every event goes to
// the topic and the partition of its key, and that Publish returns nil only when all in-sync replicas have all events.
//
// # The contract
//
// The id of an event (ce_id) is the service's: unique within its source and the same on every attempt. Publishing an
// event again with the same content is harmless, whenever and how often: it has its effect once. Publishing another
// content under the same id is a conflict and becomes a dead letter; for decisions on actions the identity is the
// action, the kind and the round, whatever the id.
//
// The key is the user, or system/application_id for job applications, and is taken from the event. Events of one key
// have their effect in the order in which they stand in the log. A service that needs an order publishes the next
// event after Publish of the one before returned nil; after an error it publishes that one again first.
//
// An error of Publish other than a refusal is unclear: the event may be in the log. Publish it again.
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

// ownSource begins the sources of ApplyLens's own relays, which nobody else may use.
const ownSource = "/applylens/"

// Config tells where to publish, and as whom.
type Config struct {
	// Brokers are addresses of Kafka brokers, as host:port. Required.
	Brokers []string

	// Source is the ce_source of the service, a URI reference such as "/mail/importer". Required.
	Source string

	// TopicPrefix is what the deployment puts before every topic. Default: none.
	TopicPrefix string

	// TLS and SASL secure the connections. Default: neither.
	TLS  *tls.Config
	SASL sasl.Mechanism

	// Compression of the batches. Default: none, which is the fastest to read; kafka.Zstd saves network and disk.
	Compression kafka.Compression
}

// Validate lists every fault of the settings.
func (c *Config) Validate() error {
	var faults []error
	if len(c.Brokers) == 0 {
		faults = append(faults, errors.New("client: no Brokers"))
	}
	if c.Source == "" || len(c.Source) > events.MaxSource {
		faults = append(faults, fmt.Errorf("client: Source is not of 1 to %d bytes", events.MaxSource))
	}
	if strings.HasPrefix(c.Source, ownSource) {
		faults = append(faults, fmt.Errorf("client: Source begins with %s, which is kept for ApplyLens itself", ownSource))
	}
	return errors.Join(faults...)
}

// Client publishes events. It is safe for concurrent use.
type Client struct {
	source string
	prefix string
	writer *kafka.Writer
}

// New prepares a client. It connects lazily: a broker that is down is no error here.
func New(config Config) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	// Everything that matters is set: the zero value of a Writer waits for no acknowledgement, spreads the records of
	// a user over all partitions, and holds every batch back for a second.
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

// Close waits for what is being published and closes the connections.
func (c *Client) Close() error { return c.writer.Close() }

// Errors are the errors of one Publish, by the index of the event; nil for those that are published.
type Errors []error

// Error returns how many events failed, and why the first did.
func (e Errors) Error() string {
	failed := e.Unwrap()
	if len(failed) == 0 {
		return "no event failed"
	}
	return fmt.Sprintf("%d of %d events are not published, the first: %v", len(failed), len(e), failed[0])
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

// Publish returns nil when all events are acknowledged by all in-sync replicas. An event without Source gets the
// client's. When an event breaks the contract, nothing is published, and the returned Errors have an *events.Error at
// its index; they do not improve by trying again. Otherwise Errors tell which events are not acknowledged, and a
// context that ended tells nothing of any: publish those again.
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

// encode returns the messages of events, and for each the index of its event, which may have several.
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
		return events.Record{}, &events.Error{Reason: events.ReasonEnvelope, Field: events.HeaderSource, Detail: "is not the client's"}
	}
	if event.Type == events.TypeVoid {
		return events.Record{}, &events.Error{Reason: events.ReasonEnvelope, Field: events.HeaderType, Detail: "is not for services"}
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
