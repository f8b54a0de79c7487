package lag_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/world"
)

// group is weights: a broker and a database, and the means to put records and positions where a test wants them.
type group struct{ *world.World }

func newGroup(t *testing.T) *group {
	t.Helper()
	return &group{noon(t).Kfake()}
}

func onKafka(t *testing.T) *group {
	t.Helper()
	return &group{noon(t).Kafka()}
}

func noon(t *testing.T) *world.World {
	t.Helper()
	w := world.New(t)
	w.Partitions = 2
	w.SetClock(world.Noon)
	return w
}

func (w *group) config() lag.Config {
	return lag.Config{Broker: w.Conn, Pool: w.Pool, Projections: projections, Groups: []string{"weights"}, Now: w.Now}
}

// publish appends a record of each age to a partition of the actions.
func (w *group) publish(partition int32, ages ...time.Duration) {
	w.Helper()
	for _, age := range ages {
		w.Publish(w.record(partition, age))
	}
}

func (w *group) record(partition int32, age time.Duration) *kgo.Record {
	return &kgo.Record{Topic: w.Conn.Topic(events.TopicActions), Partition: partition, Timestamp: w.Now().Add(-age), Value: []byte("{}")}
}

// position puts version's position of a partition of the actions at next.
func (w *group) position(version, partition int, next int64) {
	w.Helper()
	topic, err := w.Conn.DescribeTopic(w.Context(), w.Conn.Topic(events.TopicActions))
	w.Must(err)
	w.Exec(`
		WITH moved AS (UPDATE positions SET next_offset = $6
			WHERE group_name = 'weights' AND version = $1 AND cluster_id = $2 AND topic_id = $4 AND partition = $5)
		INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at, owner)
		VALUES ('weights', $1, $2, $3, $4, $5, $6, 0, 'host/1') -- unless it has one`,
		version, topic.Cluster, events.TopicActions, topic.ID, partition, next)
}

// join makes a member of the group that owns every partition.
func (w *group) join() *kgo.Client {
	w.Helper()
	assigned := make(chan struct{}, 10)
	member := w.Client(kgo.ClientID("tester"), kgo.ConsumerGroup(w.Conn.GroupID("weights")), kgo.ConsumeTopics(w.Conn.Topic(events.TopicActions)),
		kgo.DisableAutoCommit(), kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { assigned <- struct{}{} }))
	select {
	case <-assigned:
	case <-time.After(30 * time.Second):
		w.Fatal("no partitions were assigned")
	}
	return member
}

// read takes one look at the live version of weights.
func (w *group) read() *lag.Group {
	w.Helper()
	report, err := lag.Read(w.Context(), w.config())
	w.Must(err)
	return &report.Groups[0]
}

// unreachable is a pool of a database that is away.
func (w *group) unreachable() *pgxpool.Pool {
	w.Helper()
	pool, err := postgres.Open(w.Context(), config.Postgres{DatabaseURL: "postgres://nobody@127.0.0.1:1/none?sslmode=disable"}, "test")
	w.Must(err)
	w.Cleanup(pool.Close)
	return pool
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

// projections are the groups that reports show.
var projections = []lag.Projection{{Name: "weights", Topic: events.TopicActions}, {Name: "mailbox", Topic: events.TopicMail}}
