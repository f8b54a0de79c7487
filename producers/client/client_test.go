package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/producers/client"
)

const partitions = 5

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func reset(id, user string) *events.Event {
	return &events.Event{
		Envelope:   events.Envelope{ID: id, Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: user, Op: events.PreferenceReset, RecordedAt: now},
	}
}

func start(t *testing.T) (*client.Client, *kfake.Cluster) {
	t.Helper()
	cluster, settings := testenv.Kfake(t, kfake.SeedTopics(partitions, "x."+events.TopicActions, "x."+events.TopicMail))
	c, err := client.New(client.Config{Brokers: settings.KafkaBrokers, Source: "/test", TopicPrefix: "x."})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, cluster
}

// read returns the first n records of a topic.
func read(t *testing.T, cluster *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("x."+topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var list []*kgo.Record
	for len(list) < n {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		list = append(list, fetches.Records()...)
	}
	return list
}

func TestEventsGoToThePartitionOfTheirKey(t *testing.T) {
	c, cluster := start(t)
	var list []*events.Event
	for i := range 50 {
		list = append(list, reset(fmt.Sprint(i), fmt.Sprint("user-", i%7)))
	}
	if err := c.Publish(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	decoder := events.NewDecoder()
	for _, r := range read(t, cluster, events.TopicActions, 50) {
		headers := make([]events.Header, len(r.Headers))
		for i, h := range r.Headers {
			headers[i] = events.Header{Key: h.Key, Value: h.Value}
		}
		head, err := decoder.Head(headers)
		if err != nil {
			t.Fatal(err)
		}
		var event events.Event
		if err := decoder.Decode(&head, r.Value, &event); err != nil {
			t.Fatal(err)
		}
		if event.Source != "/test" || event.Key() != string(r.Key) || events.Partition(r.Key, partitions) != int(r.Partition) {
			t.Errorf("event %s of %s, key %q, in partition %d", event.ID, event.Source, r.Key, r.Partition)
		}
	}
}

func TestErasureGoesToBothTopics(t *testing.T) {
	c, cluster := start(t)
	err := c.Publish(t.Context(), &events.Event{
		Envelope: events.Envelope{ID: "1", Type: events.TypeUserErased},
		Erasure:  &events.Erasure{UserID: "ann", RecordedAt: now},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{events.TopicActions, events.TopicMail} {
		if got := read(t, cluster, topic, 1); string(got[0].Key) != "ann" {
			t.Errorf("%s: key %q", topic, got[0].Key)
		}
	}
}

func TestRefusedEventKeepsAllBack(t *testing.T) {
	c, cluster := start(t)
	stranger := reset("3", "ann")
	stranger.Source = "/another"
	err := c.Publish(t.Context(), reset("1", "ann"), reset("", "ann"), stranger, &events.Event{Envelope: events.Envelope{ID: "4", Type: events.TypeVoid}})
	var failed client.Errors
	if !errors.As(err, &failed) || failed[0] != nil || failed[1] == nil || failed[2] == nil || failed[3] == nil {
		t.Fatalf("Publish = %v, want the last three refused", err)
	}
	var refusal *events.Error
	if !errors.As(err, &refusal) || refusal.Field != events.HeaderID {
		t.Errorf("refusal %v, want one of the id", refusal)
	}
	for _, p := range cluster.PartitionInfos("x." + events.TopicActions) {
		if p.HighWatermark != 0 {
			t.Errorf("partition %d has %d records, want none", p.Partition, p.HighWatermark)
		}
	}
}

func TestErrorsAreToldPerEvent(t *testing.T) {
	c, cluster := start(t)
	closed := events.Partition([]byte("ann"), partitions)
	if events.Partition([]byte("bob"), partitions) == closed {
		t.Fatal("the keys share a partition")
	}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1, Partitions: []int32{int32(closed)}})
	err := c.Publish(t.Context(), reset("1", "bob"), reset("2", "ann"), reset("3", "bob"))
	var failed client.Errors
	if !errors.As(err, &failed) || failed[0] != nil || failed[1] == nil || failed[2] != nil {
		t.Fatalf("Publish = %v, want the second event to fail alone", err)
	}
	if !strings.HasPrefix(err.Error(), "1 of 3 events were not published") {
		t.Errorf("error %q", err)
	}
}

func TestFaultsOfSettings(t *testing.T) {
	for _, config := range []client.Config{{Source: "/a"}, {Brokers: []string{"a:1"}}, {Brokers: []string{"a:1"}, Source: "/applylens/1"}} {
		if _, err := client.New(config); err == nil {
			t.Errorf("New(%+v) succeeds", config)
		}
	}
}

func Example() {
	cluster := kfake.MustCluster(kfake.SeedTopics(6, events.TopicActions)) // in a service: the real brokers
	defer cluster.Close()

	publisher, err := client.New(client.Config{Brokers: cluster.ListenAddrs(), Source: "/payments"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer publisher.Close()

	err = publisher.Publish(context.Background(), &events.Event{
		Envelope: events.Envelope{ID: "pin-4711", Type: events.TypePreferenceChanged},
		Preference: &events.Preference{
			UserID: "user-42", Op: events.PreferencePin, Feature: "category:finance", Weight: 1,
			RecordedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		},
	})
	fmt.Println(err)
	// Output: <nil>
}
