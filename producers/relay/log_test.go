package relay

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

// lose makes the database believe that the log had further records of ann's: rows that are marked published at and
// behind the log's end, as after a truncation.
func (w *deployment) lose(n int) {
	w.Helper()
	w.add(n, "ann")
	w.Exec(`
WITH last AS (
    SELECT relay_id, partition, relay_seq, log_offset FROM outbox
    WHERE published_at IS NOT NULL AND user_id = 'ann' ORDER BY log_offset DESC LIMIT 1),
lost AS (SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM outbox WHERE published_at IS NULL)
UPDATE outbox o
SET relay_id = last.relay_id, partition = last.partition, relay_seq = last.relay_seq + n,
    log_offset = last.log_offset + n, published_at = now()
FROM lost, last WHERE o.seq = lost.seq`)
	w.Exec(`
UPDATE relay_partitions p SET next_offset = next_offset + $1
FROM outbox o WHERE o.user_id = 'ann' AND p.partition = o.partition AND p.topic = o.aggregatetype`, n)
}

func TestTruncatedLogIsFilledBeforeAnythingNew(t *testing.T) {
	for name, regrow := range map[string]int{"shorter": 0, "grown again": 30} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			w.add(20, "ann")
			stop := w.start()
			w.AwaitPublished()
			stop()
			w.lose(7)
			w.foreign("ann", regrow)
			w.add(4, "ann")
			w.start()
			w.AwaitPublished()
			if repeats := w.checkLog(); repeats != 0 {
				t.Errorf("%d repeats, want none: only what is missing is published again", repeats)
			}
		})
	}
}

// foreign produces records of another source to the partition of key.
func (w *deployment) foreign(key string, n int) {
	w.Helper()
	for range n {
		w.Publish(w.foreignRecord(key))
	}
}

func (w *deployment) foreignRecord(key string) *kgo.Record {
	w.Helper()
	return w.Foreign(&events.Event{
		Envelope:   events.Envelope{ID: "foreign", Source: "/other", Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: key, Op: "reset", RecordedAt: recorded},
	})
}

// What the relay published behind a transaction that stays open is found again by a restored database.
func TestOpenForeignTransactionHidesNothing(t *testing.T) {
	w := newDeployment(t)
	client := w.Client(kgo.TransactionalID("open"))
	w.Must(client.BeginTransaction())
	w.Must(client.ProduceSync(t.Context(), w.foreignRecord("ann")).FirstErr())
	w.add(5, "ann")
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.forget(0, 5)
	w.start()
	w.untilReconciled()
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 0 {
		t.Errorf("%d repeats, want none", repeats)
	}
	w.checkForeign(1)
}

