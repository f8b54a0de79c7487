package consumers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestGapHaltsAndSkipGoesOn(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	user := w.UsersOf(1, 1)[0]
	w.Publish(w.Own(world.Decision(user, 0)))
	w.AwaitWeights()
	stop()
	for n := 1; n <= 9; n++ {
		w.Publish(w.Own(world.Decision(user, n)))
	}
	w.DeleteBefore(events.TopicActions, 1, 4)
	w.Start(w.Weights())
	if got := w.AwaitHalt(ledger.ReasonGap); got != 1 {
		t.Fatalf("partition %d halted, want 1", got)
	}
	if got := w.Weight(user, "category:promo"); got != 0.2 {
		t.Errorf("weight %v while halted, want 0.2", got)
	}
	moves, err := w.Operator().Skip(t.Context(), 1, 6)
	w.Must(err)
	if diff := cmp.Diff([]operate.Move{{Partition: 1, From: 1, To: 6, Lost: 3, Skipped: 2, Was: "gap"}}, moves); diff != "" {
		t.Error(diff)
	}
	w.AwaitWeights()
	if got := w.Weight(user, "category:promo"); got != 1 { // 0 and 6..9
		t.Errorf("weight %v, want 1", got)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 7, Applied: 5, DeadLettered: 2}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

// What a gap advises gives the lost records up and reads all that is left.
func TestGapsRemedyGoesOn(t *testing.T) {
	w := grouptest.New(t)
	user := w.UsersOf(1, 1)[0]
	for n := range 5 {
		w.Publish(w.Own(world.Decision(user, n)))
	}
	stop := w.Start(w.Weights())
	w.AwaitWeights()
	stop()
	for n := 5; n < 10; n++ {
		w.Publish(w.Own(world.Decision(user, n)))
	}
	w.DeleteBefore(events.TopicActions, 1, 7)
	w.Start(w.Weights())
	w.AwaitHalt(ledger.ReasonGap)
	if diff := cmp.Diff([]operate.Move{{Partition: 1, From: 5, To: 7, Lost: 2, Was: "gap"}}, w.FollowRemedy(0, -1)); diff != "" {
		t.Error(diff)
	}
	w.AwaitWeights()
	if got := w.Weight(user, "category:promo"); got != 1.6 { // 0..4 and 7..9
		t.Errorf("weight %v, want 1.6", got)
	}
}

// Too many dead letters: the one command goes on dead-lettering, the other passes over the rest.
func TestDeadLettersRemediesGoOn(t *testing.T) {
	for n, want := range []world.Ledger{
		{Fetched: 11, Applied: 1, DeadLettered: 10}, // skip to the good one behind the rubbish
		{Fetched: 11, Applied: 1, DeadLettered: 10}, // adopt
	} {
		w := grouptest.New(t)
		user := w.UsersOf(1, 1)[0]
		for range 10 {
			w.Publish(ourJunk(w, user, 0))
		}
		w.Publish(w.Own(world.Decision(user, 1)))
		w.Start(w.Weights(func(c *consumers.Config) { c.DeadLetterLimit = 5 }))
		w.AwaitHalt(ledger.ReasonDeadLetters)
		w.FollowRemedy(n, 10)
		w.AwaitWeights()
		if diff := cmp.Diff(want, w.Ledger("weights")); diff != "" {
			t.Errorf("command %d: %s", n, diff)
		}
	}
}

func TestRecreatedTopicHaltsAndAdoptGoesOn(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)), w.Own(world.Decision("ann", 1)))
	w.AwaitWeights()
	stop()
	w.RecreateTopic(events.TopicActions)
	w.NewRelay()
	w.Publish(w.Own(world.Decision("ann", 2)), w.Own(world.Decision("ann", 3)), w.Own(world.Decision("ann", 4)))
	w.Start(w.Weights())
	w.AwaitHalt(ledger.ReasonRecreated)
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v while halted, want 0.4", got)
	}
	w.FollowRemedy(0, -1)
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 1 {
		t.Errorf("weight %v, want 1", got)
	}
}

func TestGrownTopicHaltsAndAdoptGoesOn(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)))
	w.AwaitWeights()
	stop()
	grown, err := w.Conn.Admin.UpdatePartitions(t.Context(), 2*w.Partitions, w.Conn.Topic(events.TopicActions))
	w.Must(err)
	w.Must(grown.Error())
	w.Start(w.Weights())
	w.AwaitHalt(ledger.ReasonGrown)
	w.FollowRemedy(0, -1)
	w.Publish(w.Own(world.Decision("ann", 1)))
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 0.4 {
		t.Errorf("weight %v, want 0.4", got)
	}
}

