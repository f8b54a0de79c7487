package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

const (
	partitions = 3
	patience   = 30 * time.Second
)

var recorded = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a database and a broker with our topics.
type world struct {
	testing.TB
	pool    *pgxpool.Pool
	cluster *kfake.Cluster // nil on a real broker
	conn    *broker.Conn
	source  string
	signal  *outbox.Signal
	metrics *metrics
	added   int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	pool, _ := testenv.Database(t)
	cluster, settings := testenv.Kfake(t)
	w := worldOf(t, pool, settings)
	w.cluster = cluster
	return w
}

func worldOf(t testing.TB, pool *pgxpool.Pool, settings config.Kafka) *world {
	t.Helper()
	conn, err := broker.Open(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	source, err := outbox.Source(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return &world{TB: t, pool: pool, conn: conn, source: source, signal: outbox.NewSignal()}
}

// start runs a relay until the returned function is called or the test ends.
func (w *world) start() (stop func()) {
	w.Helper()
	registry := prometheus.NewRegistry()
	output := io.Discard
	if testing.Verbose() {
		output = w.Output()
	}
	cfg := Config{Pool: w.pool, Conn: w.conn, Signal: w.signal, Registry: registry, Log: slog.New(slog.NewTextHandler(output, nil))}
	must(w, cfg.Validate())
	m, err := newMetrics(cfg.Registry)
	must(w, err)
	w.metrics = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, cfg, m)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			w.Error("the relay does not end")
		}
	})
	w.Cleanup(stop)
	return stop
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) count(sql string, args ...any) int {
	w.Helper()
	var n int
	if err := w.pool.QueryRow(w.Context(), sql, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// insert adds rows in a transaction of their own.
func (w *world) insert(rows ...outbox.Row) {
	w.Helper()
	must(w, pgx.BeginFunc(w.Context(), w.pool, func(tx pgx.Tx) error { return outbox.Insert(w.Context(), tx, rows...) }))
}

// add inserts n rows with ids that count on, for the keys in turn.
func (w *world) add(n int, keys ...string) {
	w.Helper()
	rows := make([]outbox.Row, n)
	for i := range rows {
		rows[i] = w.row(keys[i%len(keys)])
	}
	w.insert(rows...)
}

// row is the next row of a key.
func (w *world) row(key string) outbox.Row {
	w.added++
	record, err := events.Encode(&events.Event{
		Envelope:   events.Envelope{ID: fmt.Sprintf("event-%06d", w.added), Source: w.source, Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: key, Op: "reset", RecordedAt: recorded},
	})
	if err != nil {
		w.Fatal(err)
	}
	return outbox.Row{ID: fmt.Sprintf("event-%06d", w.added), Topic: events.TopicActions, Key: record.Key,
		Type: events.TypePreferenceChanged.String(), Value: record.Value, Headers: record.Headers, UserID: key}
}

// until polls until a condition holds.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			w.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

func (w *world) untilSent() {
	w.Helper()
	w.until("everything is published", func() bool {
		return w.count("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
	})
}

func (w *world) untilReconciled() {
	w.Helper()
	w.until("a relay has reconciled", func() bool {
		return w.count("SELECT count(*) FROM relays WHERE reconciled_at IS NOT NULL") > 0
	})
}

// logged is a record as it stands in the log.
type logged struct {
	partition int
	offset    int64
	id        string
	kind      events.Type
	key       string
	stamp     events.Stamp
}

// log reads all records of the actions.
func (w *world) log() []logged {
	w.Helper()
	return w.logOf(events.TopicActions)
}

func (w *world) logOf(name string) []logged {
	w.Helper()
	topic := w.conn.Topic(name)
	var want int64
	w.until("every leader tells the end of its partition", func() bool {
		ends, err := w.conn.Admin.ListEndOffsets(w.Context(), topic)
		must(w, err)
		want = 0
		ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
		return ends.Error() == nil
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(w.conn.Brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(w, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var list []logged
	for int64(len(list)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { list = append(list, w.read(r)) })
	}
	return list
}

func (w *world) read(r *kgo.Record) logged {
	headers := make([]events.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	head, err := events.NewDecoder().Head(headers)
	if err != nil {
		w.Fatal(err)
	}
	return logged{partition: int(r.Partition), offset: r.Offset, id: head.ID, kind: head.Type, key: string(r.Key), stamp: head.Stamp}
}

// effects folds a log as a consumer does: it drops repeats by their number and returns the ids that have an effect,
// by partition. A number that is missing fails the test.
func effects(t testing.TB, list []logged) (ids map[int][]string, repeats int) {
	t.Helper()
	type sequence struct {
		partition int
		relay     events.UUID
	}
	last := map[sequence]int64{}
	ids = map[int][]string{}
	for _, r := range list {
		at := sequence{r.partition, r.stamp.Relay}
		switch {
		case r.stamp.Relay.IsZero():
			continue
		case r.stamp.Seq <= last[at]:
			repeats++
		case r.stamp.Seq == last[at]+1:
			last[at]++
			ids[r.partition] = append(ids[r.partition], r.id)
		default:
			t.Errorf("partition %d offset %d: number %d follows %d", r.partition, r.offset, r.stamp.Seq, last[at])
			last[at] = r.stamp.Seq
		}
	}
	return ids, repeats
}

// checkLog fails unless every event that was added has one effect, in order within its partition.
func (w *world) checkLog() (repeats int) {
	w.Helper()
	list := w.log()
	ids, repeats := effects(w, list)
	total := 0
	for partition, list := range ids {
		total += len(list)
		for i := 1; i < len(list); i++ {
			if list[i] <= list[i-1] {
				w.Errorf("partition %d: %s stands after %s", partition, list[i], list[i-1])
			}
		}
	}
	if total != w.added {
		w.Errorf("%d effects of %d events", total, w.added)
	}
	return repeats
}

func (w *world) metric(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// resend sends a request of the relay that the broker has not executed.
func (w *world) resend(request *kmsg.ProduceRequest) {
	w.Helper()
	if request == nil {
		w.Fatal("no request was held back")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.conn.Brokers...), kgo.MaxVersions(kversion.V2_8_0())) // by topic name
	must(w, err)
	defer client.Close()
	response, err := client.Request(w.Context(), request)
	must(w, err)
	must(w, kerr.ErrorForCode(response.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode))
}

// killLeader ends the session that holds the lock, as a failing server or network does.
func (w *world) killLeader() {
	w.Helper()
	var killed bool
	err := w.pool.QueryRow(w.Context(), `
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
LIMIT 1`).Scan(&killed)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		w.Fatal(err)
	}
}
