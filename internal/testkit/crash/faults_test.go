package crash

import (
	"errors"
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/world"
)

// windows are the moments at which a process may die, and the greatest number of the hit at which it does.
var windows = []struct {
	name string
	most int
}{
	{"after_claim", 2}, {"after_fetch", 12}, {"after_begin", 6}, {"after_cas", 6}, {"after_effects", 6}, {"before_commit", 6},
	{"after_commit", 6}, {"after_mirror", 4}, {"deadletter_after_insert", 3},
}

// TestCrashAtEveryWindow kills a process at each moment between two steps, all in worlds of their own at the same time,
// and lets another go on.
func TestCrashAtEveryWindow(t *testing.T) {
	t.Parallel()
	seed, servers := seed(t), startServers(t)
	type run struct {
		*deployment
		*process
		rule string
		load func()
	}
	var runs []run
	for i, window := range windows {
		w := servers.deploy(t, "window "+window.name, seed+uint64(i), busy)
		rule := fmt.Sprintf("%s=exit@%d", window.name, 1+w.random.IntN(window.most))
		w.write(500, 0)
		runs = append(runs, run{w, w.consume("APPLYLENS_FAILPOINT=" + rule), rule, w.load(300)})
	}
	for _, r := range runs {
		r.awaitKilled(r.rule)
		r.consume()
	}
	for _, r := range runs {
		r.load()
	}
	for _, r := range runs {
		r.settle()
	}
}

// TestFaults breaks processes and their connections under load, in worlds of their own, and then the servers.
func TestFaults(t *testing.T) {
	seed, servers := seed(t), startServers(t)
	type fault struct {
		name       string
		test       func(*deployment)
		partitions int // of its topics
	}
	run := func(t *testing.T, number int, fault fault) {
		w := servers.deployOn(t, fault.name, seed+uint64(number), busy, fault.partitions)
		fault.test(w)
		w.settle()
	}
	t.Run("of processes", func(t *testing.T) {
		for i, fault := range []fault{
			{"killed at any moment", killedAtAnyMoment, partitions},
			{"rebalance storm", rebalanceStorm, partitions},
			{"zombie that has fetched", zombieFetched, 1},
			{"zombie that has begun", zombieBegun, 1},
			{"commits spoilt", commitsSpoilt, partitions},
			{"sessions terminated", sessionsTerminated, partitions},
			{"rebuilt and swapped", rebuiltAndSwapped, partitions},
			{"killed before the mirror", killedBeforeTheMirror, partitions},
			{"told to end while connections hang", endsBesideHangingConnections, partitions},
			{"forged", func(w *deployment) { forgedWhileRunning(w) }, partitions},
		} {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				run(t, i, fault)
			})
		}
	})
	t.Run("of servers", func(t *testing.T) {
		for i, fault := range []fault{{"database crashes", postgresCrashes, partitions}, {"broker killed", brokerKilled, partitions},
			{"told to end while the broker hangs", endsBesideAHangingBroker, partitions}} {
			t.Run(fault.name, func(t *testing.T) { run(t, 100+i, fault) })
		}
	})
	t.Run("of the topic", func(t *testing.T) { madeAnew(servers.deploy(t, "made anew", seed+200, busy)) })
	t.Run("of one broker", func(t *testing.T) {
		servers.widen(t)
		w := servers.deploy(t, "partitions without a leader", seed+300, busy)
		withoutLeader(w)
		w.settle()
	})
}

// killedAtAnyMoment kills one of two processes, again and again.
func killedAtAnyMoment(w *deployment) {
	loaded := w.load(1000)
	running := []*process{w.consume(), w.consume()}
	for range 3 {
		victim := running[0]
		victim.awaitHit("after_commit", victim.counts()["after_commit"])
		after(w, time.Duration(w.random.IntN(300))*time.Millisecond)
		victim.kill()
		running = append(running[1:], w.consume())
	}
	loaded()
}

// rebalanceStorm lets members come and go all the time; each leaves in order.
func rebalanceStorm(w *deployment) {
	loaded := w.load(1000)
	members := []*process{w.consume(), w.consume()}
	for range 5 {
		newest := w.consume()
		newest.awaitHit("after_claim", 0)
		members[0].stop()
		members = append(members[1:], newest)
	}
	loaded()
}

// zombieFetched stops a process with records in hand for longer than the session timeout, until another has folded
// them, and lets it go on: it must not apply them.
func zombieFetched(w *deployment) {
	w.zombie("after_fetch=stop")
	w.write(1000, 0)
}

