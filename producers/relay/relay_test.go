package relay

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/internal/outbox"
)

func TestPublishesInOrder(t *testing.T) {
	w := newDeployment(t)
	w.add(300, "ann", "bob", "cid", "dan")
	w.start()
	w.AwaitPublished()
	for range 20 {
		w.add(5, "ann", "bob", "eve")
		w.Signal.Set()
	}
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 0 {
		t.Errorf("%d repeats, want none", repeats)
	}
	if got := w.metric(w.metrics.published.WithLabelValues("applylens.actions")); got != w.added {
		t.Errorf("published_total = %d, want %d", got, w.added)
	}
	if got := w.metric(w.metrics.leader); got != 1 {
		t.Errorf("leader = %d, want 1", got)
	}
}

func TestStoresWhereRecordsStand(t *testing.T) {
	w := newDeployment(t)
	w.add(50, "ann", "bob", "cid")
	stop := w.start()
	w.AwaitPublished()
	stop()
	for _, r := range w.log() {
		n := w.Int("SELECT count(*) FROM outbox WHERE id = $1 AND partition = $2 AND log_offset = $3 AND relay_id = $4 AND relay_seq = $5",
			r.id, r.partition, r.offset, [16]byte(r.sequence.Relay), r.sequence.Seq)
		if n != 1 {
			t.Errorf("%s is not where its row says", r.id)
		}
	}
	if n := w.Int("SELECT sum(next_offset) FROM relay_partitions WHERE topic = 'applylens.actions'"); n != 50 {
		t.Errorf("ends of the partitions add up to %d, want 50", n)
	}
}

func TestOrderUnderProduceErrors(t *testing.T) {
	for _, failure := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.UnknownServerError, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		t.Run(failure.Message, func(t *testing.T) {
			t.Parallel()
			w := newDeployment(t)
			var n atomic.Int64
			w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: failure, Count: -1,
				When: func(kmsg.Request) bool { return n.Add(1)%2 == 1 && n.Load() < 10 }})
			w.start()
			for range 10 {
				w.add(20, "ann", "bob", "cid", "dan", "eve")
				w.Signal.Set()
			}
			w.AwaitPublished()
			w.checkLog()
		})
	}
}

func TestAmbiguousAnswerIsSettledByTheLog(t *testing.T) {
	w := newDeployment(t)
	// The records are in the log, but the answer says that nobody knows.
	timeout := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 2})
	w.start()
	w.add(90, "ann", "bob", "cid", "dan")
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 0 || timeout.Hits() != 2 {
		t.Errorf("%d repeats after %d unclear answers, want none after 2", repeats, timeout.Hits())
	}
}

func TestRepeatsWhenTheAppendComesLate(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.untilReconciled()
	w.add(1, "ann")
	w.AwaitPublished()
	// The first request is held back until the relay has given it up and published the same again.
	var held *kmsg.ProduceRequest
	w.Cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		held = request.(*kmsg.ProduceRequest)
		return nil, context.DeadlineExceeded, true
	})
	w.add(5, "ann")
	w.AwaitPublished()
	w.resend(held)
	w.add(5, "ann")
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 5 {
		t.Errorf("%d repeats, want 5", repeats)
	}
	if n := w.metric(w.metrics.republished); n != 5 {
		t.Errorf("republished_total = %d, want 5", n)
	}
}

func TestLateCommitIsNotLost(t *testing.T) {
	w := newDeployment(t)
	w.start()
	late, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer late.Rollback(context.Background())
	w.Must(outbox.Insert(t.Context(), late, w.row("ann"), w.row("bob")))
	w.insert(w.row("cid"))
	w.Signal.Set()
	w.Until("the row with the greater seq is published", func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE published_at IS NOT NULL") == 1
	})
	w.Must(late.Commit(t.Context()))
	w.AwaitPublished()
	if ids, _ := effects(t, w.log()); len(ids[0])+len(ids[1])+len(ids[2]) != 3 {
		t.Errorf("effects %v, want all three events", ids)
	}
}

func TestNotificationWakes(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.untilReconciled()
	waker := &outbox.Waker{Pool: w.Pool}
	w.add(1, "ann")
	waker.Wake()
	w.AwaitPublished()
	w.checkLog()
}

