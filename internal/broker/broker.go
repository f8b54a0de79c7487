// Package broker opens the connections to Kafka that other packages share: kafka-go for records and groups, kadm for
// administration, both with the same settings. It applies the deployment's topic prefix and creates topics.
//
// It reads and writes no records itself.
package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	kgosasl "github.com/twmb/franz-go/pkg/sasl"
	kgoplain "github.com/twmb/franz-go/pkg/sasl/plain"
	kgoscram "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
)

// Conn holds the clients of one Kafka cluster. It is safe for concurrent use.
type Conn struct {
	Addr      net.Addr
	Brokers   []string
	Transport *kafka.Transport // requests of kafka-go's Client and Writer
	Dialer    *kafka.Dialer    // connections of kafka-go's ConsumerGroup
	Client    *kafka.Client
	Admin     *kadm.Client

	raw       *kgo.Client // below Admin
	options   []kgo.Opt   // of raw
	anonymous []kgo.Opt   // options without a user
	prefix    string
}

// Time limits of what is asked of Kafka, whatever the caller's context: a broker may hang without closing its connections.
const (
	dialLimit    = 5 * time.Second
	requestLimit = 5 * time.Second  // of one request, beside the time that it gives the broker
	retryLimit   = 10 * time.Second // of a request with its retries
)

// Open returns the clients. They connect lazily, so an unavailable broker is not an error here.
func Open(settings config.Kafka) (*Conn, error) {
	tlsConfig, err := tlsConfig(settings)
	if err != nil {
		return nil, err
	}
	mechanism, kgoMechanism, err := mechanisms(settings)
	if err != nil {
		return nil, err
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(settings.KafkaBrokers...),
		kgo.ClientID("applylens"),
		kgo.DialTimeout(dialLimit),
		kgo.RetryTimeout(retryLimit),
		kgo.RequestTimeoutOverhead(requestLimit),
		kgo.MetadataMinAge(250 * time.Millisecond),
	}
	if tlsConfig != nil {
		options = append(options, kgo.DialTLSConfig(tlsConfig))
	}
	anonymous := slices.Clone(options)
	if kgoMechanism != nil {
		options = append(options, kgo.SASL(kgoMechanism))
	}
	admin, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("prepare Kafka admin client: %w", err)
	}
	transport := &kafka.Transport{
		ClientID:    "applylens",
		DialTimeout: dialLimit,
		MetadataTTL: 5 * time.Second,
		TLS:         tlsConfig,
		SASL:        mechanism,
	}
	addr := kafka.TCP(settings.KafkaBrokers...)
	return &Conn{
		Addr:      addr,
		Brokers:   settings.KafkaBrokers,
		Transport: transport,
		Dialer:    &kafka.Dialer{ClientID: "applylens", Timeout: dialLimit, DualStack: true, TLS: tlsConfig, SASLMechanism: mechanism},
		Client:    &kafka.Client{Addr: addr, Transport: transport, Timeout: retryLimit},
		Admin:     kadm.NewClient(admin),
		raw:       admin,
		options:   options,
		anonymous: anonymous,
		prefix:    settings.TopicPrefix,
	}, nil
}

// Close closes all connections.
func (c *Conn) Close() {
	c.Transport.CloseIdleConnections()
	c.Admin.Close()
}

// Reader returns a separate client with the given options; the caller closes it.
func (c *Conn) Reader(options ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(slices.Clone(c.options), options...)...)
	if err != nil {
		return nil, fmt.Errorf("prepare Kafka reader: %w", err)
	}
	return client, nil
}

// Topic returns the name of a topic in this deployment.
func (c *Conn) Topic(name string) string { return c.prefix + name }

// GroupID returns the Kafka group id of the group with the short name.
func (c *Conn) GroupID(name string) string { return c.prefix + "applylens." + name }

// ClusterID returns the cluster's id.
func (c *Conn) ClusterID(ctx context.Context) (string, error) {
	metadata, err := c.Admin.BrokerMetadata(ctx)
	if err != nil {
		return "", fmt.Errorf("read the cluster id: %w", err)
	}
	return metadata.Cluster, nil
}

