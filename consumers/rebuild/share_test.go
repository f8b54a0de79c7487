package rebuild_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// fill writes so many decisions, evenly to the first partitions, that a rebuild folds them partition by partition.
func fill(w *grouptest.Loop, count, partitions int) {
	w.Helper()
	var users [][]string
	for p := range partitions {
		users = append(users, w.UsersOf(p, 100))
	}
	list := make([]*kgo.Record, count)
	for n := range list {
		list[n] = w.Own(world.Decision(users[n%partitions][n/partitions%100], n))
	}
	w.Publish(list...)
}

// as is the configuration of a process that folds one partition at a time.
func as(owner string) func(*consumers.Config) {
	return func(c *consumers.Config) { c.Owner, c.Workers = owner, 1 }
}

// paused makes a version whose rebuild waits until the returned function is called, and records who folds it.
func paused(w *grouptest.Loop) (version int, resume func()) {
	w.Helper()
	version, err := ledger.CreateVersion(w.Context(), w.Pool, w.Weights().Group.Projection())
	w.Must(err)
	w.Must(ledger.SetPace(w.Context(), w.Pool, "weights", version, 0, true))
	w.Exec(`
CREATE TABLE folded (owner text, records bigint);
CREATE FUNCTION note_folded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO folded VALUES (NEW.owner, NEW.next_offset - OLD.next_offset);
    RETURN NULL;
END $$;
CREATE TRIGGER note_folded AFTER UPDATE OF next_offset ON positions FOR EACH ROW WHEN (NEW.version = ` + fmt.Sprint(version) + `) EXECUTE FUNCTION note_folded()`)
	return version, func() { w.Must(ledger.SetPace(w.Context(), w.Pool, "weights", version, 0, false)) }
}

// folded is how many records each process has folded.
func folded(w *grouptest.Loop) map[string]int {
	w.Helper()
	return world.Map[string, int](w, "SELECT owner, sum(records) FROM folded GROUP BY owner")
}

// start runs a rebuild in the background; its end comes out of the channel.
func start(ctx context.Context, w *grouptest.Loop, owner string, follow bool) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := rebuild.Run(ctx, w.Weights(as(owner)), follow)
		ended <- err
	}()
	return ended
}

// awaitOwners waits until each process has claimed a partition of version 2.
func awaitOwners(w *grouptest.Loop, owners ...string) {
	w.Helper()
	w.Eventually("each has claimed a partition", func() error {
		got := world.Map[string, int](w, "SELECT owner, count(*) FROM positions WHERE version = 2 AND owner <> '' GROUP BY owner")
		want := map[string]int{}
		for _, owner := range owners {
			want[owner] = 1
		}
		return world.Want(cmp.Equal(want, got), "%v", got)
	})
}

func wantEqual(w *grouptest.Loop) {
	w.Helper()
	compared, err := rebuild.Compare(w.Context(), w.Weights())
	w.Must(err)
	if !compared.Equal() || compared.Tables[0].Rows == 0 {
		w.Errorf("the rebuilt version differs: %+v", compared)
	}
}

func TestProcessesShareARebuild(t *testing.T) {
	w := grouptest.New(t)
	fill(w, 24_000, w.Partitions)
	_, resume := paused(w)
	one, other := start(t.Context(), w, "one", false), start(t.Context(), w, "other", false)
	awaitOwners(w, "one", "other")
	resume()
	w.Must(<-one)
	w.Must(<-other)
	if got := folded(w); got["one"] < 8000 || got["other"] < 8000 || got["one"]+got["other"] != 24_000 {
		t.Errorf("folded %v", got)
	}
	w.Start(w.Weights())
	w.AwaitWeights()
	wantEqual(w)
}

// A process that dies in the middle of its partition leaves it to the others at once.
func TestPartitionsOfADeadProcessAreFoldedByTheOthers(t *testing.T) {
	w := grouptest.New(t)
	fill(w, 24_000, w.Partitions)
	_, resume := paused(w)
	ctx, die := context.WithCancel(t.Context())
	dying, other := start(ctx, w, "dying", false), start(t.Context(), w, "other", false)
	awaitOwners(w, "dying", "other")
	die()
	<-dying
	resume()
	w.Must(<-other)
	if diff := cmp.Diff(map[string]int{"other": 24_000}, folded(w)); diff != "" {
		t.Error(diff)
	}
	w.Start(w.Weights())
	w.AwaitWeights()
	wantEqual(w)
}

