package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestRebuildEqualsLiveAndSwaps(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 100)
	w.AwaitWeights()
	version, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	w.PublishMixture(100, 130)
	compared, err := rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	if !compared.Equal() || compared.Tables[0].Rows == 0 {
		t.Fatalf("the rebuilt version differs: %+v", compared)
	}
	if _, err := rebuild.Swap(t.Context(), w.Pool, "weights", version, -1, "tester", "test"); err != nil {
		t.Fatal(err)
	}
	w.PublishMixture(130, 140)
	w.AwaitWeights()
	before := dump(w)
	if _, err := rebuild.Rollback(t.Context(), w.Pool, "weights", "tester", "test"); err != nil {
		t.Fatal(err)
	}
	w.PublishMixture(140, 141)
	w.AwaitWeights()
	w.PublishMixture(141, 142)
	w.AwaitWeights()
	if diff := cmp.Diff(len(before), len(dump(w))); diff != "" {
		t.Error(diff)
	}
	w.Must(ledger.DropVersion(t.Context(), w.Pool, w.Weights().Group.Projection(), version))
	versions, err := ledger.Versions(t.Context(), w.Pool, "weights")
	w.Must(err)
	if len(versions) != 1 || versions[0].State != "live" {
		t.Errorf("versions after the drop: %+v", versions)
	}
}

// TestMuchIsRebuiltPartitionByPartition: one that halts does not keep the others from their ends.
func TestMuchIsRebuiltPartitionByPartition(t *testing.T) {
	w := grouptest.New(t)
	const count, broken = 24_000, 1
	var list []*kgo.Record
	for n := range count {
		if n == count/2 {
			w.Seqs[broken] += 5 // numbers that never come
		}
		list = append(list, w.Own(world.Decision(fmt.Sprint("user-", n%300), n)))
	}
	w.Publish(list...)
	_, err := rebuild.Run(t.Context(), w.Weights(), false)
	var halt *ledger.Halt
	if !errors.As(err, &halt) || halt.Reason != ledger.ReasonSequence {
		t.Fatalf("the rebuild ended with %v", err)
	}
	ends, err := w.Conn.Admin.ListEndOffsets(t.Context(), w.Conn.Topic(events.TopicActions))
	w.Must(err)
	for p := range int32(w.Partitions) {
		end, _ := ends.Lookup(w.Conn.Topic(events.TopicActions), p)
		next := world.Scalar[int64](w, "SELECT next_offset FROM positions WHERE version = 2 AND partition = $1", p)
		if reached := next == end.Offset; reached != (p != broken) || next == 0 {
			t.Errorf("partition %d stands at %d of %d", p, next, end.Offset)
		}
	}
	var rows, sum int
	const built = "SELECT count(*), sum(approvals) FROM weight_counts WHERE version = 2"
	w.Must(w.Pool.QueryRow(t.Context(), built).Scan(&rows, &sum))
	folded := world.Scalar[int](w, "SELECT sum(applied) FROM positions WHERE version = 2")
	if rows != 300 || sum != folded {
		t.Errorf("%d rows of %d approvals, want 300 of %d", rows, sum, folded)
	}
}

func TestRenewBuildsByThisBinarysRule(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.PublishMixture(0, 60)
	w.AwaitWeights()
	stop()
	before := dump(w)
	w.Must(rebuild.Renew(t.Context(), w.Weights(), 0, "tester"))
	if version, _ := liveRule(w); version != 1 {
		t.Fatalf("version %d is live, though version 1 was folded by this rule", version)
	}
	newer := w.Weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion++ })
	w.Must(rebuild.Renew(t.Context(), newer, 0, "tester"))
	if version, rule := liveRule(w); version != 2 || rule != newer.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 2 of rule %d", version, rule, newer.Group.FoldVersion)
	}
	if diff := cmp.Diff(before, dump(w)); diff != "" {
		t.Error(diff)
	}
	w.Start(newer)
	w.PublishMixture(60, 61)
	w.AwaitWeights()
}