// AdmitsAnyone reports whether a client without a user is answered. Brokers that ask for one close its connection; so any
// error counts as a refusal, and the caller makes sure that they are available.
func (c *Conn) AdmitsAnyone(ctx context.Context) bool {
	client, err := kgo.NewClient(append(slices.Clone(c.anonymous), kgo.RequestRetries(0))...)
	if err != nil {
		return false
	}
	defer client.Close()
	_, err = kadm.NewClient(client).BrokerMetadata(ctx)
	return err == nil
}

// Topic is the current state of a topic.
type Topic struct {
	Cluster    string
	ID         [16]byte
	Partitions int
}

// DescribeTopic returns the current id and partition count of a topic, by its full name. It does not use kadm's Metadata,
// which has a cache: right after a topic was recreated, the cache has the old id.
func (c *Conn) DescribeTopic(ctx context.Context, name string) (Topic, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	answer, err := request.RequestWith(ctx, c.raw)
	if err != nil {
		return Topic{}, fmt.Errorf("describe topic %s: %w", name, err)
	}
	if len(answer.Topics) != 1 {
		return Topic{}, fmt.Errorf("describe topic %s: the response has %d topics", name, len(answer.Topics))
	}
	found := &answer.Topics[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return Topic{}, fmt.Errorf("topic %s: %w (create the topics with: applylens topics)", name, err)
	}
	topic := Topic{ID: found.TopicID, Partitions: len(found.Partitions)}
	if answer.ClusterID != nil {
		topic.Cluster = *answer.ClusterID
	}
	return topic, nil
}

// Layout has the settings of new topics.
type Layout struct {
	Partitions        int // Default: 6.
	ReplicationFactor int // Default: the broker's default.
	MinInsyncReplicas int // Default: the broker's default.
}

// EnsureTopics creates missing topics with unlimited retention, since a projection can be rebuilt only from a complete log.
// It does not change existing topics.
func (c *Conn) EnsureTopics(ctx context.Context, layout Layout) error {
	if layout.Partitions == 0 {
		layout.Partitions = 6
	}
	if layout.ReplicationFactor == 0 {
		layout.ReplicationFactor = -1
	}
	unlimited, deletion, size := "-1", "delete", "1048588"
	configs := map[string]*string{"retention.ms": &unlimited, "retention.bytes": &unlimited, "cleanup.policy": &deletion, "max.message.bytes": &size}
	if layout.MinInsyncReplicas > 0 {
		text := fmt.Sprint(layout.MinInsyncReplicas)
		configs["min.insync.replicas"] = &text
	}
	names := make([]string, 0, len(events.Topics))
	for _, topic := range events.Topics {
		names = append(names, c.Topic(topic))
	}
	created, err := c.Admin.CreateTopics(ctx, int32(layout.Partitions), int16(layout.ReplicationFactor), configs, names...)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, topic := range created.Sorted() {
		if topic.Err != nil && !errors.Is(topic.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic.Topic, topic.Err)
		}
	}
	return nil
}

func tlsConfig(settings config.Kafka) (*tls.Config, error) {
	if !settings.KafkaTLS {
		return nil, nil
	}
	result := &tls.Config{MinVersion: tls.VersionTLS12}
	if settings.KafkaCAFile != "" {
		pem, err := os.ReadFile(settings.KafkaCAFile)
		if err != nil {
			return nil, fmt.Errorf("--kafka-ca-file: %w", err)
		}
		result.RootCAs = x509.NewCertPool()
		if !result.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--kafka-ca-file: %s contains no PEM certificate", settings.KafkaCAFile)
		}
	}
	return result, nil
}

func mechanisms(settings config.Kafka) (sasl.Mechanism, kgosasl.Mechanism, error) {
	user, password := settings.KafkaSASLUsername, string(settings.KafkaSASLPassword)
	switch settings.KafkaSASLMechanism {
	case "":
		return nil, nil, nil
	case "plain":
		return plain.Mechanism{Username: user, Password: password}, kgoplain.Auth{User: user, Pass: password}.AsMechanism(), nil
	}
	algorithm, auth := scram.SHA256, kgoscram.Auth{User: user, Pass: password}
	kgoMechanism := auth.AsSha256Mechanism()
	if settings.KafkaSASLMechanism == "scram-sha-512" {
		algorithm, kgoMechanism = scram.SHA512, auth.AsSha512Mechanism()
	}
	mechanism, err := scram.Mechanism(algorithm, user, password)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare SASL %s: %w", settings.KafkaSASLMechanism, err)
	}
	return mechanism, kgoMechanism, nil
}
