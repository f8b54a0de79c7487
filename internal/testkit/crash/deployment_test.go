package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/oracle"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

const (
	partitions     = 3
	sessionTimeout = 3 * time.Second
	patience       = 90 * time.Second
)

// groups are the projections that the processes fold.
var groups = []string{oracle.Weights, oracle.PolicyStats}

// busy is what is written unless a test needs something else.
var busy = load.Profile{
	Users: 400, Proposed: 0.3, Reverted: 0.04, Preferred: 0.03, Performed: 0.02, Erased: 0.0005, Foreign: 0.4, Derived: 0.3, Structured: 0.2,
	Repeated: 0.005, Refused: 0.005,
}

// seed returns SEED, or another number every time, and tells it when the test fails.
func seed(t *testing.T) uint64 {
	t.Helper()
	value := uint64(time.Now().UnixNano() % 1_000_000)
	if text := os.Getenv("SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		world.Must(t, err)
		value = parsed
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SEED=%d", value)
		}
	})
	return value
}

// servers are a broker and a PostgreSQL that belong to one test.
type servers struct {
	kafka    *testenv.Broker
	second   *testenv.Broker // another broker of the cluster, after widen
	postgres *testenv.Postgres
}

func startServers(t *testing.T) *servers {
	t.Helper()
	executable(t) // built before anything waits
	return &servers{kafka: testenv.StartKafka(t), postgres: testenv.StartPostgres(t, testenv.Clock())}
}

// widen adds a second broker, which leads some partitions of each topic that is created from then on, and nothing that
// groups need. It ends with the test.
func (s *servers) widen(t *testing.T) {
	t.Helper()
	s.second = testenv.StartKafka(t, testenv.Beside(s.kafka))
}

var program testenv.Program

func TestMain(m *testing.M) {
	status := m.Run()
	program.Remove()
	os.Exit(status)
}

func executable(t testing.TB) string {
	t.Helper()
	if os.Getenv("KAFKA_CLASSPATH") == "" || os.Getenv("PG_BIN") == "" {
		t.Skip("set KAFKA_CLASSPATH and PG_BIN (make test does) to break a broker and a PostgreSQL of the test's own")
	}
	path, err := program.Path()
	world.Must(t, err)
	return path
}

// deployment is one on the servers: topics and a database of its own, and a log that grows. Processes are given its URL.
type deployment struct {
	*world.World
	*servers
	name    string
	proxy   *pgproxy.Proxy
	random  *rand.Rand
	events  *load.Generator
	writer  *load.Writer
	group   []string
	started int
}

func (s *servers) deploy(t *testing.T, name string, seed uint64, profile load.Profile) *deployment {
	t.Helper()
	return s.deployOn(t, name, seed, profile, partitions)
}

// deployOn is a deployment whose topics have as many partitions.
func (s *servers) deployOn(t *testing.T, name string, seed uint64, profile load.Profile, partitions int) *deployment {
	t.Helper()
	w := &deployment{World: world.NewOn(t, s.postgres.URL()), servers: s, name: name, random: rand.New(rand.NewPCG(seed, 1)), group: groups}
	w.Label, w.Patience, w.Tick, w.Partitions = name, patience, 50*time.Millisecond, partitions
	w.Join(config.Kafka{KafkaBrokers: []string{s.kafka.Addr()}, TopicPrefix: strings.ReplaceAll(name, " ", "-") + "."})
	identity, err := load.Enlist(t.Context(), w.Pool)
	w.Must(err)
	profile.Seed = seed
	w.events, err = load.NewGenerator(profile, identity, partitions)
	w.Must(err)
	w.reopenWriter()
	t.Cleanup(func() { w.writer.Close() })
	return w
}

// reopenWriter goes on writing as another producer.
func (w *deployment) reopenWriter() {
	w.Helper()
	if w.writer != nil {
		w.writer.Close()
	}
	var err error
	w.writer, err = load.NewWriter(w.events, w.Settings.KafkaBrokers, w.Conn.Topic(events.TopicActions))
	w.Must(err)
}