// TestAnEmptyVersionTakesTheBinarysRule: the version that a migration made is no reason to build another one.
func TestAnEmptyVersionTakesTheBinarysRule(t *testing.T) {
	w := grouptest.New(t)
	newer := w.Weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion += 2 })
	w.Must(rebuild.Renew(t.Context(), newer, 0, "tester"))
	if version, rule := liveRule(w); version != 1 || rule != newer.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 1 of rule %d", version, rule, newer.Group.FoldVersion)
	}
	newest := w.Weights(func(cfg *consumers.Config) { cfg.Group.FoldVersion += 3 })
	stop := w.Start(newest)
	w.PublishMixture(0, 60)
	w.AwaitWeights()
	stop()
	w.Start(newer) // has to wait: what is there was folded by another rule
	w.Until("the older binary complains", func() bool { return strings.Contains(w.Logs.String(), "was folded by rule") })
	if version, rule := liveRule(w); version != 1 || rule != newest.Group.FoldVersion {
		t.Errorf("version %d of rule %d is live, want version 1 of rule %d", version, rule, newest.Group.FoldVersion)
	}
}

// liveRule returns the number of the live version of weights and the rule that folded it.
func liveRule(w *grouptest.Loop) (version, rule int) {
	w.Helper()
	versions, err := ledger.Versions(w.Context(), w.Pool, "weights")
	w.Must(err)
	for _, v := range versions {
		if v.State == "live" {
			return v.Version, v.FoldVersion
		}
	}
	return 0, 0
}

// dump returns the live weights as text.
func dump(w *grouptest.Loop) map[string]float64 {
	w.Helper()
	return world.Map[string, float64](w, "SELECT user_id || ' ' || feature, weight FROM user_weights")
}

func TestDiffFindsWhatDiffers(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 20)
	w.AwaitWeights()
	_, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	w.Exec("UPDATE weight_counts_1 SET approvals = approvals + 1 WHERE user_id = 'user-3'")
	compared, err := rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	if compared.Equal() || compared.Tables[0].OnlyLive != 1 || compared.Tables[0].OnlyOther != 1 {
		t.Errorf("one changed row gives %+v", compared.Tables)
	}
	w.Exec("UPDATE weight_counts_1 SET approvals = approvals - 1 WHERE user_id = 'user-3'")
	w.Exec("DELETE FROM weight_counts_1 WHERE user_id = 'user-4'")
	w.Exec("UPDATE weight_counts_2 SET pinned = 0, approvals = 7 WHERE user_id IN ('user-5', 'user-6')")
	w.Exec("INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at) SELECT 2, user_id, feature || ',', approvals, rejections, pinned, updated_at FROM weight_counts_1 WHERE user_id = 'user-7'")
	compared, err = rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	table := compared.Tables[0]
	if compared.Equal() || table.OnlyLive != 2 || table.OnlyOther != 4 || table.LiveRows != table.Rows-2 {
		t.Errorf("six differing rows give %+v", table)
	}
	var changed []string
	for _, sample := range table.Samples {
		if strings.Contains(sample.Row, `"user_id": "user-5"`) {
			changed = append(changed, fmt.Sprint(sample.Live, strings.Contains(sample.Row, `"pinned": 0`)))
		}
	}
	if diff := cmp.Diff([]string{"true false", "false true"}, changed); diff != "" {
		t.Errorf("%s in %+v", diff, table.Samples)
	}
}

// Little is folded while a snapshot of the live version is open: it keeps dead rows from being vacuumed.
func TestDiffFoldsBeforeItsSnapshot(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	fill(w, 24_000, w.Partitions)
	w.AwaitWeights()
	_, resume := paused(w)
	w.Exec(`
ALTER TABLE folded ADD snapshots bigint DEFAULT (0);
CREATE FUNCTION note_snapshots() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.snapshots = (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'
                     AND query LIKE '%SELECT partition, next_offset FROM positions%'); -- the last of the snapshot before the fold
    RETURN NEW;
END $$;
CREATE TRIGGER note_snapshots BEFORE INSERT ON folded FOR EACH ROW EXECUTE FUNCTION note_snapshots()`)
	resume()
	wantEqual(w)
	if got := world.Scalar[int](w, "SELECT sum(records) FROM folded"); got != 24_000 {
		t.Errorf("%d records were folded, want 24000", got)
	}
	if got := world.Scalar[int](w, "SELECT count(*) FROM folded WHERE snapshots > 0"); got > 0 {
		t.Errorf("%d batches were folded while a snapshot was open", got)
	}
}

