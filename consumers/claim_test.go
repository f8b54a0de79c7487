package consumers_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
)

// A swap between the look at the versions and the claim must not leave a session on the wrong version.
func TestClaimAfterASwapIsRefused(t *testing.T) {
	w := newWorld(t)
	version, err := consumers.CreateVersion(t.Context(), w.pool, w.weights().Group)
	must(t, err)
	_, err = consumers.Swap(t.Context(), w.pool, "weights", version, -1, "tester", "test")
	must(t, err)
	for _, claim := range []struct {
		version int
		shadow  bool
		want    error
	}{
		{1, false, consumers.ErrFenced},
		{1, true, consumers.ErrFenced},
		{version, true, consumers.ErrFenced},
		{version + 1, false, consumers.ErrFenced},
		{version, false, nil},
	} {
		if err := consumers.Claim(t.Context(), w.weights(), claim.version, claim.shadow); !errors.Is(err, claim.want) {
			t.Errorf("claiming version %d, shadow %v: %v, want %v", claim.version, claim.shadow, err, claim.want)
		}
	}
}

// mirrored returns what Kafka holds as the group's offset in a partition; -1 when there is none.
func (w *world) mirrored(group string, partition int) int64 {
	w.t.Helper()
	offsets, err := w.conn.Admin.FetchOffsets(w.t.Context(), w.conn.GroupID(group))
	must(w.t, err)
	at, ok := offsets.Lookup(w.conn.Topic(events.TopicActions), int32(partition))
	if !ok {
		return -1
	}
	return at.At
}

// The mirror is right again after a claim, whatever somebody did to the group's offsets, and without a new record.
func TestMirrorIsRepairedAtTheClaim(t *testing.T) {
	w := newWorld(t)
	stop := w.start(w.weights())
	w.publish(w.own(decision("ann", 0)), w.own(decision("ann", 1)))
	w.folded("weights", events.TopicActions)
	stop()
	var reset kadm.Offsets
	reset.AddOffset(w.conn.Topic(events.TopicActions), int32(partitionOf("ann")), 0, -1)
	must(t, w.conn.Admin.CommitAllOffsets(t.Context(), w.conn.GroupID("weights"), reset))
	w.start(w.weights())
	w.wait("the mirror", func() (bool, string) {
		at := w.mirrored("weights", partitionOf("ann"))
		return at == 2, fmt.Sprint(at)
	})
}