// throughProxy puts a proxy between PostgreSQL and the processes that are started later.
func (w *deployment) throughProxy(schedule pgproxy.Schedule) {
	w.Helper()
	upstream, err := url.Parse(w.URL)
	w.Must(err)
	w.proxy, err = pgproxy.Start(upstream.Host, 500*time.Millisecond, schedule)
	w.Must(err)
	w.Cleanup(func() { _ = w.proxy.Close() })
	w.URL, err = w.proxy.URL(w.URL)
	w.Must(err)
}

// write appends records, in the time that perSecond allows (0: at once).
func (w *deployment) write(count int, perSecond float64) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	w.Must(w.writer.Write(ctx, count, perSecond))
}

// load appends records in the background, until the function that it returns has been called and all are written.
func (w *deployment) load(perSecond int) (finish func()) {
	ctx, cancel := context.WithTimeout(w.Context(), 2*patience)
	enough, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			// A write that is cut short would leave a hole in the relay's numbers.
			if err := w.writer.Write(ctx, perSecond/5, float64(perSecond)); err != nil {
				ended <- err
				return
			}
			select {
			case <-enough:
				ended <- nil
				return
			default:
			}
		}
	}()
	return func() {
		w.Helper()
		defer cancel()
		close(enough)
		w.Must(<-ended)
	}
}

// process is one run of the binary.
type process struct {
	in      *world.World
	name    string
	command *exec.Cmd
	hits    string // file of failpoints
	output  string // file of the log
	ended   chan struct{}
}

// consume starts a process that folds the groups, with further variables.
func (w *deployment) consume(variables ...string) *process {
	w.Helper()
	arguments := append([]string{"consume"}, w.group...)
	return w.run(append(arguments, "--session-timeout", sessionTimeout.String(), "--metrics-listen", ""), variables...)
}

// run starts a process of the world's deployment.
func (w *deployment) run(arguments []string, variables ...string) *process {
	w.Helper()
	w.started++
	dir := w.TempDir()
	p := &process{
		in: w.World, name: fmt.Sprintf("%s %d", w.name, w.started), hits: filepath.Join(dir, "hits"), output: filepath.Join(dir, "log"),
		ended: make(chan struct{}),
	}
	log, err := os.Create(p.output)
	w.Must(err)
	defer log.Close()
	p.command = exec.Command(executable(w), arguments...)
	p.command.Env = append(os.Environ(),
		"KAFKA_BROKERS="+w.Settings.KafkaBrokers[0], "TOPIC_PREFIX="+w.Settings.TopicPrefix, "DATABASE_URL="+w.URL,
		"APPLYLENS_FAILPOINT_LOG="+p.hits)
	p.command.Env = append(p.command.Env, variables...)
	p.command.Stdout, p.command.Stderr = log, log
	w.Must(p.command.Start())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // its status is looked at where it matters
	}()
	w.Cleanup(func() {
		p.kill()
		if w.Failed() {
			w.Logf("%s:\n%s", p.name, tail(p.output))
		}
	})
	return p
}

// signal sends a signal; a process that has ended is none the worse.
func (p *process) signal(signal syscall.Signal) { _ = p.command.Process.Signal(signal) }

// kill ends the process as kill -9 does and waits until it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends the process in order, within the time that it promises to take, and some for a busy machine.
func (p *process) stop() {
	p.in.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(config.ShutdownTimeout + 5*time.Second):
		p.in.Fatalf("%s does not end after SIGTERM", p.name)
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		p.in.Errorf("%s ended with status %d after SIGTERM, want 0", p.name, code)
	}
}

// awaitKilled waits until a failpoint has ended the process.
func (p *process) awaitKilled(rule string) {
	p.in.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.in.Fatalf("%s: %s never came; hit were %v", p.name, rule, p.counts())
	}
	status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL || p.counts()[rule] != 1 {
		p.in.Fatalf("%s ended with %s, want killed by %s; hit were %v", p.name, p.command.ProcessState, rule, p.counts())
	}
}

