package crash

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/world"
)

// TestControls breaks the same things with a guard and without it: with it the tables must be right, or the partition
// halted for the right reason; without it the comparison must fail, or else it proves nothing.
func TestControls(t *testing.T) {
	seed, servers := seed(t), startServers(t)
	tests := []struct {
		name, guard string
		profile     load.Profile
		wreck       func(w *deployment, variables ...string)
		holds       func(w *deployment)
		partitions  int
	}{
		{"compare-and-set", "cas", load.Profile{Users: 400}, zombieCommits, (*deployment).settle, 1},
		{"stamps", "stamps", load.Profile{Users: 400, Repeated: 0.01}, publishedTwice, (*deployment).settle, partitions},
		{"signatures", "signatures", load.Profile{Users: 400}, forgedWhileRunning, (*deployment).settle, partitions},
		{"leader epoch", "epoch", load.Profile{Users: 400, Foreign: 1}, cutAndGrown, (*deployment).haltsAsTruncated, partitions},
	}
	for i, test := range tests {
		t.Run("with "+test.name, func(t *testing.T) {
			w := servers.deployOn(t, "with "+test.name, seed+uint64(i), test.profile, test.partitions)
			test.wreck(w)
			test.holds(w)
		})
		t.Run("without "+test.name, func(t *testing.T) {
			w := servers.deployOn(t, "without "+test.name, seed+uint64(i), test.profile, test.partitions)
			test.wreck(w, "APPLYLENS_BREAK="+test.guard)
			w.Eventually("the comparison fails", func() error {
				if w.compare() == nil {
					return fmt.Errorf("without %s the tables are right all the same", test.name)
				}
				return nil
			})
		})
	}
}

// zombieCommits stops a process in its first transaction until another has folded everything, and lets it go on.
func zombieCommits(w *deployment, variables ...string) {
	w.zombie("after_begin=stop", variables...)
}

// publishedTwice folds a log in which the relay published many records again.
func publishedTwice(w *deployment, variables ...string) {
	w.write(4000, 0)
	if w.events.Summary().Repeated == 0 {
		w.Fatal("nothing was published twice")
	}
	w.consume(variables...)
	w.awaitFolded()
}

// cutAndGrown takes the last records of a partition away, as a leader does that never had them, and lets the log grow
// beyond the position before anybody looks.
func cutAndGrown(w *deployment, variables ...string) {
	for range 10 { // each ends with a batch of its own, so that half of them can be cut
		w.write(300, 0)
	}
	first := w.consume(variables...)
	w.awaitFolded()
	first.stop()
	before, err := w.Ends(events.TopicActions)
	w.Must(err)
	w.kafka.Kill()
	w.cut(cutPartition)
	w.kafka.Start()
	after, err := w.Ends(events.TopicActions)
	w.Must(err)
	if after[cutPartition] >= before[cutPartition] || after[cutPartition] == 0 {
		w.Fatalf("the log ends at %d, and ended at %d before it was cut", after[cutPartition], before[cutPartition])
	}
	w.reopenWriter() // the old one's numbers are not in the log
	for after[cutPartition] < before[cutPartition]+100 {
		w.write(500, 0)
		after, err = w.Ends(events.TopicActions)
		w.Must(err)
	}
	w.consume(variables...)
	if len(variables) > 0 {
		w.awaitFolded()
	}
}

// cutPartition is the one that loses records.
const cutPartition = 1

// cut drops the later half of the batches of a partition while the broker is down, with the indexes, which the broker
// makes again, and the checkpoints, which speak of what is no longer there.
func (w *deployment) cut(partition int) {
	w.Helper()
	dir := filepath.Join(w.kafka.DataDir(), fmt.Sprintf("%s-%d", w.Conn.Topic(events.TopicActions), partition))
	segment := filepath.Join(dir, "00000000000000000000.log")
	data, err := os.ReadFile(segment)
	w.Must(err)
	const head = 12 // base offset and length of what follows
	end := 0
	for end < len(data)/2 && end+head <= len(data) {
		end += head + int(binary.BigEndian.Uint32(data[end+8:]))
	}
	w.Must(os.Truncate(segment, int64(end)))
	for _, pattern := range []string{
		filepath.Join(dir, "*index"), filepath.Join(dir, "*.snapshot"), filepath.Join(w.kafka.DataDir(), "*-offset-checkpoint"),
	} {
		paths, err := filepath.Glob(pattern)
		w.Must(err)
		for _, path := range paths {
			w.Must(os.Remove(path))
		}
	}
}

// haltsAsTruncated waits until every group has halted the cut partition, and holds that nothing of it was applied.
func (w *deployment) haltsAsTruncated() {
	w.Helper()
	ends, err := w.Ends(events.TopicActions)
	w.Must(err)
	for _, group := range w.group {
		w.Eventually(group+" has halted", func() error {
			positions, err := w.Positions(group, events.TopicActions)
			if err != nil {
				return err
			}
			for _, at := range positions {
				if at.Partition != cutPartition {
					continue
				}
				if at.Next >= ends[cutPartition] {
					w.Fatalf("%s went on to %d: %+v", group, ends[cutPartition], at)
				}
				return world.Want(at.Reason == "truncated" && at.State == "halted", "%+v", at)
			}
			return fmt.Errorf("it has no position in partition %d", cutPartition)
		})
	}
}