func TestSwapRefusesAVersionThatIsBehind(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	version, err := ledger.CreateVersion(t.Context(), w.Pool, w.Weights().Group.Projection())
	w.Must(err)
	w.PublishMixture(0, 20)
	w.AwaitWeights()
	if _, err := rebuild.Swap(t.Context(), w.Pool, "weights", version, 5, "tester", "test"); !errors.Is(err, rebuild.ErrBehind) {
		t.Errorf("the swap of an empty version gives %v", err)
	}
}

// A swap makes nothing live that nobody has built, and a drop of what does not exist says so.
func TestWhatWasNotBuiltIsRefused(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 5)
	w.AwaitWeights()
	refused := func(what string, err error, part string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s gives %v, want %q", what, err, part)
		}
	}
	swap := func() error {
		_, _, err := rebuild.SwapWhenClose(t.Context(), w.Weights(), -1, "tester", "test")
		return err
	}
	refused("a swap without a version", swap(), "applylens rebuild run weights")
	projection := w.Weights().Group.Projection()
	refused("a drop of no version", ledger.DropVersion(t.Context(), w.Pool, projection, 7), "version 7 of weights does not exist")
	version, err := ledger.CreateVersion(t.Context(), w.Pool, projection)
	w.Must(err)
	refused("a swap of an empty version", swap(), "applylens rebuild run weights")
	if live, _ := liveRule(w); live != 1 {
		t.Errorf("version %d is live", live)
	}
	w.Must(ledger.DropVersion(t.Context(), w.Pool, projection, version))
	refused("a drop that was done before", ledger.DropVersion(t.Context(), w.Pool, projection, version), "does not exist")
}

// A rebuild that is interrupted again and again ends with the same rows.
func TestRebuildResumes(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 60)
	w.AwaitWeights()
	small := func(c *consumers.Config) { c.FetchBytes = 1024 }
	for {
		ctx, cancel := context.WithCancel(t.Context())
		progressed := make(chan struct{})
		go func() {
			progressOf(ctx, w)
			cancel()
			close(progressed)
		}()
		_, err := rebuild.Run(ctx, w.Weights(small), false)
		cancel()
		<-progressed
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	compared, err := rebuild.Compare(t.Context(), w.Weights())
	w.Must(err)
	if !compared.Equal() {
		t.Errorf("an interrupted rebuild differs: %+v", compared)
	}
}

// progressOf returns when the version that is being built has moved, or ctx ends.
func progressOf(ctx context.Context, w *grouptest.Loop) {
	sum := func() (total int64) {
		_ = w.Pool.QueryRow(ctx, "SELECT COALESCE(sum(next_offset), 0) FROM positions p JOIN versions USING (group_name, version) WHERE versions.state = 'building'").Scan(&total)
		return total
	}
	for before := sum(); ctx.Err() == nil && sum() == before; {
	}
}