func TestLogThatGoesBackWhileRunning(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.add(10, "ann")
	w.AwaitPublished()
	// The broker acknowledges what it then loses.
	lost := make(chan struct{})
	w.Cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		close(lost)
		return acknowledge(request.(*kmsg.ProduceRequest), 10), nil, true
	})
	w.add(5, "ann")
	<-lost
	w.AwaitPublished()
	w.add(3, "ann")
	w.Until("the loss is noticed", func() bool {
		return len(w.log()) >= 18 && w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0
	})
	// The three that showed the loss stand before the five that were lost; all eight follow once more in order.
	var got []string
	for _, r := range w.log() {
		got = append(got, strings.TrimPrefix(r.id, "event-0000"))
	}
	want := append(numbered(1, 10), append(numbered(16, 18), numbered(11, 18)...)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func numbered(from, to int) []string {
	var list []string
	for ; from <= to; from++ {
		list = append(list, string([]byte{byte('0' + from/10), byte('0' + from%10)}))
	}
	return list
}

// acknowledge is the answer to a request as if its records stood at offset.
func acknowledge(request *kmsg.ProduceRequest, offset int64) kmsg.Response {
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range request.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic = topic.Topic
		for _, p := range topic.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.BaseOffset = p.Partition, offset
			answer.Partitions = append(answer.Partitions, partition)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}

func TestRecreatedTopicIsFilledAgain(t *testing.T) {
	for name, running := range map[string]bool{"while running": true, "while stopped": false} {
		t.Run(name, func(t *testing.T) {
			w := newDeployment(t)
			stop := w.start()
			w.add(30, "ann", "bob", "cid")
			w.AwaitPublished()
			if !running {
				stop()
			}
			w.Must(w.Cluster.DeleteTopic(w.Conn.Topic(events.TopicActions)))
			w.Must(w.Cluster.CreateTopic(w.Conn.Topic(events.TopicActions), int32(w.Partitions), nil))
			if !running {
				w.start()
			}
			w.Until("the new topic has everything", func() bool { return len(w.log()) >= 30 })
			w.add(10, "ann", "bob", "cid")
			w.AwaitPublished()
			w.checkLog()
		})
	}
}

func TestMovedLeaderIsInspected(t *testing.T) {
	w := newDeployment(t, kfake.NumBrokers(2))
	w.start()
	for range 6 {
		w.add(20, "ann", "bob", "cid")
		w.Signal.Set()
		w.Cluster.ShufflePartitionLeaders()
	}
	w.AwaitPublished()
	w.checkLog()
}

func TestVoidRowsKeepTheirNumbers(t *testing.T) {
	w := newDeployment(t)
	w.add(10, "ann")
	w.Exec("UPDATE outbox SET state = 'void', payload = '', headers = '[]', aggregateid = '' WHERE seq IN (3, 10)")
	w.Exec("UPDATE outbox SET aggregateid = 'ann'")
	w.start()
	w.AwaitPublished()
	w.checkLog()
	for i, r := range w.log() {
		void := i == 2 || i == 9
		if (r.kind == events.TypeVoid) != void || (r.key == "") != void {
			t.Errorf("record %d has type %s and key %q, want void: %t", i, r.kind, r.key, void)
		}
	}
}

func TestDeadRowsKeepTheirNumbers(t *testing.T) {
	w := newDeployment(t)
	rows := make([]outbox.Row, 12)
	for i := range rows {
		rows[i] = w.row("ann")
	}
	rows[4].Value = []byte(strings.Repeat("x", 1<<20+100))
	rows[11].Value = rows[4].Value
	w.insert(rows...)
	w.Exec(`UPDATE outbox SET headers = '{"no": "list"}' WHERE seq = 8`)
	w.start()
	w.AwaitPublished()
	w.checkLog()
	var dead []int
	for i, r := range w.log() {
		if r.kind == events.TypeVoid {
			dead = append(dead, i)
		}
	}
	if diff := cmp.Diff([]int{4, 7, 11}, dead); diff != "" {
		t.Errorf("records without content (-want +got):\n%s", diff)
	}
	if n := w.Int("SELECT count(*) FROM outbox WHERE state = 'dead' AND error <> ''"); n != 3 || w.metric(w.metrics.dead) != 3 {
		t.Errorf("%d dead rows, counted %d; want 3", n, w.metric(w.metrics.dead))
	}
}

func TestRowOfNoTopicOfOurs(t *testing.T) {
	w := newDeployment(t)
	row := w.row("ann")
	row.Topic = "nowhere"
	w.insert(row)
	w.add(2, "ann")
	w.start()
	w.AwaitPublished()
	if n := w.Int("SELECT count(*) FROM outbox WHERE state = 'dead' AND relay_id IS NULL"); n != 1 {
		t.Errorf("%d dead rows without a number, want 1", n)
	}
	if n := len(w.log()); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}

func TestMissingTopicHoldsOnlyItsRows(t *testing.T) {
	w := newDeployment(t)
	topic := w.Conn.Topic(events.TopicApplications)
	w.Must(w.Cluster.DeleteTopic(topic))
	row := w.row("greenhouse/1")
	row.Topic = events.TopicApplications
	w.insert(row)
	w.add(5, "ann")
	w.start()
	w.Until("the rows of the topic that exists are published", func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 1
	})
	w.Must(w.Cluster.CreateTopic(topic, int32(w.Partitions), nil))
	w.AwaitPublished()
	if n := len(w.logOf(events.TopicApplications)); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

func TestStuckPartitionHoldsNoOther(t *testing.T) {
	w := newDeployment(t)
	stuck := w.PartitionOf("ann")
	fault := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1,
		Topic: w.Conn.Topic(events.TopicActions), Partitions: []int32{int32(stuck)}})
	w.start()
	w.add(3*assignRows, "ann", "bob", "cid", "dan", "eve")
	w.Until("the other partitions are sent", func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL AND partition IS DISTINCT FROM $1", stuck) == 0
	})
	fault.Remove()
	w.AwaitPublished()
	w.checkLog()
}

func TestRequestsStayBelowTheLimit(t *testing.T) {
	w := newDeployment(t)
	var largest atomic.Int64
	w.Cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		w.Cluster.KeepControl()
		for _, topic := range request.(*kmsg.ProduceRequest).Topics {
			for _, p := range topic.Partitions {
				largest.Store(max(largest.Load(), int64(len(p.Records))))
			}
		}
		return nil, nil, false
	})
	rows := make([]outbox.Row, 100)
	for i := range rows {
		rows[i] = w.row("ann")
		rows[i].Value = []byte(strings.Repeat("x", 50<<10))
	}
	w.insert(rows...)
	w.start()
	w.AwaitPublished()
	w.checkLog()
	if most := largest.Load(); most > 1048588 || most < 500<<10 {
		t.Errorf("largest request has %d bytes, want nearly the topic's limit", most)
	}
	if n := w.metric(w.metrics.dead); n != 0 {
		t.Errorf("%d dead rows, want none", n)
	}
}

func TestBackoffGrowsWithinBounds(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 50 * time.Millisecond, 3: 200 * time.Millisecond, 8: 5 * time.Second, 1000: 5 * time.Second} {
		if got := backoff(n, 0); got != want {
			t.Errorf("backoff(%d, 0) = %v, want %v", n, got, want)
		}
		if got := backoff(n, 0.99); got < want/2 || got >= want {
			t.Errorf("backoff(%d, 0.99) = %v, want at least half of %v", n, got, want)
		}
	}
}