func TestRewindRepeats(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)), w.Foreign(world.Decision("ann", 1)), w.Own(world.Decision("ann", 2)))
	w.AwaitWeights()
	_, err := w.Operator().Rewind(t.Context(), w.PartitionOf("ann"), 0)
	w.Must(err)
	w.AwaitFetched("weights", 6)
	if diff := cmp.Diff(world.Ledger{Fetched: 6, Applied: 3, Repeated: 3}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if got := w.Weight("ann", "category:promo"); got != float64(3)/5 {
		t.Errorf("weight %v, want 0.6", got)
	}
}

func TestAbortedTransactionsHaveNoEffect(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	transactional, err := kgo.NewClient(kgo.SeedBrokers(w.Conn.Brokers...), kgo.TransactionalID("upstream"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.Must(err)
	defer transactional.Close()
	for n, outcome := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		w.Must(transactional.BeginTransaction())
		w.Must(transactional.ProduceSync(t.Context(), w.Foreign(world.Decision("ann", 2*n)), w.Foreign(world.Decision("ann", 2*n+1))).FirstErr())
		w.Must(transactional.EndTransaction(t.Context(), outcome))
	}
	w.Publish(w.Own(world.Decision("ann", 100)))
	w.AwaitWeights()
	if got := w.Weight("ann", "category:promo"); got != 1 { // two committed pairs and our own
		t.Errorf("weight %v, want 1", got)
	}
	if diff := cmp.Diff(world.Ledger{Fetched: 5, Applied: 5}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}

func TestTwoMembersShareAndHandOver(t *testing.T) {
	w := grouptest.New(t)
	stopFirst := w.Start(w.Weights())
	second := w.Weights(func(c *consumers.Config) { c.Owner = "second" })
	w.Start(second)
	w.Eventually("both own partitions", func() error {
		owners := world.Scalar[int](w, "SELECT count(DISTINCT owner) FROM positions WHERE group_name = 'weights' AND owner <> ''")
		return world.Want(owners == 2, "%d owners", owners)
	})
	for n := range 50 {
		w.Publish(w.Own(world.Decision("ann", n)), w.Own(world.Decision("ben", n)), w.Own(world.Decision("cid", n)))
		if n == 25 {
			stopFirst()
		}
	}
	w.AwaitWeights()
	for _, user := range []string{"ann", "ben", "cid"} {
		if got := w.Weight(user, "category:promo"); got != 10 {
			t.Errorf("%s has weight %v, want 10", user, got)
		}
	}
}

// A worker that lost its position to another must not write, however late it comes.
func TestZombieIsFenced(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)))
	w.AwaitWeights()
	// Another owner claims the position and folds the next record, as a rebalance would have it.
	w.Exec("UPDATE positions SET owner_epoch = owner_epoch + 1, next_offset = next_offset + 1 WHERE partition = $1", w.PartitionOf("ann"))
	w.Publish(w.Own(world.Decision("ann", 1)), w.Own(world.Decision("ann", 2)))
	w.Eventually("the position is claimed again", func() error {
		state := world.Scalar[string](w, "SELECT next_offset || ' ' || state || ' ' || halt_reason FROM positions WHERE partition = $1", w.PartitionOf("ann"))
		return world.Want(state == "2 halted sequence", "%s", state)
	})
	if got := w.Weight("ann", "category:promo"); got != 0.2 {
		t.Errorf("weight %v: the zombie wrote", got)
	}
}

// terminate ends every other connection of the test's database, and tells how many there were.
func terminate(ctx context.Context, w *grouptest.Loop) (ended int) {
	rows, err := w.Pool.Query(ctx, `
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
	w := grouptest.New(t)
	w.Start(w.Weights(func(c *consumers.Config) { c.BatchRecords = 10 }))
	ended := 0
	for n := range 300 {
		w.Publish(w.Own(world.Decision(fmt.Sprint("user-", n%7), n)))
		if n%10 == 0 {
			ended += terminate(t.Context(), w)
		}
	}
	if ended == 0 {
		t.Fatal("no connection was ended, so nothing was tried")
	}
	w.Pool.Reset() // the test itself is to ask by connections that live
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 300, Applied: 300}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
}