// awaitDone waits until the process has done its work.
func (p *process) awaitDone() {
	p.in.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.in.Fatalf("%s does not end", p.name)
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		p.in.Fatalf("%s ended with status %d", p.name, code)
	}
}

// awaitHit waits until a failpoint, or a rule of one, was hit more often than before.
func (p *process) awaitHit(name string, before int) {
	p.in.Helper()
	p.in.Eventually(fmt.Sprintf("%s hits %s", p.name, name), func() error {
		return world.Want(p.counts()[name] > before, "hit were %v", p.counts())
	})
}

// counts tells how often each failpoint was hit, and each rule carried out.
func (p *process) counts() map[string]int {
	counts := map[string]int{}
	text, _ := os.ReadFile(p.hits) // none before the first hit
	for _, line := range strings.Fields(string(text)) {
		counts[line]++
	}
	return counts
}

// logged tells how often a text stands in the process's log.
func (p *process) logged(text string) int {
	log, err := os.ReadFile(p.output)
	p.in.Must(err)
	return strings.Count(string(log), text)
}

// settle waits until all that was written is folded, and holds the tables against the log.
func (w *deployment) settle() {
	w.Helper()
	w.awaitFolded()
	if err := w.compare(); err != nil {
		w.Errorf("%s: %v", w.name, err)
	}
	w.awaitMirror()
}

// compare holds tables, dead letters and ledger against what another client reads from the log.
func (w *deployment) compare() error {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	trust, err := oracle.Trusted(ctx, w.Pool)
	w.Must(err)
	expected, err := oracle.Read(ctx, oracle.Log{
		Brokers: w.Settings.KafkaBrokers, Prefix: w.Settings.TopicPrefix, Topics: []string{events.TopicActions}, Trust: trust,
	})
	w.Must(err)
	if len(expected.Weights) == 0 {
		w.Fatalf("%s: the log teaches nothing", w.name)
	}
	if err := oracle.Compare(ctx, w.Pool, expected, w.group...); err != nil {
		return err
	}
	return oracle.CompareLedger(ctx, w.Pool, expected, w.group...)
}

// awaitFolded waits until every position is at the end of its partition. A halted partition is a failure.
func (w *deployment) awaitFolded() {
	w.Helper()
	w.Eventually("everything is folded", w.folded)
}

// folded tells by its error what is not folded yet.
func (w *deployment) folded() error {
	for _, group := range w.group {
		if err := w.Folded(group, events.TopicActions); err != nil {
			return err
		}
	}
	return nil
}

// awaitMirror waits until Kafka's own lag of the groups is 0.
func (w *deployment) awaitMirror() {
	w.Helper()
	w.Eventually("there is no lag in Kafka", func() error {
		ends, err := w.Ends(events.TopicActions)
		if err != nil {
			return err
		}
		for _, group := range w.group {
			if err := w.mirrored(group, ends); err != nil {
				return err
			}
		}
		return nil
	})
}

// mirrored tells by its error which of a group's offsets in Kafka is not at its end yet. None may be beyond it.
func (w *deployment) mirrored(group string, ends map[int32]int64) error {
	w.Helper()
	offsets, err := w.CommittedOffsets(group, events.TopicActions)
	if err != nil {
		return err
	}
	for partition, end := range ends {
		at := offsets[partition]
		if at > end {
			w.Fatalf("%s: the mirror of %s/%d stands at %d, beyond the end %d", w.name, group, partition, at, end)
		}
		if at != end && end > 0 {
			return fmt.Errorf("%s/%d is mirrored at %d of %d", group, partition, at, end)
		}
	}
	return nil
}

// live returns the live version of a group.
func (w *deployment) live(group string) int {
	w.Helper()
	return w.Int("SELECT live_version FROM projections WHERE group_name = $1", group)
}

// after returns when d has passed: a fault goes on for so long.
func after(t testing.TB, d time.Duration) {
	t.Helper()
	_ = retry.Wait(t.Context(), d)
}

func tail(path string) string {
	text, _ := os.ReadFile(path)
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}