// zombieBegun does so within a transaction: the compare-and-set must refuse it.
func zombieBegun(w *deployment) {
	old := w.zombie("after_begin=stop")
	if counts := old.counts(); counts["after_begin"] == 0 || counts["after_cas"] > 0 {
		w.Errorf("%s passed its compare-and-set; hit were %v", old.name, counts)
	}
	w.write(1000, 0)
}

// zombie writes some records and returns the first of two processes, which was stopped as the rule says while the
// other folded everything, went on, and has taken the other's place. They fold one group only, and a topic of one
// partition: another transaction of theirs might be stopped while it holds locks.
func (w *deployment) zombie(rule string, variables ...string) *process {
	w.Helper()
	w.group = groups[:1]
	w.write(4000, 0)
	old := w.consume(append(variables, "APPLYLENS_FAILPOINT="+rule)...)
	old.awaitHit(rule, 0)
	other := w.consume(variables...)
	w.awaitFolded()
	claims := old.counts()["after_claim"]
	old.signal(syscall.SIGCONT)
	other.stop()
	old.awaitHit("after_claim", claims) // after its transaction has ended
	return old
}

// commitsSpoilt eats, drops and holds back the answers to COMMITs.
func commitsSpoilt(w *deployment) {
	w.throughProxy(pgproxy.Seeded(w.random.Uint64(), map[pgproxy.Fault]float64{
		pgproxy.AckEaten: 0.2, pgproxy.DropBefore: 0.2, pgproxy.Freeze: 0.1,
	}))
	w.consume()
	w.write(4000, 1000)
	w.Eventually("every fault has happened", func() error {
		if counts := w.proxy.Counts(); counts.AckEaten < 2 || counts.DropBefore < 2 || counts.Frozen < 1 {
			w.write(50, 0)
			return fmt.Errorf("%+v", counts)
		}
		return nil
	})
	w.proxy.Obey(pgproxy.Healthy)
}

// sessionsTerminated ends the sessions of the processes in PostgreSQL, again and again.
func sessionsTerminated(w *deployment) {
	loaded := w.load(1000)
	w.consume()
	w.consume()
	terminated := 0
	w.Eventually("sessions were terminated", func() error {
		var count int
		err := w.Pool.QueryRow(w.Context(), `
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'applylens consume%' AND xact_start IS NOT NULL`).Scan(&count)
		if terminated += count; err == nil && terminated < 8 {
			err = fmt.Errorf("%d", terminated)
		}
		return err
	})
	loaded()
}

// rebuiltAndSwapped builds another version under load and makes it live, with crashes on the way: what is not committed
// must have had no effect, and what was built must be of use.
func rebuiltAndSwapped(w *deployment) {
	w.write(1000, 0) // so that the first rebuild has something to commit
	loaded := w.load(1000)
	w.consume()
	const group = "weights"
	rebuild := func(verb string) []string { return []string{"rebuild", verb, group} }
	swap := append(rebuild("swap"), "--reason", "test", "--actor", "test")
	crash := func(rule string, arguments []string) {
		w.run(arguments, "APPLYLENS_FAILPOINT="+rule).awaitKilled(rule)
		if live := w.live(group); live != 1 {
			w.Errorf("version %d is live after %s", live, rule)
		}
	}
	crash("after_commit=exit", rebuild("run"))
	w.run(rebuild("run")).awaitDone()
	crash("swap_after_lock=exit", swap)
	crash("swap_after_flip=exit", swap)
	w.run(swap).awaitDone()
	loaded()
	w.settle()
	if live := w.live(group); live != 2 {
		w.Errorf("version %d is live after the swap, want 2", live)
	}
	w.run(append(rebuild("rollback"), "--reason", "test", "--actor", "test")).awaitDone()
	w.write(1000, 0)
}

// postgresCrashes restarts PostgreSQL as after a crash, twice, under load.
func postgresCrashes(w *deployment) {
	loaded := w.load(1000)
	p := w.consume()
	for range 2 {
		p.awaitHit("after_commit", p.counts()["after_commit"])
		w.postgres.Restart(true)
		p.awaitHit("after_commit", p.counts()["after_commit"])
	}
	loaded()
	if p.logged("has to wait") == 0 {
		w.Error("the process noticed nothing")
	}
}

