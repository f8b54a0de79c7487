package consumers_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const patience = 30 * time.Second

// world is a broker in process, a database, and what a test needs to write to the one and read from the other.
type world struct {
	t        testing.TB
	pool     *pgxpool.Pool
	conn     *broker.Conn
	producer *kgo.Client
	cluster  *kfake.Cluster
	source   string
	relay    events.UUID
	seqs     map[int]int64
	logs     *testenv.LogBuffer
}

const partitions = 3

func newWorld(t testing.TB, options ...kfake.Opt) *world {
	t.Helper()
	pool, _ := testenv.Database(t)
	cluster, settings := testenv.Kfake(t, options...)
	return settle(t, &world{t: t, pool: pool, cluster: cluster}, settings)
}

func settle(t testing.TB, w *world, settings config.Kafka) *world {
	t.Helper()
	conn, err := broker.Open(settings)
	must(t, err)
	t.Cleanup(conn.Close)
	must(t, conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}))
	producer, err := kgo.NewClient(kgo.SeedBrokers(settings.KafkaBrokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	t.Cleanup(producer.Close)
	w.conn, w.producer, w.seqs, w.logs = conn, producer, map[int]int64{}, &testenv.LogBuffer{}
	must(t, w.pool.QueryRow(t.Context(), "SELECT '/applylens/' || id FROM deployment").Scan(&w.source))
	w.newRelay()
	return w
}

// newRelay begins a new leader term.
func (w *world) newRelay() {
	w.relay, w.seqs = events.NewUUIDv7(time.Now()), map[int]int64{}
	_, err := w.pool.Exec(w.t.Context(), "INSERT INTO relays (relay_id) VALUES ($1)", w.relay)
	must(w.t, err)
}

// weights returns the configuration of the group under test.
func (w *world) weights(adjust ...func(*consumers.Config)) consumers.Config {
	registry := prometheus.NewRegistry()
	users, err := metrics.NewUserLabel(metrics.UserOff, nil)
	must(w.t, err)
	cfg := consumers.Config{
		Group: weights.Group(registry, users), Broker: w.conn, Pool: w.pool,
		Log: slog.New(slog.NewTextHandler(w.logs, nil)), Metrics: consumers.NewMetrics(registry), Owner: "test",
		SessionTimeout: 6 * time.Second, BatchLinger: 20 * time.Millisecond,
	}
	for _, f := range adjust {
		f(&cfg)
	}
	return cfg
}

// start runs a member of the group until the returned function is called or the test ends.
func (w *world) start(cfg consumers.Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- consumers.Run(ctx, cfg) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Errorf("the group ended with %v", err)
			}
		})
	}
	w.t.Cleanup(stop)
	return stop
}

var clock = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// decision is an approval (or what adjust makes of it) of user's n-th action.
func decision(user string, n int, adjust ...func(*events.Event)) *events.Event {
	id := events.DeriveUUID("test action", user, strconv.Itoa(n))
	e := &events.Event{
		Envelope: events.Envelope{Type: events.TypeActionApproved, ID: "ce-" + id.String()},
		Action: &events.Action{ActionID: id, UserID: user, PolicyID: 7, Action: "archive_email", Confidence: 0.7,
			ProposedAt: clock, DecidedAt: clock, RecordedAt: clock.Add(time.Duration(n) * time.Second),
			Features: []string{"category:promo"}, HasFeatures: true, FeatureRule: events.FeatureRule,
			Mail: events.MailRef{ID: fmt.Sprintf("mail-%s-%d", user, n), Category: "promo"}},
	}
	for _, f := range adjust {
		f(e)
	}
	return e
}

func rejected(e *events.Event) { e.Type = events.TypeActionRejected }

// own encodes an event as our relay publishes it, with the next number of its partition.
func (w *world) own(e *events.Event) *kgo.Record {
	e.Source = w.source
	record := w.encode(e)
	w.seqs[int(record.Partition)]++
	return stamp(record, w.relay, w.seqs[int(record.Partition)])
}

func stamp(record *kgo.Record, relay events.UUID, seq int64) *kgo.Record {
	record.Headers = append(record.Headers,
		kgo.RecordHeader{Key: events.HeaderRelayID, Value: []byte(relay.String())},
		kgo.RecordHeader{Key: events.HeaderRelaySeq, Value: []byte(strconv.FormatInt(seq, 10))})
	return record
}

// foreign encodes an event as another team's service publishes it.
func (w *world) foreign(e *events.Event) *kgo.Record {
	if e.Source == "" {
		e.Source = "/upstream"
	}
	return w.encode(e)
}

func (w *world) encode(e *events.Event) *kgo.Record {
	w.t.Helper()
	encoded, err := events.Encode(e)
	must(w.t, err)
	record := &kgo.Record{Topic: w.conn.Topic(e.Topic()), Key: encoded.Key, Value: encoded.Value,
		Partition: int32(events.Partition(encoded.Key, partitions)), Timestamp: clock}
	for _, h := range encoded.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return record
}

