package relay

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/world"
)

var recorded = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// deployment is a World whose outbox a relay publishes.
type deployment struct {
	*world.World
	metrics *metrics // of the relay that was started last
	secret  []byte   // of the relays that are started
	added   int
}

func newDeployment(t testing.TB, options ...kfake.Opt) *deployment {
	t.Helper()
	return &deployment{World: world.New(t).Kfake(options...)}
}

func onKafka(t testing.TB) *deployment {
	t.Helper()
	return &deployment{World: world.New(t).Kafka()}
}

// start runs a relay until the returned function is called or the test ends.
func (w *deployment) start() (stop func()) {
	w.Helper()
	cfg := Config{Pool: w.Pool, Conn: w.Conn, Signal: w.Signal, Registry: prometheus.NewRegistry(), Log: w.Logger, Secret: w.secret}
	w.Must(cfg.Validate())
	m, err := newMetrics(cfg.Registry)
	w.Must(err)
	w.metrics = m
	return w.Background("the relay", func(ctx context.Context) error {
		run(ctx, cfg, m)
		return nil
	})
}

// insert adds rows in a transaction of their own.
func (w *deployment) insert(rows ...outbox.Row) {
	w.Helper()
	w.Must(pgx.BeginFunc(w.Context(), w.Pool, func(tx pgx.Tx) error { return outbox.Insert(w.Context(), tx, rows...) }))
}

// add inserts n rows with ids that count on, for the keys in turn.
func (w *deployment) add(n int, keys ...string) {
	w.Helper()
	rows := make([]outbox.Row, n)
	for i := range rows {
		rows[i] = w.row(keys[i%len(keys)])
	}
	w.insert(rows...)
}

// row is the next row of a key.
func (w *deployment) row(key string) outbox.Row {
	w.added++
	record, err := events.Encode(&events.Event{
		Envelope:   events.Envelope{ID: fmt.Sprintf("event-%06d", w.added), Source: w.Source, Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: key, Op: "reset", RecordedAt: recorded},
	})
	if err != nil {
		w.Fatal(err)
	}
	return outbox.Row{ID: fmt.Sprintf("event-%06d", w.added), Topic: events.TopicActions, Key: record.Key,
		Type: events.TypePreferenceChanged.String(), Value: record.Value, Headers: record.Headers, UserID: key}
}

func (w *deployment) untilReconciled() {
	w.Helper()
	w.Until("a relay has reconciled", func() bool {
		return w.Int("SELECT count(*) FROM relays WHERE reconciled_at IS NOT NULL") > 0
	})
}

// logged is a record as it stands in the log.
type logged struct {
	partition int
	offset    int64
	id        string
	kind      events.Type
	key       string
	sequence  events.Stamp
}

// log reads all records of the actions.
func (w *deployment) log() []logged {
	w.Helper()
	return w.logOf(events.TopicActions)
}

func (w *deployment) logOf(name string) []logged {
	w.Helper()
	var want int64
	w.Eventually("every leader tells the end of its partition", func() error {
		ends, err := w.Ends(name)
		want = 0
		for _, end := range ends {
			want += end
		}
		return err
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(w.Conn.Brokers...), kgo.ConsumeTopics(w.Conn.Topic(name)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	w.Must(err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.Context(), w.Patience)
	defer cancel()
	var list []logged
	decoder := events.NewDecoder() // for all records: each has a table of 128 KiB
	for int64(len(list)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { list = append(list, w.read(decoder, r)) })
	}
	return list
}

func (w *deployment) read(decoder *events.Decoder, r *kgo.Record) logged {
	headers := make([]events.Header, len(r.Headers))
	for i, h := range r.Headers {
		headers[i] = events.Header{Key: h.Key, Value: h.Value}
	}
	head, _, err := decoder.Open(headers, r.Value)
	if err != nil {
		w.Fatal(err)
	}
	return logged{partition: int(r.Partition), offset: r.Offset, id: head.ID, kind: head.Type, key: string(r.Key), sequence: head.Stamp}
}

// effects folds a log as a consumer does: it drops repeats by their relay sequence and returns the ids that have an
// effect, by partition. A gap fails the test.
func effects(t testing.TB, list []logged) (ids map[int][]string, repeats int) {
	t.Helper()
	type term struct {
		partition int
		relay     events.UUID
	}
	last := map[term]int64{}
	ids = map[int][]string{}
	for _, r := range list {
		at := term{r.partition, r.sequence.Relay}
		switch {
		case r.sequence.Relay.IsZero():
			continue
		case r.sequence.Seq <= last[at]:
			repeats++
		case r.sequence.Seq == last[at]+1:
			last[at]++
			ids[r.partition] = append(ids[r.partition], r.id)
		default:
			t.Errorf("partition %d offset %d: number %d follows %d", r.partition, r.offset, r.sequence.Seq, last[at])
			last[at] = r.sequence.Seq
		}
	}
	return ids, repeats
}

// checkLog fails unless every event that was added has one effect, in order within its partition.
func (w *deployment) checkLog() (repeats int) {
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

func (w *deployment) metric(c prometheus.Collector) int { return int(testutil.ToFloat64(c)) }

// resend sends a request of the relay that the broker has not executed.
func (w *deployment) resend(request *kmsg.ProduceRequest) {
	w.Helper()
	if request == nil {
		w.Fatal("no request was held back")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.Conn.Brokers...), kgo.MaxVersions(kversion.V2_8_0())) // by topic name
	w.Must(err)
	defer client.Close()
	response, err := client.Request(w.Context(), request)
	w.Must(err)
	w.Must(kerr.ErrorForCode(response.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode))
}

// killLeader ends the session that holds the lock, as a failing server or network does.
func (w *deployment) killLeader() {
	w.Helper()
	var killed bool
	err := w.Pool.QueryRow(w.Context(), `
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
LIMIT 1`).Scan(&killed)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		w.Fatal(err)
	}
}
