package consumers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// partitionOf returns where the user's events go.
func partitionOf(user string) int { return events.Partition([]byte(user), partitions) }

// usersOf returns count users whose events go to partition.
func usersOf(partition, count int) []string {
	var users []string
	for n := 0; len(users) < count; n++ {
		if user := fmt.Sprint("user-", n); partitionOf(user) == partition {
			users = append(users, user)
		}
	}
	return users
}

func (w *world) operator() *consumers.Operator {
	cfg := w.weights()
	must(w.t, cfg.Validate())
	return &consumers.Operator{Config: &cfg, Actor: "tester", Reason: "test"}
}

// deleteBefore makes the log of a partition begin at offset, as retention does.
func (w *world) deleteBefore(partition int, offset int64) {
	w.t.Helper()
	var before kadm.Offsets
	before.AddOffset(w.conn.Topic(events.TopicActions), int32(partition), offset, -1)
	deleted, err := w.conn.Admin.DeleteRecords(w.t.Context(), before)
	must(w.t, err)
	must(w.t, deleted.Error())
}

func TestGapHaltsAndSkipGoesOn(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	user := usersOf(1, 1)[0]
	w.publish(w.own(decision(user, 0)))
	w.folded("weights", events.TopicActions)
	stop()
	for n := 1; n <= 9; n++ {
		w.publish(w.own(decision(user, n)))
	}
	w.deleteBefore(1, 4)
	w.start(w.weights())
	if got := w.haltedFor("weights", consumers.HaltGap); got != 1 {
		t.Fatalf("partition %d halted, want 1", got)
	}
	if got := w.weight(user, "category:promo"); got != 0.2 {
		t.Errorf("weight %v while halted, want 0.2", got)
	}
	moves, err := w.operator().Skip(t.Context(), 1, 6)
	must(t, err)
	if diff := cmp.Diff([]consumers.Move{{Partition: 1, From: 1, To: 6, Lost: 3, Skipped: 2, Was: "gap"}}, moves); diff != "" {
		t.Error(diff)
	}
	w.folded("weights", events.TopicActions)
	if got := w.weight(user, "category:promo"); got != 1 { // 0 and 6..9
		t.Errorf("weight %v, want 1", got)
	}
	if diff := cmp.Diff(ledger{Fetched: 7, Applied: 5, DeadLettered: 2}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestRecreatedTopicHaltsAndAdoptGoesOn(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	w.publish(w.own(decision("ann", 0)), w.own(decision("ann", 1)))
	w.folded("weights", events.TopicActions)
	stop()
	topic := w.conn.Topic(events.TopicActions)
	_, err := w.conn.Admin.DeleteTopics(t.Context(), topic)
	must(t, err)
	_, err = w.conn.Admin.CreateTopics(t.Context(), partitions, 1, nil, topic)
	must(t, err)
	w.producer.PurgeTopicsFromClient(topic)
	w.newRelay()
	w.publish(w.own(decision("ann", 2)), w.own(decision("ann", 3)), w.own(decision("ann", 4)))
	w.start(w.weights())
	w.haltedFor("weights", consumers.HaltRecreated)
	if got := w.weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v while halted, want 0.4", got)
	}
	_, err = w.operator().Adopt(t.Context(), -1)
	must(t, err)
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 1 {
		t.Errorf("weight %v, want 1", got)
	}
}

func TestGrownTopicHaltsAndAdoptGoesOn(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	w.publish(w.own(decision("ann", 0)))
	w.folded("weights", events.TopicActions)
	stop()
	grown, err := w.conn.Admin.UpdatePartitions(t.Context(), 2*partitions, w.conn.Topic(events.TopicActions))
	must(t, err)
	must(t, grown.Error())
	w.start(w.weights())
	w.haltedFor("weights", consumers.HaltGrown)
	_, err = w.operator().Adopt(t.Context(), -1)
	must(t, err)
	w.publish(w.own(decision("ann", 1)))
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v, want 0.4", got)
	}
}