// A process whose lease is lost goes on, and loses at most the partition that another one has claimed meanwhile.
func TestLostLeasesAreNoError(t *testing.T) {
	w := grouptest.New(t)
	fill(w, 24_000, w.Partitions)
	_, resume := paused(w)
	one := start(t.Context(), w, "one", false)
	awaitOwners(w, "one")
	w.Exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	other := start(t.Context(), w, "other", false)
	w.Eventually("the other has claimed the same partition", func() error {
		count := world.Scalar[int](w, "SELECT count(*) FROM positions WHERE version = 2 AND owner = 'other' AND owner_epoch > 1")
		return world.Want(count == 1, "%d", count)
	})
	resume()
	w.Must(<-one)
	w.Must(<-other)
	if got := folded(w); got["one"]+got["other"] != 24_000 {
		t.Errorf("folded %v", got)
	}
	w.Start(w.Weights())
	w.AwaitWeights()
	wantEqual(w)
}

func TestProcessesThatFindNoVersionBuildOne(t *testing.T) {
	w := grouptest.New(t)
	const count = 8
	var building [count]int
	var running sync.WaitGroup
	for i := range building {
		running.Go(func() {
			version, err := ledger.EnsureBuilding(t.Context(), w.Pool, w.Weights().Group.Projection())
			if err != nil {
				t.Error(err)
			}
			building[i] = version.Version
		})
	}
	running.Wait()
	if want := [count]int{2, 2, 2, 2, 2, 2, 2, 2}; building != want {
		t.Errorf("versions %v, want one", building)
	}
}

// The rate of a version is that of all its processes together.
func TestThrottleIsSharedByProcesses(t *testing.T) {
	w := grouptest.New(t)
	const records, rate = 36_000, 6000
	fill(w, records, 2)
	version, _ := paused(w)
	one, other := start(t.Context(), w, "one", false), start(t.Context(), w, "other", false)
	awaitOwners(w, "one", "other")
	began := time.Now()
	w.Must(ledger.SetPace(t.Context(), w.Pool, "weights", version, rate, false))
	w.Must(<-one)
	w.Must(<-other)
	// 18,000 records each, of which those of a second are folded at once.
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("two processes folded %d records within %v at %d/s", records, took, rate)
	}
}

// One follows the log; others are done as soon as it has folded what they would, or wait to follow after it.
func TestOneFollowsAndOthersAreDone(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 50)
	w.AwaitWeights()
	ctx, stop := context.WithCancel(t.Context())
	following := start(ctx, w, "first", true)
	owned := func(owner string) func() error {
		return func() error {
			count := world.Scalar[int](w, "SELECT count(*) FROM positions WHERE version = 2 AND owner = $1 AND next_offset > 0", owner)
			return world.Want(count == w.Partitions, "%s folded %d partitions", owner, count)
		}
	}
	w.Eventually("the first follows", owned("first"))
	w.PublishMixture(50, 60)
	w.Must(<-start(t.Context(), w, "runner", false))
	waiting := start(t.Context(), w, "second", true)
	w.Eventually("the second waits", func() error {
		count := world.Scalar[int](w, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND xact_start < now()")
		return world.Want(count >= 2, "%d wait", count)
	})
	wantEqual(w) // takes the partitions, and gives them back
	stop()
	<-following
	w.PublishMixture(60, 70)
	w.Eventually("the second follows", owned("second"))
	w.AwaitWeights()
	wantEqual(w)
	version, _, err := rebuild.SwapWhenClose(t.Context(), w.Weights(), 0, "tester", "test")
	w.Must(err)
	w.Must(<-waiting) // it was swapped in
	if version != 2 {
		t.Errorf("version %d was swapped in", version)
	}
}

// Who waits for a process that follows the log ends when that one has halted.
func TestWaitingEndsAtAHalt(t *testing.T) {
	w := grouptest.New(t)
	w.PublishMixture(0, 10)
	ctx, stop := context.WithCancel(t.Context())
	following := start(ctx, w, "first", true)
	w.Eventually("the first follows", func() error {
		count := world.Scalar[int](w, "SELECT count(*) FROM positions WHERE version = 2 AND next_offset > 0")
		return world.Want(count == w.Partitions, "%d partitions", count)
	})
	w.Seqs[1] += 5 // numbers that never come
	w.Publish(w.Own(world.Decision(w.UsersOf(1, 1)[0], 1000)))
	err := <-start(t.Context(), w, "second", false)
	var halt *ledger.Halt
	if !errors.As(err, &halt) || halt.Reason != ledger.ReasonSequence {
		t.Errorf("the second ended with %v", err)
	}
	stop()
	<-following
}

// Comparisons at the same time wait for each other.
func TestComparisonsWaitForEachOther(t *testing.T) {
	w := grouptest.New(t)
	w.Start(w.Weights())
	w.PublishMixture(0, 50)
	_, err := rebuild.Run(t.Context(), w.Weights(), false)
	w.Must(err)
	w.PublishMixture(50, 80)
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			if compared, err := rebuild.Compare(t.Context(), w.Weights()); err != nil || !compared.Equal() {
				t.Errorf("%v: %+v", err, compared)
			}
		})
	}
	running.Wait()
}