// brokerKilled kills the broker under load and starts it again.
func brokerKilled(w *deployment) {
	loaded := w.load(1000)
	p := w.consume()
	p.awaitHit("after_commit", p.counts()["after_commit"])
	w.kafka.Kill()
	w.Eventually("the process notices", func() error {
		if p.logged("has to wait") == 0 {
			return fmt.Errorf("%s", tail(p.output))
		}
		return nil
	})
	w.kafka.Start()
	loaded()
}

// endsBesideHangingConnections has a process end in order and in time although its connections to the database hang.
func endsBesideHangingConnections(w *deployment) {
	w.throughProxy(pgproxy.Healthy)
	loaded := w.load(1000)
	p := w.consume()
	for range 2 {
		p.awaitHit("after_commit", p.counts()["after_commit"])
		w.proxy.Hang()
		after(w, time.Duration(w.random.IntN(1000))*time.Millisecond)
		p.stop()
		p = w.consume()
	}
	loaded()
}

// endsBesideAHangingBroker has processes end in order and in time although the broker does not answer.
func endsBesideAHangingBroker(w *deployment) {
	loaded := w.load(1000)
	members := []*process{w.consume(), w.consume()}
	for _, p := range members {
		p.awaitHit("after_claim", 0)
	}
	w.kafka.Pause()
	for _, p := range members {
		p.stop()
	}
	w.kafka.Continue()
	w.consume()
	loaded()
}

// withoutLeader takes the leader of some partitions away, from a process that starts then and from one that reads them: it folds
// the others to their ends meanwhile.
func withoutLeader(w *deployment) {
	var p *process
	for range 2 {
		w.write(2000, 0)
		ends, err := w.Ends(events.TopicActions)
		w.Must(err)
		w.second.Kill()
		w.Eventually("some partitions have no leader, and only some", func() error {
			for _, partition := range w.leaderless() {
				delete(ends, partition)
			}
			return world.Want(len(ends) > 0 && len(ends) < w.Partitions, "%d of %d partitions have a leader", len(ends), w.Partitions)
		})
		if p == nil {
			p = w.consume()
		}
		for _, group := range w.group {
			w.Eventually(group+" is at the end of the others", func() error {
				positions, err := w.Positions(group, events.TopicActions)
				left := maps.Clone(ends)
				for _, at := range positions {
					if at.Next == left[at.Partition] {
						delete(left, at.Partition)
					}
				}
				return errors.Join(err, world.Want(len(left) == 0, "left are %v of %+v", left, positions))
			})
		}
		w.second.Start()
		w.awaitFolded()
	}
}

// leaderless returns the partitions that have no leader.
func (w *deployment) leaderless() (list []int32) {
	w.Helper()
	topic := w.Conn.Topic(events.TopicActions)
	metadata, err := w.Conn.Admin.Metadata(w.Context(), topic)
	w.Must(err)
	for _, partition := range metadata.Topics[topic].Partitions {
		if partition.Leader < 0 {
			list = append(list, partition.Partition)
		}
	}
	return list
}

// killedBeforeTheMirror kills a process after its last commit, before that is mirrored to Kafka: the next owner must
// show Kafka's tools that nothing is left to do, although it folds nothing.
func killedBeforeTheMirror(w *deployment) {
	w.group = groups[:1]
	w.write(500, 0)
	const rule = "after_commit=exit"
	for w.folded() != nil {
		w.consume("APPLYLENS_FAILPOINT=" + rule).awaitKilled(rule)
	}
	w.consume()
}

// madeAnew deletes the topic under a process that reads it and makes another of the same name, which grows beyond the
// positions at once: nothing of it may be applied.
func madeAnew(w *deployment) {
	w.write(2000, 0)
	w.consume()
	w.awaitFolded()
	before, err := w.Ends(events.TopicActions)
	w.Must(err)
	deleted, err := w.Conn.Admin.DeleteTopics(w.Context(), w.Conn.Topic(events.TopicActions))
	w.Must(errors.Join(err, deleted.Error()))
	w.Eventually("the topic is made anew", func() error {
		created, err := w.Conn.Admin.CreateTopics(w.Context(), partitions, 1, nil, w.Conn.Topic(events.TopicActions))
		return errors.Join(err, created.Error())
	})
	w.reopenWriter()
	w.write(4000, 0)
	for _, group := range w.group {
		w.Eventually(group+" has halted", func() error {
			positions, err := w.Positions(group, events.TopicActions)
			for _, at := range positions {
				if at.Next > before[at.Partition] {
					w.Fatalf("%s/%d went on in another log: %+v", group, at.Partition, at)
				}
				if at.Reason != "recreated" {
					return fmt.Errorf("%+v", at)
				}
			}
			return err
		})
	}
}