func TestRewindRepeats(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.own(decision("ann", 0)), w.foreign(decision("ann", 1)), w.own(decision("ann", 2)))
	w.folded("weights", events.TopicActions)
	_, err := w.operator().Rewind(t.Context(), partitionOf("ann"), 0)
	must(t, err)
	w.wait("the records to be read again", func() (bool, string) {
		l := w.ledger("weights")
		return l.Fetched == 6, fmt.Sprintf("%+v", l)
	})
	if diff := cmp.Diff(ledger{Fetched: 6, Applied: 3, Repeated: 3}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if got := w.weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v, want 0.6", got)
	}
}

func TestAbortedTransactionsHaveNoEffect(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	transactional, err := kgo.NewClient(kgo.SeedBrokers(w.conn.Brokers...), kgo.TransactionalID("upstream"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	defer transactional.Close()
	for n, outcome := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		must(t, transactional.BeginTransaction())
		must(t, transactional.ProduceSync(t.Context(), w.foreign(decision("ann", 2*n)), w.foreign(decision("ann", 2*n+1))).FirstErr())
		must(t, transactional.EndTransaction(t.Context(), outcome))
	}
	w.publish(w.own(decision("ann", 100)))
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:promo"); got != 1 { // two committed pairs and our own
		t.Errorf("weight %v, want 1\n%s", got, w.logs.String())
	}
	if diff := cmp.Diff(ledger{Fetched: 5, Applied: 5}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestTwoMembersShareAndHandOver(t *testing.T) {
	w := newWorld(t)
	stopFirst := w.start(w.weights())
	second := w.weights(func(c *consumers.Config) { c.Owner = "second" })
	w.start(second)
	w.wait("both to own partitions", func() (bool, string) {
		var owners int
		must(t, w.pool.QueryRow(t.Context(), "SELECT count(DISTINCT owner) FROM positions WHERE group_name = 'weights' AND owner <> ''").Scan(&owners))
		return owners == 2, fmt.Sprint(owners, " owners")
	})
	for n := range 50 {
		w.publish(w.own(decision("ann", n)), w.own(decision("ben", n)), w.own(decision("cid", n)))
		if n == 25 {
			stopFirst()
		}
	}
	w.folded("weights", events.TopicActions)
	for _, user := range []string{"ann", "ben", "cid"} {
		if got := w.weight(user, "category:promo"); got != 10 {
			t.Errorf("%s has weight %v, want 10", user, got)
		}
	}
}

// A worker that lost its position to another must not write, however late it comes.
func TestZombieIsFenced(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.own(decision("ann", 0)))
	w.folded("weights", events.TopicActions)
	// Another owner claims the position and folds the next record, as a rebalance would have it.
	_, err := w.pool.Exec(t.Context(), "UPDATE positions SET owner_epoch = owner_epoch + 1, next_offset = next_offset + 1 WHERE partition = $1", partitionOf("ann"))
	must(t, err)
	w.publish(w.own(decision("ann", 1)), w.own(decision("ann", 2)))
	w.wait("the position to be claimed again", func() (bool, string) {
		var state string
		must(t, w.pool.QueryRow(t.Context(), "SELECT next_offset || ' ' || state || ' ' || halt_reason FROM positions WHERE partition = $1", partitionOf("ann")).Scan(&state))
		return state == "2 halted sequence", state
	})
	if got := w.weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("weight %v: the zombie wrote", got)
	}
}

// terminate ends every other connection of the test's database, and tells how many there were.
func (w *world) terminate(ctx context.Context) (ended int) {
	rows, err := w.pool.Query(ctx, `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil {
		return 0 // this connection was ended by the round before
	}
	defer rows.Close()
	for rows.Next() {
		ended++
	}
	return ended
}

func TestLostConnectionsOnlyDelay(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights(func(c *consumers.Config) { c.BatchRecords = 10 }))
	ended := 0
	for n := range 300 {
		w.publish(w.own(decision(fmt.Sprint("user-", n%7), n)))
		if n%10 == 0 {
			ended += w.terminate(t.Context())
		}
	}
	if ended == 0 {
		t.Fatal("no connection was ended, so nothing was tried")
	}
	w.pool.Reset() // the test itself is to ask by connections that live
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff(ledger{Fetched: 300, Applied: 300}, w.ledger("weights")); diff != "" {
		t.Error(diff)
	}
}