func TestLeaderLossGoesOn(t *testing.T) {
	w := newDeployment(t)
	w.start()
	for terms := range 5 {
		w.Until("another term has begun", func() bool { return w.Int("SELECT count(*) FROM relays") > terms })
		w.add(40, "ann", "bob", "cid", "dan", "eve")
		w.Signal.Set()
		w.killLeader()
	}
	w.AwaitPublished()
	w.checkLog()
}

func TestTwoRelays(t *testing.T) {
	w := newDeployment(t)
	first := w.start()
	w.untilReconciled()
	w.start()
	w.add(100, "ann", "bob", "cid")
	w.AwaitPublished()
	if n := w.Int("SELECT count(*) FROM relays"); n != 1 {
		t.Errorf("%d terms while one relay leads, want 1", n)
	}
	first()
	w.add(100, "ann", "bob", "cid")
	w.AwaitPublished()
	w.checkLog()
	if n := w.Int("SELECT count(*) FROM relays"); n != 2 {
		t.Errorf("%d terms after the leader went, want 2", n)
	}
}

func TestSequencedRowsOfEarlierTermGoFirst(t *testing.T) {
	w := newDeployment(t)
	refuse := w.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	stop := w.start()
	w.add(60, "ann", "bob", "cid", "dan")
	w.Until("all rows have relay sequences", func() bool {
		return w.Int("SELECT count(*) FROM outbox WHERE relay_id IS NULL") == 0
	})
	stop()
	refuse.Remove()
	w.add(60, "ann", "bob", "cid", "dan")
	w.start()
	w.AwaitPublished()
	w.checkLog()
	if n := w.metric(w.metrics.republished); n != 60 {
		t.Errorf("republished_total = %d, want 60", n)
	}
	if n := w.Int("SELECT count(DISTINCT relay_id) FROM outbox"); n != 2 {
		t.Errorf("rows have sequences of %d terms, want 2: a sequence never changes", n)
	}
}

func TestKafkaDownThenUp(t *testing.T) {
	w := newDeployment(t)
	w.start()
	w.untilReconciled()
	var down atomic.Bool
	down.Store(true)
	w.Cluster.ControlKey(-1, func(kmsg.Request) (kmsg.Response, error, bool) {
		w.Cluster.KeepControl()
		if down.Load() {
			return nil, context.DeadlineExceeded, true // the connection is closed
		}
		return nil, nil, false
	})
	w.add(1000, "ann", "bob", "cid", "dan", "eve", "fay", "gus")
	w.Signal.Set()
	w.Until("the backlog shows", func() bool { return w.metric(w.metrics.rows) == 1000 })
	down.Store(false)
	w.AwaitPublished()
	w.checkLog()
}

func TestPrunesWhatWasSentLongAgo(t *testing.T) {
	w := newDeployment(t)
	w.add(3, "ann")
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.Exec("UPDATE outbox SET published_at = now() - interval '8 days' WHERE seq <= 2")
	w.add(1, "ann")
	w.start()
	w.AwaitPublished()
	w.Until("two rows are pruned", func() bool { return w.Int("SELECT count(*) FROM outbox") == 2 })
}

func TestStaleStatisticsMakeNoQuadraticPlan(t *testing.T) {
	w := newDeployment(t)
	w.add(5000, "ann", "bob")
	w.start()
	w.AwaitPublished()
	w.Exec("ANALYZE outbox") // made when nothing waits
	var list []int64
	var zeros []int32
	for i := range 4000 {
		list, zeros = append(list, int64(i)), append(zeros, 0)
	}
	tx, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer tx.Rollback(context.Background())
	_, err = tx.Exec(t.Context(), "SET LOCAL enable_hashjoin TO off") // by its costs a toss-up with the quadratic plan
	w.Must(err)
	_, err = tx.Exec(t.Context(), "SET LOCAL enable_mergejoin TO off")
	w.Must(err)
	rows, err := tx.Query(t.Context(), "EXPLAIN "+assignSequencesSQL, [16]byte{1}, list, zeros, list)
	w.Must(err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.Must(err)
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Join Filter") {
		t.Errorf("every row is compared with every number:\n%s", text)
	}
}

func TestSequenceIsNeverReplaced(t *testing.T) {
	w := newDeployment(t)
	w.add(1, "ann")
	stop := w.start()
	w.AwaitPublished()
	stop()
	_, err := w.Pool.Exec(t.Context(), assignSequencesSQL, [16]byte{1}, []int64{1}, []int32{0}, []int64{1})
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.ConstraintName != "outbox_stamp" {
		t.Errorf("assigned again: %v, want outbox_stamp to refuse it", err)
	}
}
