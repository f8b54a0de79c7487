package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// publishMixture writes own and foreign decisions, repeats and a bad record.
func (w *world) publishMixture(from, to int) {
	w.t.Helper()
	for n := from; n < to; n++ {
		user := fmt.Sprint("user-", n%11)
		own := w.own(decision(user, n))
		foreign := w.foreign(decision(user, 100_000+n, rejected))
		w.publish(own, foreign)
		if n%7 == 0 {
			w.publish(own, foreign)
		}
		if n%50 == 0 {
			bad := w.foreign(decision(user, 200_000+n))
			bad.Value = []byte("{}")
			w.publish(bad)
		}
	}
}

func TestRebuildEqualsLiveAndSwaps(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publishMixture(0, 100)
	w.folded("weights", events.TopicActions)
	version, err := consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	w.publishMixture(100, 130)
	compared, err := consumers.Compare(t.Context(), w.weights())
	must(t, err)
	if !compared.Equal() || compared.Tables[0].Rows == 0 {
		t.Fatalf("the rebuilt version differs: %+v", compared)
	}
	if _, err := consumers.Swap(t.Context(), w.pool, "weights", version, -1, "tester", "test"); err != nil {
		t.Fatal(err)
	}
	w.publishMixture(130, 140)
	w.folded("weights", events.TopicActions)
	before := w.dump()
	if _, err := consumers.Rollback(t.Context(), w.pool, "weights", "tester", "test"); err != nil {
		t.Fatal(err)
	}
	w.publishMixture(140, 141)
	w.folded("weights", events.TopicActions)
	w.publishMixture(141, 142)
	w.folded("weights", events.TopicActions)
	if diff := cmp.Diff(len(before), len(w.dump())); diff != "" {
		t.Error(diff)
	}
	must(t, consumers.DropVersion(t.Context(), w.pool, w.weights().Group, version))
	versions, err := consumers.Versions(t.Context(), w.pool, "weights")
	must(t, err)
	if len(versions) != 1 || versions[0].State != "live" {
		t.Errorf("versions after the drop: %+v", versions)
	}
}

// TestMuchIsRebuiltPartitionByPartition: one that halts does not keep the others from their ends.
func TestMuchIsRebuiltPartitionByPartition(t *testing.T) {
	w := newWorld(t)
	const count, broken = 24_000, 1
	var list []*kgo.Record
	for n := range count {
		if n == count/2 {
			w.seqs[broken] += 5 // numbers that never come
		}
		list = append(list, w.own(decision(fmt.Sprint("user-", n%300), n)))
	}
	w.publish(list...)
	_, err := consumers.Rebuild(t.Context(), w.weights(), false)
	var halt *consumers.HaltError
	if !errors.As(err, &halt) || halt.Reason != consumers.HaltSequence {
		t.Fatalf("the rebuild ended with %v", err)
	}
	ends, err := w.conn.Admin.ListEndOffsets(t.Context(), w.conn.Topic(events.TopicActions))
	must(t, err)
	for p := range int32(partitions) {
		end, _ := ends.Lookup(w.conn.Topic(events.TopicActions), p)
		var next int64
		must(t, w.pool.QueryRow(t.Context(), "SELECT next_offset FROM positions WHERE version = 2 AND partition = $1", p).Scan(&next))
		if reached := next == end.Offset; reached != (p != broken) || next == 0 {
			t.Errorf("partition %d stands at %d of %d", p, next, end.Offset)
		}
	}
	var rows, sum int
	const built = "SELECT count(*), sum(approvals) FROM weight_counts WHERE version = 2"
	must(t, w.pool.QueryRow(t.Context(), built).Scan(&rows, &sum))
	var folded int
	must(t, w.pool.QueryRow(t.Context(), "SELECT sum(applied) FROM positions WHERE version = 2").Scan(&folded))
	if rows != 300 || sum != folded {
		t.Errorf("%d rows of %d approvals, want 300 of %d", rows, sum, folded)
	}
}

func TestRenewBuildsByThisBinarysRule(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	w.publishMixture(0, 60)
	w.folded("weights", events.TopicActions)
	stop()
	before := w.dump()
	must(t, consumers.Renew(t.Context(), w.weights(), 0, "tester"))
	if version, _ := w.liveRule(); version != 1 {
		t.Fatalf("version %d is live, though version 1 was folded by this rule", version)
	}
	newer := w.weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion++ })
	must(t, consumers.Renew(t.Context(), newer, 0, "tester"))
	if version, rule := w.liveRule(); version != 2 || rule != newer.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 2 of rule %d", version, rule, newer.Group.FoldVersion)
	}
	if diff := cmp.Diff(before, w.dump()); diff != "" {
		t.Error(diff)
	}
	w.start(newer)
	w.publishMixture(60, 61)
	w.folded("weights", events.TopicActions)
}

