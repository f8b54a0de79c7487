package consumers_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A swap between the look at the versions and the claim must not leave a session on the wrong version.
func TestClaimAfterASwapIsRefused(t *testing.T) {
	w := grouptest.New(t)
	version, err := ledger.CreateVersion(t.Context(), w.Pool, w.Weights().Group.Projection())
	w.Must(err)
	_, err = rebuild.Swap(t.Context(), w.Pool, "weights", version, -1, "tester", "test")
	w.Must(err)
	for _, claim := range []struct {
		version int
		shadow  bool
		want    error
	}{
		{1, false, ledger.ErrFenced},
		{1, true, ledger.ErrFenced},
		{version, true, ledger.ErrFenced},
		{version + 1, false, ledger.ErrFenced},
		{version, false, nil},
	} {
		if err := consumers.Claim(t.Context(), w.Weights(), claim.version, claim.shadow); !errors.Is(err, claim.want) {
			t.Errorf("claiming version %d, shadow %v: %v, want %v", claim.version, claim.shadow, err, claim.want)
		}
	}
}

// The mirror is right again after a claim, whatever somebody did to the group's offsets, and without a new record.
func TestMirrorIsRepairedAtTheClaim(t *testing.T) {
	w := grouptest.New(t)
	stop := w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 0)), w.Own(world.Decision("ann", 1)))
	w.AwaitWeights()
	stop()
	at := w.PartitionOf("ann")
	reset := make([]int64, w.Partitions) // all to 0
	w.CommitOffsets("weights", events.TopicActions, reset...)
	w.Start(w.Weights())
	w.Eventually("the mirror is right", func() error {
		committed, err := w.CommittedOffsets("weights", events.TopicActions)
		w.Must(err)
		return world.Want(committed[int32(at)] == 2, "%d", committed)
	})
}

// A partition without a leader is claimed when it has one, and holds up no other: neither in a group that is new, whose
// positions begin where Kafka says that the logs do, nor in one that asks where the epochs ended that it has read.
func TestPartitionWithoutLeaderHoldsUpNoClaim(t *testing.T) {
	for name, read := range map[string]bool{"never read": false, "read before": true} {
		t.Run(name, func(t *testing.T) {
			w := grouptest.New(t)
			away := w.PartitionOf("ann")
			var others []*kgo.Record
			for partition := range w.Partitions {
				if partition != away {
					others = append(others, w.Own(world.Decision(w.UsersOf(partition, 1)[0], 0)))
				}
			}
			if read {
				w.Publish(w.Own(world.Decision("ann", 1)))
				w.Publish(others...)
				stop := w.Start(w.Weights())
				w.AwaitWeights()
				stop()
				for i := range others {
					others[i] = w.Own(world.Decision(w.UsersOf(int(others[i].Partition), 1)[0], 2))
				}
			}
			w.Publish(w.Own(world.Decision("ann", 3)))
			w.Publish(others...)
			restore := w.Leaderless(events.TopicActions, away)
			w.Start(w.Weights())
			w.Eventually("the other partitions are folded", func() error {
				positions, err := w.Positions("weights", events.TopicActions)
				if err != nil {
					return err
				}
				folded := 0
				for _, at := range positions {
					if int(at.Partition) != away && at.Next == int64(1+count(read)) {
						folded++
					}
				}
				return world.Want(folded == w.Partitions-1, "positions are %+v", positions)
			})
			restore()
			w.AwaitWeights()
		})
	}
}

func count(one bool) int {
	if one {
		return 1
	}
	return 0
}

// A rebuild folds what can be read, and says what could not.
func TestRebuildFoldsAroundAPartitionWithoutLeader(t *testing.T) {
	w := grouptest.New(t)
	away := w.PartitionOf("ann")
	for partition := range w.Partitions {
		w.Publish(w.Own(world.Decision(w.UsersOf(partition, 1)[0], 0)))
	}
	restore := w.Leaderless(events.TopicActions, away)
	version, err := rebuild.Run(t.Context(), w.Weights(), false)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no answer about partitions [%d]", away)) {
		t.Errorf("rebuilding without the partition: %v, want its name", err)
	}
	folded := "SELECT count(*) FROM positions WHERE version = $1 AND next_offset = 1"
	if n := w.Int(folded, version); n != w.Partitions-1 {
		t.Errorf("%d partitions are folded, want all but one", n)
	}
	restore()
	w.Eventually("the rest is folded", func() error {
		_, err := rebuild.Run(t.Context(), w.Weights(), false)
		return err
	})
	if n := w.Int(folded, version); n != w.Partitions {
		t.Errorf("%d partitions are folded, want all", n)
	}
}