func (w *world) publish(records ...*kgo.Record) {
	w.t.Helper()
	must(w.t, w.producer.ProduceSync(w.t.Context(), records...).FirstErr())
}

// wait polls until ready says so, and fails the test with what it last said otherwise.
func (w *world) wait(what string, ready func() (bool, string)) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := ready()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("waited in vain for %s: %s\n%s", what, state, w.logs.String())
		}
	}
}

// folded waits until the live version has folded everything that is in the topic.
func (w *world) folded(group, topic string) {
	w.t.Helper()
	ends, err := w.conn.Admin.ListEndOffsets(w.t.Context(), w.conn.Topic(topic))
	must(w.t, err)
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	w.wait("positions at the end", func() (bool, string) {
		var have int64
		must(w.t, w.pool.QueryRow(w.t.Context(), `
			SELECT COALESCE(sum(next_offset), 0) FROM positions p JOIN projections j ON j.group_name = p.group_name AND j.live_version = p.version
			WHERE p.group_name = $1 AND p.topic = $2 AND p.state <> 'replaced'`, group, topic).Scan(&have))
		return have == want, fmt.Sprintf("%d of %d", have, want)
	})
}

// weight returns the live weight of a feature; NaN never occurs, so -99 means that there is no row.
func (w *world) weight(user, feature string) float64 {
	w.t.Helper()
	var weight float64
	must(w.t, w.pool.QueryRow(w.t.Context(),
		"SELECT COALESCE((SELECT weight FROM user_weights WHERE user_id = $1 AND feature = $2), -99)", user, feature).Scan(&weight))
	return weight
}

// ledger is what the positions of the live version counted.
type ledger struct{ Fetched, Applied, Repeated, DeadLettered int64 }

func (w *world) ledger(group string) ledger {
	w.t.Helper()
	var l ledger
	must(w.t, w.pool.QueryRow(w.t.Context(), `
		SELECT COALESCE(sum(fetched), 0), COALESCE(sum(applied), 0), COALESCE(sum(repeated), 0), COALESCE(sum(dead_lettered), 0)
		FROM positions p JOIN projections j ON j.group_name = p.group_name AND j.live_version = p.version
		WHERE p.group_name = $1`, group).Scan(&l.Fetched, &l.Applied, &l.Repeated, &l.DeadLettered))
	return l
}

// haltedFor waits until a partition of the group is halted for the reason, and checks that the detail names a command
// whole, which an operator can copy.
func (w *world) haltedFor(group string, reason consumers.HaltReason) (partition int) {
	w.t.Helper()
	w.wait("halt "+string(reason), func() (bool, string) {
		rows, err := w.pool.Query(w.t.Context(), "SELECT partition, halt_reason, halt_detail FROM positions WHERE group_name = $1 AND state = 'halted'", group)
		must(w.t, err)
		defer rows.Close()
		state := ""
		for rows.Next() {
			var found, detail string
			must(w.t, rows.Scan(&partition, &found, &detail))
			if found == string(reason) {
				if strings.Contains(detail, "applylens positions") && !strings.Contains(detail, group+" "+events.TopicActions) {
					w.t.Errorf("the halt names no whole command: %s", detail)
				}
				return true, ""
			}
			state += fmt.Sprintf("%d: %s; ", partition, found)
		}
		return false, state
	})
	return partition
}

func (w *world) deadReasons(group string) map[string]int {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), "SELECT reason, count(*) FROM dead_letters WHERE group_name = $1 GROUP BY reason", group)
	must(w.t, err)
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var reason string
		var count int
		must(w.t, rows.Scan(&reason, &count))
		found[reason] = count
	}
	return found
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// relayOutbox publishes what waits in the outbox with stamps, as the relay does, and tells how much it was.
func (w *world) relayOutbox() (published int) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), "SELECT seq, aggregatetype, aggregateid, payload, headers FROM outbox WHERE published_at IS NULL ORDER BY seq")
	must(w.t, err)
	var records []*kgo.Record
	var seq int64
	var topic string
	var key, value, headers []byte
	_, err = pgx.ForEachRow(rows, []any{&seq, &topic, &key, &value, &headers}, func() error {
		record := &kgo.Record{Topic: w.conn.Topic(topic), Key: append([]byte(nil), key...), Value: append([]byte(nil), value...), Partition: int32(events.Partition(key, partitions)), Timestamp: clock}
		stored, err := outbox.UnmarshalHeaders(headers)
		for _, h := range stored {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		w.seqs[int(record.Partition)]++
		records = append(records, stamp(record, w.relay, w.seqs[int(record.Partition)]))
		return err
	})
	must(w.t, err)
	w.publish(records...)
	_, err = w.pool.Exec(w.t.Context(), "UPDATE outbox SET published_at = now()")
	must(w.t, err)
	return len(records)
}
