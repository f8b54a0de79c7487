package relay

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
)

// startPatient runs a relay that tries a refused row without its content after so long.
func (w *deployment) startPatient(patience time.Duration) (stop func()) {
	w.Helper()
	cfg := Config{Pool: w.Pool, Conn: w.Conn, Signal: w.Signal, Registry: prometheus.NewRegistry(), Log: w.Logger, patience: patience}
	w.Must(cfg.Validate())
	m, err := newMetrics(cfg.Registry)
	w.Must(err)
	w.metrics = m
	return w.Background("the relay", func(ctx context.Context) error {
		run(ctx, cfg, m)
		return nil
	})
}

// addPoison adds a row that tests recognise in a request.
func (w *deployment) addPoison(key string) {
	w.Helper()
	row := w.row(key)
	row.Value = append(bytes.Clone(row.Value), poison...)
	w.insert(row)
}

var poison = []byte("          poison")

// contains tells whether a produce request has a text in its records.
func contains(request kmsg.Request, text []byte) bool {
	for _, topic := range request.(*kmsg.ProduceRequest).Topics {
		for _, p := range topic.Partitions {
			if bytes.Contains(p.Records, text) {
				return true
			}
		}
	}
	return false
}

// lasting lists every error of Kafka's that repeating a request does not change.
func lasting() []*kerr.Error {
	list := []*kerr.Error{kerr.UnknownServerError}
	for code := int16(1); code < 200; code++ {
		if err, _ := kerr.ErrorForCode(code).(*kerr.Error); err != nil && err.Code == code && !err.Retriable {
			list = append(list, err)
		}
	}
	return list
}

// Whatever Kafka calls its refusal of one record, that record alone is given up, and the others go out in order.
func TestEveryRefusedRecordIsFound(t *testing.T) {
	w := newDeployment(t)
	w.startPatient(time.Millisecond)
	list := lasting()
	if len(list) < 50 {
		t.Fatalf("only %d errors are found", len(list))
	}
	for i, failure := range list {
		fault := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: failure, Count: -1,
			When: func(request kmsg.Request) bool { return contains(request, poison) }})
		w.add(3, "ann")
		w.addPoison("ann")
		w.add(3, "ann")
		w.Signal.Set()
		w.AwaitPublished()
		if fault.Hits() == 0 {
			t.Errorf("%s: nothing was refused", failure.Message)
		}
		fault.Remove()
		if n := w.Int("SELECT count(*) FROM outbox WHERE state = 'dead' AND error <> ''"); n != i+1 || w.metric(w.metrics.dead) != n {
			t.Fatalf("after %s: %d dead rows, counted %d; want %d", failure.Message, n, w.metric(w.metrics.dead), i+1)
		}
	}
	w.checkLog()
	for i, r := range w.log() {
		if dead := i%7 == 3; (r.kind == events.TypeVoid) != dead {
			t.Errorf("record %d is of type %s", i, r.kind)
		}
	}
}

// A refusal that is not about a record, such as of the right to write, costs none: it waits.
func TestRefusedPartitionGivesNothingUp(t *testing.T) {
	for _, failure := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.UnknownServerError, kerr.InvalidRecord, kerr.PolicyViolation, kerr.MessageTooLarge, kerr.InvalidTimestamp} {
		t.Run(failure.Message, func(t *testing.T) {
			t.Parallel()
			w := newDeployment(t)
			var refusedFull, refusedEmpty int
			var over bool
			ann := int32(w.PartitionOf("ann"))
			// It ends while the content is refused, and not just between the two tries.
			w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: failure, Count: -1, Topic: w.Conn.Topic(events.TopicActions), Partitions: []int32{ann},
				When: func(request kmsg.Request) bool {
					switch {
					case over:
					case contains(request, poison):
						refusedFull++
						over = refusedFull >= 4 && refusedEmpty >= 2
					default:
						refusedEmpty++
					}
					return !over
				}})
			w.addPoison("ann")
			w.add(30, "ann")
			w.startPatient(time.Millisecond)
			w.AwaitPublished()
			w.checkLog()
			for _, r := range w.log() {
				if r.kind == events.TypeVoid {
					t.Errorf("%s was given up", r.id)
				}
			}
			if n := w.Int("SELECT count(*) FROM outbox WHERE state <> 'open' OR error <> ''"); n != 0 || w.metric(w.metrics.dead) != 0 {
				t.Errorf("%d rows are not open, counted %d dead; want none", n, w.metric(w.metrics.dead))
			}
		})
	}
}

// times returns when the records of the actions are dated, by offset of ann's partition.
func (w *deployment) times() []time.Time {
	w.Helper()
	client := w.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		w.Conn.Topic(events.TopicActions): {int32(w.PartitionOf("ann")): kgo.NewOffset().AtStart()}}))
	var list []time.Time
	for len(list) < w.added {
		fetches := client.PollFetches(w.Context())
		w.Must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { list = append(list, r.Timestamp) })
	}
	return list
}

// The database's clock dates the rows. Kafka refuses records that it takes to be of more than an hour from now.
func TestDatabaseClockAheadStopsNothing(t *testing.T) {
	t.Run("in process", func(t *testing.T) { clockAhead(t, newDeployment(t)) })
	t.Run("real", func(t *testing.T) { clockAhead(t, onKafka(t)) })
}

func clockAhead(t *testing.T, w *deployment) {
	w.add(5, "ann")
	w.Exec("UPDATE outbox SET recorded_at = now() + interval '2 hours'")
	w.add(5, "ann")
	w.start()
	w.AwaitPublished()
	w.checkLog()
	for i, at := range w.times() {
		if at.After(time.Now()) {
			t.Errorf("record %d is dated %s, after now", i, at)
		}
	}
}

// Where even so Kafka refuses the times, as when its own clock is wrong, records go out without.
func TestRefusedTimesAreLeftOut(t *testing.T) {
	w := onKafka(t)
	limit := "1000"
	_, err := w.Conn.Admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "message.timestamp.before.max.ms", Value: &limit}}, w.Conn.Topic(events.TopicActions))
	w.Must(err)
	w.add(20, "ann")
	w.Exec("UPDATE outbox SET recorded_at = now() - interval '1 hour'")
	w.start()
	w.AwaitPublished()
	w.checkLog()
	if n := w.metric(w.metrics.dead); n != 0 {
		t.Errorf("%d rows were given up, want none", n)
	}
	for i, at := range w.times() {
		if at.UnixMilli() != -1 {
			t.Errorf("record %d is dated %s, want no time", i, at)
		}
	}
}
