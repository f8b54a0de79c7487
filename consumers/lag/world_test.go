package lag_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const partitions = 2

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// world is a broker, a database, and the means to put records and positions where a test wants them.
type world struct {
	t        *testing.T
	cluster  *kfake.Cluster
	settings config.Kafka
	conn     *broker.Conn
	pool     *pgxpool.Pool
	producer *kgo.Client
	now      time.Time
}

func newWorld(t *testing.T) *world {
	cluster, settings := testenv.Kfake(t)
	return settle(t, &world{cluster: cluster, settings: settings})
}

func settle(t *testing.T, w *world) *world {
	t.Helper()
	w.t, w.now = t, noon
	w.pool, _ = testenv.Database(t)
	var err error
	w.conn, err = broker.Open(w.settings)
	must(t, err)
	t.Cleanup(w.conn.Close)
	must(t, w.conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}))
	w.producer = w.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return w
}

func (w *world) client(options ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.settings.KafkaBrokers...)}, options...)...)
	must(w.t, err)
	w.t.Cleanup(client.Close)
	return client
}

func (w *world) config() lag.Config {
	return lag.Config{Broker: w.conn, Pool: w.pool, Groups: []string{"weights"}, Now: func() time.Time { return w.now }}
}

// publish appends a record of each age to a partition of the actions.
func (w *world) publish(partition int32, ages ...time.Duration) {
	w.t.Helper()
	for _, age := range ages {
		must(w.t, w.producer.ProduceSync(w.t.Context(), w.record(partition, age)).FirstErr())
	}
}

func (w *world) record(partition int32, age time.Duration) *kgo.Record {
	return &kgo.Record{Topic: w.conn.Topic(events.TopicActions), Partition: partition, Timestamp: w.now.Add(-age), Value: []byte("{}")}
}

// position puts version's position of a partition of the actions at next.
func (w *world) position(version, partition int, next int64) {
	w.t.Helper()
	topic, err := w.conn.DescribeTopic(w.t.Context(), w.conn.Topic(events.TopicActions))
	must(w.t, err)
	w.exec(`
		INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at, owner)
		VALUES ('weights', $1, $2, $3, $4, $5, $6, 0, 'host/1')
		ON CONFLICT (group_name, version, cluster_id, topic_id, partition) DO UPDATE SET next_offset = excluded.next_offset`,
		version, topic.Cluster, events.TopicActions, topic.ID, partition, next)
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), statement, args...)
	must(w.t, err)
}

// mirror commits offsets of the group as partition 0, partition 1 and so on; the group must have no member.
func (w *world) mirror(offsets ...int64) {
	w.t.Helper()
	var all kadm.Offsets
	for partition, offset := range offsets {
		all.AddOffset(w.conn.Topic(events.TopicActions), int32(partition), offset, -1)
	}
	must(w.t, w.conn.Admin.CommitAllOffsets(w.t.Context(), w.conn.GroupID("weights"), all))
}

// join makes a member of the group that owns every partition.
func (w *world) join() *kgo.Client {
	w.t.Helper()
	assigned := make(chan struct{}, 10)
	member := w.client(kgo.ClientID("tester"), kgo.ConsumerGroup(w.conn.GroupID("weights")), kgo.ConsumeTopics(w.conn.Topic(events.TopicActions)),
		kgo.DisableAutoCommit(), kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }))
	select {
	case <-assigned:
	case <-time.After(30 * time.Second):
		w.t.Fatal("no partitions were assigned")
	}
	return member
}

// wait polls until ready says so.
func (w *world) wait(what string, ready func() bool) {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// read takes one look at the live version of weights.
func (w *world) read() *lag.Group {
	w.t.Helper()
	report, err := lag.Read(w.t.Context(), w.config())
	must(w.t, err)
	return &report.Groups[0]
}

// unreachable is a pool of a database that is away.
func (w *world) unreachable() *pgxpool.Pool {
	w.t.Helper()
	pool, err := postgres.Open(w.t.Context(), config.Postgres{DatabaseURL: "postgres://nobody@127.0.0.1:1/none?sslmode=disable"}, "test")
	must(w.t, err)
	w.t.Cleanup(pool.Close)
	return pool
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func number(t testing.TB, what string, got *int64, want int64) {
	t.Helper()
	if got == nil || *got != want {
		t.Errorf("%s = %v, want %d", what, show(got), want)
	}
}

func seconds(t testing.TB, got *float64, want float64) {
	t.Helper()
	if got == nil || *got != want {
		t.Errorf("lag_seconds = %v, want %v", show(got), want)
	}
}

func unknown[T any](t testing.TB, what string, got *T) {
	t.Helper()
	if got != nil {
		t.Errorf("%s = %v, want null", what, *got)
	}
}

func status(t testing.TB, got lag.Status, cause string, want lag.Status, part string) {
	t.Helper()
	if got != want || !strings.Contains(cause, part) || part == "" && cause != "" {
		t.Errorf("status %s, cause %q; want %s, %q", got, cause, want, part)
	}
}

func show[T any](value *T) any {
	if value == nil {
		return "null"
	}
	return *value
}