func TestRedriveIsFoldedOnceByItsGroup(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	good := w.Foreign(world.Decision("ann", 1))
	pretender := w.Foreign(world.Decision("ann", 2))
	pretender.Key = []byte("ben") // refused for its key
	pretender.Partition = int32(w.PartitionOf("ben"))
	conflict := w.Foreign(world.Decision("ann", 1, world.Features("category:spam")))
	w.Publish(good, pretender)
	w.AwaitWeights()
	w.Publish(conflict)
	w.AwaitWeights()
	letters, err := ledger.DeadLetters(t.Context(), w.Pool, ledger.LetterFilter{Group: "weights", State: "open", Limit: 10})
	w.Must(err)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(letters))
	}
	for _, letter := range letters {
		err := operate.Redrive(t.Context(), w.Pool, w.Conn, letter.ID, "tester", false)
		if (letter.Reason == "conflict") != (err != nil) {
			t.Errorf("redriving a dead letter with reason %s gives %v", letter.Reason, err)
		}
	}
	for _, letter := range letters {
		if letter.Reason != "conflict" {
			if err := operate.Redrive(t.Context(), w.Pool, w.Conn, letter.ID, "tester", false); err == nil {
				t.Error("a dead letter was redriven twice")
			}
			continue
		}
		w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, letter.ID, "tester", true))
	}
	if got := w.RelayOutbox(); got != 2 {
		t.Fatalf("%d rows in the outbox, want 2", got)
	}
	w.AwaitWeights()
	if got := w.Weight("ann", "category:spam"); got != 0.2 {
		t.Errorf("the forced conflict gives %v, want 0.2", got)
	}
	if diff := cmp.Diff(map[string]int{"conflict": 1, "key": 2}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff) // the wrong key is as wrong as before
	}
}

// A drop that was interrupted while it waited for a reader can be repeated, and the version is nobody's meanwhile.
func TestInterruptedDropIsRepeated(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 10)
	w.AwaitWeights()
	group := w.Weights().Group
	version, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	reader, err := w.Pool.Begin(t.Context())
	w.Must(err)
	defer reader.Rollback(context.Background()) //nolint:errcheck // it only reads
	_, err = reader.Exec(t.Context(), "SELECT count(*) FROM weight_counts; SELECT count(*) FROM processed_effects_weights_1")
	w.Must(err)
	ctx, cancel := context.WithCancel(t.Context())
	interrupted := make(chan error, 1)
	go func() { interrupted <- ledger.DropVersion(ctx, w.Pool, group.Projection(), version) }()
	w.Eventually("the drop waits for the reader", func() error {
		pending := world.Scalar[int](w, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
		return world.Want(pending == 1, "%d pending", pending)
	})
	if _, err := rebuild.Swap(t.Context(), w.Pool, "weights", version, -1, "tester", "test"); err == nil {
		t.Error("a version that is being dropped became live")
	}
	cancel()
	if err := <-interrupted; err == nil {
		t.Fatal("the drop did not wait for the reader, so nothing was interrupted")
	}
	w.Must(reader.Rollback(t.Context()))
	w.Must(ledger.DropVersion(t.Context(), w.Pool, group.Projection(), version))
	if err := ledger.DropVersion(t.Context(), w.Pool, group.Projection(), 1); err == nil {
		t.Error("the live version was dropped")
	}
	w.PublishMixture(10, 20)
	w.AwaitWeights()
}

// Without the table of its version a group waits for somebody to mend it; no record is dead-lettered for it.
func TestMissingTableHalts(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)))
	w.AwaitWeights()
	w.Exec("ALTER TABLE weight_counts DETACH PARTITION weight_counts_1")
	w.Publish(w.Own(world.Decision("ann", 1)))
	w.AwaitHalt(ledger.ReasonDatabase)
	if diff := cmp.Diff(map[string]int{}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
}

// A throttle bounds the rate from the first second on, however large the batches may be.
func TestThrottleHoldsBack(t *testing.T) {
	w := grouptest.New(t)
	version, err := ledger.CreateVersion(t.Context(), w.Pool, w.Weights().Group.Projection())
	w.Must(err)
	var records []*kgo.Record
	for n := range 300 {
		records = append(records, w.Own(world.Decision("ann", n)))
	}
	w.Publish(records...)
	w.Must(ledger.SetPace(t.Context(), w.Pool, "weights", version, 200, false)) // a third of it for each partition
	began := time.Now()
	_, err = rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	if took := time.Since(began); took < 1800*time.Millisecond {
		t.Errorf("300 records of one partition took %v at 100/s", took)
	}
}
