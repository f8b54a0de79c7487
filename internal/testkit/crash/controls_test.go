package crash

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
)

// TestControls breaks the same things with a guard and without it: with it the tables must be right, or the partition
// halted for the right reason; without it the comparison must fail, or else it proves nothing.
func TestControls(t *testing.T) {
	seed, servers := seed(t), startServers(t)
	tests := []struct {
		name, guard string
		profile     load.Profile
		wreck       func(w *world, variables ...string)
		holds       func(w *world)
		partitions  int
	}{
		{"compare-and-set", "cas", load.Profile{Users: 400}, zombieCommits, (*world).settle, 1},
		{"stamps", "stamps", load.Profile{Users: 400, Repeated: 0.01}, publishedTwice, (*world).settle, partitions},
		{"leader epoch", "epoch", load.Profile{Users: 400, Foreign: 1}, cutAndGrown, (*world).haltsAsTruncated, partitions},
	}
	for i, test := range tests {
		t.Run("with "+test.name, func(t *testing.T) {
			w := servers.worldOf(t, "with "+test.name, seed+uint64(i), test.profile, test.partitions)
			test.wreck(w)
			test.holds(w)
		})
		t.Run("without "+test.name, func(t *testing.T) {
			w := servers.worldOf(t, "without "+test.name, seed+uint64(i), test.profile, test.partitions)
			test.wreck(w, "APPLYLENS_BREAK="+test.guard)
			eventually(t, "the comparison fails", func() error {
				if w.compare() == nil {
					return fmt.Errorf("without %s the tables are right all the same", test.name)
				}
				return nil
			})
		})
	}
}

// zombieCommits stops a process in its first transaction until another has folded everything, and lets it go on.
func zombieCommits(w *world, variables ...string) {
	w.zombie("after_begin=stop", variables...)
}

// publishedTwice folds a log in which the relay published many records again.
func publishedTwice(w *world, variables ...string) {
	w.write(4000, 0)
	if w.events.Summary().Repeated == 0 {
		w.t.Fatal("nothing was published twice")
	}
	w.consume(variables...)
	w.awaitFolded()
}

// cutAndGrown takes the last records of a partition away, as a leader does that never had them, and lets the log grow
// beyond the position before anybody looks.
func cutAndGrown(w *world, variables ...string) {
	for range 10 { // each ends with a batch of its own, so that half of them can be cut
		w.write(300, 0)
	}
	first := w.consume(variables...)
	w.awaitFolded()
	first.stop()
	before, err := w.ends()
	must(w.t, err)
	w.kafka.Kill()
	w.cut(cutPartition)
	w.kafka.Start()
	after, err := w.ends()
	must(w.t, err)
	if after[cutPartition] >= before[cutPartition] || after[cutPartition] == 0 {
		w.t.Fatalf("the log ends at %d, and ended at %d before it was cut", after[cutPartition], before[cutPartition])
	}
	w.reopenWriter() // the old one's numbers are not in the log
	for after[cutPartition] < before[cutPartition]+100 {
		w.write(500, 0)
		after, err = w.ends()
		must(w.t, err)
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
func (w *world) cut(partition int) {
	w.t.Helper()
	dir := filepath.Join(w.kafka.DataDir(), fmt.Sprintf("%s-%d", w.conn.Topic(events.TopicActions), partition))
	segment := filepath.Join(dir, "00000000000000000000.log")
	data, err := os.ReadFile(segment)
	must(w.t, err)
	const head = 12 // base offset and length of what follows
	end := 0
	for end < len(data)/2 && end+head <= len(data) {
		end += head + int(binary.BigEndian.Uint32(data[end+8:]))
	}
	must(w.t, os.Truncate(segment, int64(end)))
	for _, pattern := range []string{
		filepath.Join(dir, "*index"), filepath.Join(dir, "*.snapshot"), filepath.Join(w.kafka.DataDir(), "*-offset-checkpoint"),
	} {
		paths, err := filepath.Glob(pattern)
		must(w.t, err)
		for _, path := range paths {
			must(w.t, os.Remove(path))
		}
	}
}

// haltsAsTruncated waits until every group has halted the cut partition, and holds that nothing of it was applied.
func (w *world) haltsAsTruncated() {
	w.t.Helper()
	ends, err := w.ends()
	must(w.t, err)
	for _, group := range w.group {
		eventually(w.t, group+" has halted", func() error {
			positions, err := w.positions(group)
			if err != nil {
				return err
			}
			if at := positions[cutPartition]; at.Reason != "truncated" || at.State != "halted" {
				return fmt.Errorf("%+v", at)
			} else if at.Next >= ends[cutPartition] {
				w.t.Fatalf("%s went on to %d: %+v", group, ends[cutPartition], at)
			}
			return nil
		})
	}
}
