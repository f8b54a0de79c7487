package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// guard is a rule of the loop that a run can disable.
type guard string

const (
	compareAndSet guard = "the position is compared before it is moved"
	ownerEpoch    guard = "the owner is compared too"
	leaderEpoch   guard = "the end of the leader epoch is compared with the position"
	topicID       guard = "the topic's id is compared after every fetch, not at the claim only"
	settling      guard = "an unknown COMMIT is settled by the compare-and-set, not taken for done"
	mirrorLast    guard = "the mirror is written after the commit"
)

// settings of a run.
type settings struct {
	partitions int
	faults     int // in total
	without    guard
	overlook   invariant // not checked, to see the consequences of breaking it
	only       []string  // the faults that may happen; nil: all
}

func (c *settings) has(g guard) bool { return c.without != g }

// step is one action of a trace.
type step struct {
	name              string
	worker, partition int8 // -1: none
	argument          int8
}

func (s step) String() string {
	var b strings.Builder
	b.WriteString(s.name)
	if s.worker >= 0 {
		fmt.Fprintf(&b, " worker=%d", s.worker)
	}
	if s.partition >= 0 {
		fmt.Fprintf(&b, " partition=%d", s.partition)
	}
	if s.argument != 0 {
		fmt.Fprintf(&b, " %d", s.argument)
	}
	return b.String()
}

// result is the result of a run.
type result struct {
	states  int
	actions map[string]int // how often each was possible
	broken  invariant      // empty: none
	trace   []step         // the shortest trace to it
}

func (r *result) String() string {
	lines := make([]string, 0, len(r.trace)+1)
	lines = append(lines, fmt.Sprintf("%d states; broken: %q", r.states, r.broken))
	for i, step := range r.trace {
		lines = append(lines, fmt.Sprintf("%3d %s", i+1, step))
	}
	return strings.Join(lines, "\n")
}

// visit records how a state was first reached.
type visit struct {
	from int32
	step step
}

// reached is a state to continue from.
type reached struct {
	state
	visit int32
}

// fingerprint is a 128-bit hash of a state; collisions are not expected.
type fingerprint [2]uint64

// explore visits every reachable state in order of distance, until one breaks an invariant.
func explore(c settings) *result {
	seeds := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	seen := map[fingerprint]struct{}{}
	visits := []visit{{from: -1}}
	found := &result{actions: map[string]int{}}
	first := initial(c.partitions, c.faults)
	queue := []reached{{first, 0}}
	for len(queue) > 0 {
		var next []reached
		for i := range queue {
			at := &queue[i]
			at.steps(&c, func(taken step, to *state) bool {
				found.actions[taken.name]++
				mark := fingerprint{maphash.Comparable(seeds[0], *to), maphash.Comparable(seeds[1], *to)}
				if _, known := seen[mark]; known {
					return true
				}
				seen[mark] = struct{}{}
				visits = append(visits, visit{at.visit, taken})
				if found.broken = to.check(&c); found.broken != "" {
					return false
				}
				next = append(next, reached{*to, int32(len(visits) - 1)})
				return true
			})
			if found.broken != "" {
				found.states, found.trace = len(seen), trace(visits)
				return found
			}
		}
		queue = next
	}
	found.states = len(seen)
	return found
}

// trace returns the steps to the last visit.
func trace(visits []visit) []step {
	var back []step
	for at := int32(len(visits) - 1); visits[at].from >= 0; at = visits[at].from {
		back = append(back, visits[at].step)
	}
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	return back
}
