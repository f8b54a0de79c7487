package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	brokers "github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
)

// kafkaUser is the only user of the broker, and mechanism the way in which it shows its password.
const (
	kafkaUser = "applylens"
	mechanism = "SCRAM-SHA-256"
)

// broker is the Kafka broker within this process.
type broker struct {
	cluster  *kfake.Cluster
	settings config.Kafka
	versions *kmsg.ApiVersionsResponse // what is answered to a client that asks what it may use
}

// startBroker opens the topics and groups in dir. Records are on disk before they are acknowledged. Every client needs the
// password, since other users of the machine can reach the port too.
func startBroker(ctx context.Context, dir string, state *state) (*broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// At its end the library saves its users, and they would replace ours: none, after a start before there was a password.
	if err := os.Remove(filepath.Join(dir, "sasl.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("forget the users of the last start: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID(state.ClusterID),
		kfake.Ports(state.KafkaPort),
		kfake.DefaultNumPartitions(6),
		kfake.DataDir(dir),
		kfake.SyncWrites(),
		kfake.ListenFn(listenGuarded),
		kfake.EnableSASL(),
		kfake.Superuser(mechanism, kafkaUser, state.KafkaPassword),
	)
	if err != nil {
		return nil, fmt.Errorf("start the in-process Kafka broker: %w", err)
	}
	b := &broker{cluster: cluster, settings: config.Kafka{
		KafkaBrokers:       []string{fmt.Sprintf("127.0.0.1:%d", state.KafkaPort)},
		KafkaSASLMechanism: strings.ToLower(mechanism),
		KafkaSASLUsername:  kafkaUser,
		KafkaSASLPassword:  config.Secret(state.KafkaPassword),
	}}
	if err := b.offerOldHandshake(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("start the in-process Kafka broker: %w", err)
	}
	return b, nil
}

func (b *broker) close() { b.cluster.Close() }

// offerOldHandshake makes the broker say that it knows version 0 of the SASL handshake. librdkafka, and so kcat, uses version
// 1, but only with a broker that knows both; the library says that it knows version 1 alone.
func (b *broker) offerOldHandshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := brokers.Open(b.settings)
	if err != nil {
		return err
	}
	defer conn.Close()
	client, err := conn.Reader()
	if err != nil {
		return err
	}
	defer client.Close()
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "applylens", "1"
	if b.versions, err = request.RequestWith(ctx, client); err != nil {
		return fmt.Errorf("ask for its versions: %w", err)
	}
	for i := range b.versions.ApiKeys {
		if key := &b.versions.ApiKeys[i]; key.ApiKey == kmsg.SASLHandshake.Int16() {
			key.MinVersion = 0
		}
	}
	b.cluster.ControlKey(request.Key(), b.answerVersions)
	return nil
}

// answerVersions answers one request, and makes itself answer the next. The library remembers the connections of a function
// that it keeps.
func (b *broker) answerVersions(request kmsg.Request) (kmsg.Response, error, bool) {
	if request.GetVersion() > b.versions.Version {
		return nil, nil, false
	}
	b.cluster.ControlKey(request.Key(), b.answerVersions)
	answer := *b.versions
	answer.Version = request.GetVersion()
	answer.ApiKeys = slices.Clone(answer.ApiKeys)
	return &answer, nil, true
}
