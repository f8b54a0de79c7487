package testenv

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/retry"
)

// Kafka returns settings for the real brokers of KAFKA_BROKERS with a prefix for the test. Topics and groups with that prefix
// are deleted when the test ends. The test is skipped if the variable is unset.
func Kafka(t testing.TB) config.Kafka {
	t.Helper()
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("set KAFKA_BROKERS to the addresses of Kafka brokers to run this test")
	}
	settings := config.Kafka{KafkaBrokers: strings.Split(brokers, ","), TopicPrefix: "test-" + randomText() + "."}
	t.Cleanup(func() { sweep(t, settings) })
	return settings
}

// sweep deletes the topics and groups of a test. A group whose members have just left may need a moment.
func sweep(t testing.TB, settings config.Kafka) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(settings.KafkaBrokers...), kgo.RetryTimeout(5*time.Second))
	if err != nil {
		t.Errorf("sweep %s: %v", settings.TopicPrefix, err)
		return
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := errors.Join(deleteGroups(ctx, admin, settings.TopicPrefix), deleteTopics(ctx, admin, settings.TopicPrefix)); err != nil {
		t.Logf("sweep %s: %v", settings.TopicPrefix, err)
	}
}

func deleteTopics(ctx context.Context, admin *kadm.Client, prefix string) error {
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	names := withPrefix(topics.Names(), prefix)
	if len(names) == 0 {
		return nil
	}
	deleted, err := admin.DeleteTopics(ctx, names...)
	return errors.Join(err, deleted.Error())
}

func deleteGroups(ctx context.Context, admin *kadm.Client, prefix string) error {
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	names := withPrefix(groups.Groups(), prefix)
	if len(names) == 0 {
		return nil
	}
	return retry.Until(ctx, 100*time.Millisecond, time.Second, func(int) error {
		deleted, err := admin.DeleteGroups(ctx, names...)
		if err = errors.Join(err, deleted.Error()); errors.Is(err, kerr.NonEmptyGroup) {
			return err
		}
		return retry.Stop(err)
	})
}

func withPrefix(names []string, prefix string) []string {
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			found = append(found, name)
		}
	}
	return found
}

// Kfake starts an in-process broker with one node that ends with the test, and returns settings for it. It does not create
// topics automatically.
func Kfake(t testing.TB, options ...kfake.Opt) (*kfake.Cluster, config.Kafka) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatalf("start in-process broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	return cluster, config.Kafka{KafkaBrokers: cluster.ListenAddrs()}
}
