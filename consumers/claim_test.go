package consumers_test

import (
	"errors"
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/rebuild"

	"github.com/applylens/applylens/consumers"
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