// TestAnEmptyVersionTakesTheBinarysRule: the version that a migration made is no reason to build another one.
func TestAnEmptyVersionTakesTheBinarysRule(t *testing.T) {
	w := newWorld(t)
	newer := w.weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion += 2 })
	must(t, consumers.Renew(t.Context(), newer, 0, "tester"))
	if version, rule := w.liveRule(); version != 1 || rule != newer.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 1 of rule %d", version, rule, newer.Group.FoldVersion)
	}
	newest := w.weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion += 3 })
	stop := w.start(newest)
	w.publishMixture(0, 60)
	w.folded("weights", events.TopicActions)
	stop()
	w.start(newer) // has to wait: what is there was folded by another rule
	w.wait("the older binary's complaint", func() (bool, string) {
		return strings.Contains(w.logs.String(), "was folded by rule"), w.logs.String()
	})
	if version, rule := w.liveRule(); version != 1 || rule != newest.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 1 of rule %d", version, rule, newest.Group.FoldVersion)
	}
}

// liveRule returns the number of the live version of weights and the rule that folded it.
func (w *world) liveRule() (version, rule int) {
	w.t.Helper()
	versions, err := consumers.Versions(w.t.Context(), w.pool, "weights")
	must(w.t, err)
	for _, v := range versions {
		if v.State == "live" {
			return v.Version, v.FoldVersion
		}
	}
	return 0, 0
}

// dump returns the live weights as text.
func (w *world) dump() map[string]float64 {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), "SELECT user_id || ' ' || feature, weight FROM user_weights")
	must(w.t, err)
	defer rows.Close()
	found := map[string]float64{}
	for rows.Next() {
		var key string
		var weight float64
		must(w.t, rows.Scan(&key, &weight))
		found[key] = weight
	}
	return found
}

func TestDiffFindsWhatDiffers(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publishMixture(0, 20)
	w.folded("weights", events.TopicActions)
	_, err := consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	_, err = w.pool.Exec(t.Context(), "UPDATE weight_counts_1 SET approvals = approvals + 1 WHERE user_id = 'user-3'")
	must(t, err)
	compared, err := consumers.Compare(t.Context(), w.weights())
	must(t, err)
	if compared.Equal() || compared.Tables[0].OnlyLive != 1 || compared.Tables[0].OnlyOther != 1 {
		t.Errorf("one changed row gives %+v", compared.Tables)
	}
}

func TestSwapRefusesAVersionThatIsBehind(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	version, err := consumers.CreateVersion(t.Context(), w.pool, w.weights().Group)
	must(t, err)
	w.publishMixture(0, 20)
	w.folded("weights", events.TopicActions)
	if _, err := consumers.Swap(t.Context(), w.pool, "weights", version, 5, "tester", "test"); !errors.Is(err, consumers.ErrBehind) {
		t.Errorf("the swap of an empty version gives %v", err)
	}
}