// A version that has folded all that the live one has is compared and swapped in, whether or not the partitions can be read
// now; one that lacks something of a partition that cannot is neither, and the error names the partition.
func TestVersionsAreComparedAroundPartitionsWithoutLeader(t *testing.T) {
	for name, test := range map[string]struct{ all, empty, lacks bool }{
		"it has all":                 {},
		"none can be read":           {all: true},
		"the partition is empty":     {empty: true},
		"it lacks something of that": {lacks: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := grouptest.New(t)
			away := w.PartitionOf("ann")
			for partition := range w.Partitions {
				if partition != away || !test.empty {
					w.Publish(w.Own(world.Decision(w.UsersOf(partition, 1)[0], 0)))
				}
			}
			w.Start(w.Weights())
			w.AwaitWeights()
			cfg := w.Weights()
			if test.empty {
				w.Leaderless(events.TopicActions, away)
			}
			version, err := rebuild.Run(t.Context(), cfg, false)
			if (err != nil) != test.empty {
				t.Fatal(err)
			}
			if test.lacks {
				w.Publish(w.Own(world.Decision("ann", 1)))
			}
			w.Publish(w.Own(world.Decision(w.UsersOf((away+1)%w.Partitions, 1)[0], 1)))
			w.Eventually("the rest is folded", func() error {
				l := w.Ledger("weights")
				want := int64(w.Partitions + 1)
				if test.empty {
					want--
				}
				if test.lacks {
					want++
				}
				return world.Want(l.Applied == want, "%+v, want %d", l, want)
			})
			if test.all { // when it has all of them
				_, err := rebuild.Run(t.Context(), cfg, false)
				w.Must(err)
			}
			unknown := []int{away}
			if test.all {
				unknown = nil
				for partition := range w.Partitions {
					w.Leaderless(events.TopicActions, partition)
					unknown = append(unknown, partition)
				}
			} else if !test.empty {
				w.Leaderless(events.TopicActions, away)
			}
			plan, err := rebuild.MakePlan(t.Context(), &cfg)
			w.Must(err)
			if diff := cmp.Diff(unknown, plan.Unknown); diff != "" || len(plan.Ranges) != w.Partitions-len(unknown) {
				t.Errorf("the plan is %+v", plan)
			}
			compared, err := rebuild.Compare(t.Context(), cfg)
			_, _, swapErr := rebuild.SwapWhenClose(t.Context(), cfg, 1000, "tester", "test")
			if !test.lacks {
				w.Must(errors.Join(err, swapErr))
				if live := w.Int("SELECT live_version FROM projections WHERE group_name = 'weights'"); !compared.Equal() || live != version {
					t.Errorf("compared %+v; live is %d", compared, live)
				}
				return
			}
			for what, err := range map[string]error{"compare": err, "swap": swapErr} {
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no answer about partitions [%d]", away)) {
					t.Errorf("%s: %v, want the partition's name", what, err)
				}
			}
			if !errors.Is(swapErr, rebuild.ErrBehind) {
				t.Errorf("swap: %v", swapErr)
			}
		})
	}
}

// An operator moves a partition that can be read, whatever another is like.
func TestOperatorsMoveAroundAPartitionWithoutLeader(t *testing.T) {
	w := grouptest.New(t)
	for n := range 3 {
		w.Publish(w.Own(world.Decision("ann", n)))
	}
	stop := w.Start(w.Weights())
	w.AwaitWeights()
	stop()
	at := w.PartitionOf("ann")
	away := (at + 1) % w.Partitions
	w.Leaderless(events.TopicActions, away)
	if _, err := w.Operator().Rewind(t.Context(), at, 1); err != nil {
		t.Error(err)
	}
	if moves, err := w.Operator().Skip(t.Context(), at, 3); err != nil || len(moves) != 1 || moves[0].Skipped != 2 {
		t.Errorf("skip: %+v, %v", moves, err)
	}
	if _, err := w.Operator().Skip(t.Context(), away, 1); err == nil {
		t.Error("a partition without a leader can be passed over")
	}
}
