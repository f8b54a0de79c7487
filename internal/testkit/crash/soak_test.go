package crash

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/world"
)

// How long the faults of one world go on, and of all worlds when SOAK does not say.
const (
	roundLength = 30 * time.Second
	shortSoak   = 20 * time.Second
)

// hangsFor is how long a statement on a connection that hangs takes to fail: the server's own limit and what is added to it.
const hangsFor = 70 * time.Second

// TestSoak breaks everything in any order, round after round, each in a world of its own that must be right at its end.
func TestSoak(t *testing.T) {
	length := shortSoak
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		length, err = time.ParseDuration(text)
		world.Must(t, err)
	}
	seed, servers := seed(t), startServers(t)
	servers.widen(t)
	end := time.Now().Add(length)
	for round := uint64(0); time.Now().Before(end); round++ {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			n := newNemesis(servers.deploy(t, fmt.Sprint("soak ", round), seed+round, busy))
			n.rage(min(roundLength, length))
			n.settle()
		})
		if t.Failed() {
			return
		}
	}
}

// nemesis breaks a world, one fault after the other, often before the last one has healed.
type nemesis struct {
	*deployment
	running []*process
	did     map[string]int
	commits pgproxy.Schedule // what happens to them ever and again
}

func newNemesis(w *deployment) *nemesis {
	n := &nemesis{deployment: w, did: map[string]int{}}
	n.commits = pgproxy.Seeded(w.random.Uint64(), map[pgproxy.Fault]float64{
		pgproxy.AckEaten: 0.03, pgproxy.DropBefore: 0.03, pgproxy.Freeze: 0.02,
	})
	w.throughProxy(n.commits)
	w.Patience += hangsFor
	for range 3 {
		n.running = append(n.running, w.consume())
	}
	return n
}

// rage goes on for a time, under load, and then lets everything heal.
func (n *nemesis) rage(length time.Duration) {
	type fault struct {
		name string
		do   func()
	}
	faults := []fault{
		{"kill", func() { n.victim().kill() }},
		{"kill", func() { n.victim().kill() }},
		{"stop in order", n.stop},
		{"pause", n.pause},
		{"failpoint", n.fail},
		{"terminate sessions", n.terminate},
		{"crash PostgreSQL", func() { n.postgres.Restart(true) }},
		{"kill broker", func() { n.kafka.Kill(); n.kafka.Start() }},
		{"pause broker", n.pauseBroker},
		{"forge", n.forge},
		{"hang connections", func() { n.proxy.Hang() }},
		{"slow down the database", n.slowDown},
		{"take leaders away", n.takeLeaders},
	}
	if os.Getenv("LIBFAKETIME") == "" {
		n.Log("set LIBFAKETIME to libfaketime's shared library (make test does) to have the database's clock jump")
	} else {
		faults = append(faults, fault{"crash PostgreSQL, with another clock", n.setClock})
	}
	loaded := n.load(1000)
	var order []int // in which the faults come that have not come yet
	for end := time.Now().Add(length); time.Now().Before(end); {
		if len(order) == 0 {
			order = n.random.Perm(len(faults))
		}
		next := faults[order[0]]
		order = order[1:]
		next.do()
		n.did[next.name]++
		after(n, time.Duration(n.random.IntN(2000))*time.Millisecond)
		for len(n.running) < 3 {
			n.running = append(n.running, n.consume())
		}
	}
	n.proxy.Obey(pgproxy.Healthy)
	n.postgres.SetClock(0)
	n.postgres.Restart(true)
	loaded()
	n.Logf("did %v; commits %+v", n.did, n.proxy.Counts())
}

// victim takes a process off the list.
func (n *nemesis) victim() *process {
	i := n.random.IntN(len(n.running))
	chosen := n.running[i]
	n.running = append(n.running[:i], n.running[i+1:]...)
	return chosen
}

// stop ends a process in order, unless it has hardly begun and does not listen to signals yet.
func (n *nemesis) stop() {
	if chosen := n.victim(); len(chosen.counts()) > 0 {
		chosen.stop()
	} else {
		chosen.kill()
	}
}

// pause stops a process for shorter or longer than its session lasts.
func (n *nemesis) pause() {
	chosen := n.running[n.random.IntN(len(n.running))]
	chosen.signal(syscall.SIGSTOP)
	after(n, time.Duration(n.random.Int64N(int64(2*sessionTimeout))))
	chosen.signal(syscall.SIGCONT)
}

// fail has a process end itself at a moment that is drawn.
func (n *nemesis) fail() {
	n.victim().kill()
	window := windows[n.random.IntN(len(windows))]
	rule := fmt.Sprintf("APPLYLENS_FAILPOINT=%s=exit@%d", window.name, 1+n.random.IntN(window.most))
	n.consume(rule) // it is not counted among those that run, since it will not for long
}

// terminate ends every session of the processes in PostgreSQL.
func (n *nemesis) terminate() {
	_, err := n.Pool.Exec(n.Context(), `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'applylens consume%'`)
	if err != nil {
		n.Log(err) // our own connection may be one that a crash has ended
	}
}

// slowDown makes every COMMIT take half a second longer, for some time.
func (n *nemesis) slowDown() {
	n.proxy.Obey(pgproxy.Always(pgproxy.Freeze))
	after(n, time.Duration(n.random.Int64N(int64(2*sessionTimeout))))
	n.proxy.Obey(n.commits)
}

func (n *nemesis) pauseBroker() {
	n.kafka.Pause()
	after(n, time.Duration(n.random.Int64N(int64(2*sessionTimeout))))
	n.kafka.Continue()
}

// takeLeaders takes the second broker away until its partitions have had no leader for some time.
func (n *nemesis) takeLeaders() {
	n.second.Kill()
	n.Eventually("some partitions have no leader", func() error { return world.Want(len(n.leaderless()) > 0, "all have one") })
	after(n, time.Duration(n.random.Int64N(int64(sessionTimeout))))
	n.second.Start()
}

// setClock crashes the database and lets it go on with another clock, as after a failover to another machine. It jumps forwards
// or back, within two days before the machine's.
func (n *nemesis) setClock() {
	behind := time.Duration(n.random.IntN(48*60*60)) * time.Second
	n.postgres.SetClock(behind)
	n.postgres.Restart(true)
	n.Eventually("the database's clock is wrong", func() error {
		var now time.Time
		if err := n.Pool.QueryRow(n.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
			return err
		}
		return world.Want((time.Since(now)-behind).Abs() < 10*time.Second, "it is %s", now)
	})
}