// A rebuild that is interrupted again and again ends with the same rows.
func TestRebuildResumes(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publishMixture(0, 60)
	w.folded("weights", events.TopicActions)
	small := func(c *consumers.Config) { c.FetchBytes = 1024 }
	for {
		ctx, cancel := context.WithCancel(t.Context())
		progressed := make(chan struct{})
		go func() {
			w.progressOf(ctx)
			cancel()
			close(progressed)
		}()
		_, err := consumers.Rebuild(ctx, w.weights(small), false)
		cancel()
		<-progressed
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	compared, err := consumers.Compare(t.Context(), w.weights())
	must(t, err)
	if !compared.Equal() {
		t.Errorf("an interrupted rebuild differs: %+v", compared)
	}
}

// progressOf returns when the version that is being built has moved, or ctx ends.
func (w *world) progressOf(ctx context.Context) {
	sum := func() (total int64) {
		_ = w.pool.QueryRow(ctx, "SELECT COALESCE(sum(next_offset), 0) FROM positions p JOIN versions USING (group_name, version) WHERE versions.state = 'building'").Scan(&total)
		return total
	}
	for before := sum(); ctx.Err() == nil && sum() == before; {
	}
}

func TestRedriveIsFoldedOnceByItsGroup(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	good := w.foreign(decision("ann", 1))
	pretender := w.foreign(decision("ann", 2))
	pretender.Key = []byte("ben") // refused for its key
	pretender.Partition = int32(partitionOf("ben"))
	conflict := w.foreign(decision("ann", 1, func(e *events.Event) { e.Action.Features = []string{"category:spam"} }))
	w.publish(good, pretender)
	w.folded("weights", events.TopicActions)
	w.publish(conflict)
	w.folded("weights", events.TopicActions)
	letters, err := consumers.ListDeadLetters(t.Context(), w.pool, consumers.DeadLetterFilter{Group: "weights", State: "open", Limit: 10})
	must(t, err)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	for _, letter := range letters {
		err := consumers.Redrive(t.Context(), w.pool, w.conn, letter.ID, "tester", false)
		if (letter.Reason == "conflict") != (err != nil) {
			t.Errorf("redriving a dead letter with reason %s gives %v", letter.Reason, err)
		}
	}
	for _, letter := range letters {
		if letter.Reason != "conflict" {
			if err := consumers.Redrive(t.Context(), w.pool, w.conn, letter.ID, "tester", false); err == nil {
				t.Error("a dead letter was redriven twice")
			}
			continue
		}
		must(t, consumers.Redrive(t.Context(), w.pool, w.conn, letter.ID, "tester", true))
	}
	if got := w.relayOutbox(); got != 2 {
		t.Fatalf("%d rows in the outbox, want 2", got)
	}
	w.folded("weights", events.TopicActions)
	if got := w.weight("ann", "category:spam"); got != 0.2 {
		t.Errorf("the forced conflict gives %v, want 0.2", got)
	}
	if diff := cmp.Diff(map[string]int{"conflict": 1, "key": 2}, w.deadReasons("weights")); diff != "" {
		t.Error(diff) // the wrong key is as wrong as before
	}
}

// A drop that was interrupted while it waited for a reader can be repeated, and the version is nobody's meanwhile.
func TestInterruptedDropIsRepeated(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publishMixture(0, 10)
	w.folded("weights", events.TopicActions)
	group := w.weights().Group
	version, err := consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	reader, err := w.pool.Begin(t.Context())
	must(t, err)
	defer reader.Rollback(context.Background()) //nolint:errcheck // it only reads
	_, err = reader.Exec(t.Context(), "SELECT count(*) FROM weight_counts; SELECT count(*) FROM repeats")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := make(chan error, 1)
	go func() { interrupted <- consumers.DropVersion(ctx, w.pool, group, version) }()
	w.wait("the drop to wait for the reader", func() (bool, string) {
		var pending int
		must(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_inherits WHERE inhdetachpending").Scan(&pending))
		return pending == 1, fmt.Sprint(pending, " pending")
	})
	if _, err := consumers.Swap(t.Context(), w.pool, "weights", version, -1, "tester", "test"); err == nil {
		t.Error("a version that is being dropped became live")
	}
	cancel()
	if err := <-interrupted; err == nil {
		t.Fatal("the drop did not wait for the reader, so nothing was interrupted")
	}
	must(t, reader.Rollback(t.Context()))
	must(t, consumers.DropVersion(t.Context(), w.pool, group, version))
	if err := consumers.DropVersion(t.Context(), w.pool, group, 1); err == nil {
		t.Error("the live version was dropped")
	}
	w.publishMixture(10, 20)
	w.folded("weights", events.TopicActions)
}

// Without the table of its version a group waits for somebody to mend it; no record is dead-lettered for it.
func TestMissingTableHalts(t *testing.T) {
	w := newWorld(t)
	w.start(w.weights())
	w.publish(w.own(decision("ann", 0)))
	w.folded("weights", events.TopicActions)
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE weight_counts DETACH PARTITION weight_counts_1")
	must(t, err)
	w.publish(w.own(decision("ann", 1)))
	w.haltedFor("weights", consumers.HaltDatabase)
	if diff := cmp.Diff(map[string]int{}, w.deadReasons("weights")); diff != "" {
		t.Error(diff)
	}
}

// A throttle bounds the rate from the first second on, however large the batches may be.
func TestThrottleHoldsBack(t *testing.T) {
	w := newWorld(t)
	version, err := consumers.CreateVersion(t.Context(), w.pool, w.weights().Group)
	must(t, err)
	var records []*kgo.Record
	for n := range 300 {
		records = append(records, w.own(decision("ann", n)))
	}
	w.publish(records...)
	must(t, consumers.Pace(t.Context(), w.pool, "weights", version, 200, false)) // 100/s for each of two workers
	began := time.Now()
	_, err = consumers.Rebuild(t.Context(), w.weights(), false)
	must(t, err)
	if took := time.Since(began); took < 1800*time.Millisecond {
		t.Errorf("300 records of one partition took %v at 100/s", took)
	}
}
