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

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/oracle"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/testenv"
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
	Users: 400, Proposed: 0.3, Reverted: 0.04, Preferred: 0.03, Performed: 0.02, Erased: 0.0005, Foreign: 0.4, Derived: 0.3,
	Repeated: 0.005, Refused: 0.005,
}

// seed returns SEED, or another number every time, and tells it when the test fails.
func seed(t *testing.T) uint64 {
	t.Helper()
	value := uint64(time.Now().UnixNano() % 1_000_000)
	if text := os.Getenv("SEED"); text != "" {
		parsed, err := strconv.ParseUint(text, 10, 64)
		must(t, err)
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
	postgres *testenv.Postgres
}

func startServers(t *testing.T) *servers {
	t.Helper()
	executable(t) // built before anything waits
	return &servers{testenv.StartKafka(t), testenv.StartPostgres(t)}
}

var program testenv.Program

func TestMain(m *testing.M) {
	status := m.Run()
	program.Remove()
	os.Exit(status)
}

func executable(t *testing.T) string {
	t.Helper()
	if os.Getenv("KAFKA_CLASSPATH") == "" || os.Getenv("PG_BIN") == "" {
		t.Skip("set KAFKA_CLASSPATH and PG_BIN (make test does) to break a broker and a PostgreSQL of the test's own")
	}
	path, err := program.Path()
	must(t, err)
	return path
}

// world is a deployment on the servers: topics and a database of its own, and a log that grows.
type world struct {
	*servers
	t        *testing.T
	name     string
	settings config.Kafka
	conn     *broker.Conn
	pool     *pgxpool.Pool
	database string // URL that processes are given
	proxy    *pgproxy.Proxy
	random   *rand.Rand
	events   *load.Generator
	writer   *load.Writer
	group    []string
	started  int
}

func (s *servers) world(t *testing.T, name string, seed uint64, profile load.Profile) *world {
	t.Helper()
	return s.worldOf(t, name, seed, profile, partitions)
}

// worldOf is a world whose topics have as many partitions.
func (s *servers) worldOf(t *testing.T, name string, seed uint64, profile load.Profile, partitions int) *world {
	t.Helper()
	w := &world{servers: s, t: t, name: name, random: rand.New(rand.NewPCG(seed, 1)), group: groups}
	w.settings = config.Kafka{KafkaBrokers: []string{s.kafka.Addr()}, TopicPrefix: strings.ReplaceAll(name, " ", "-") + "."}
	w.pool, w.database = testenv.NewDatabase(t, s.postgres.URL())
	var err error
	w.conn, err = broker.Open(w.settings)
	must(t, err)
	t.Cleanup(w.conn.Close)
	must(t, w.conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}))
	identity, err := load.Enlist(t.Context(), w.pool)
	must(t, err)
	profile.Seed = seed
	w.events, err = load.NewGenerator(profile, identity, partitions)
	must(t, err)
	w.reopenWriter()
	t.Cleanup(func() { w.writer.Close() })
	return w
}

// reopenWriter goes on writing as another producer.
func (w *world) reopenWriter() {
	w.t.Helper()
	if w.writer != nil {
		w.writer.Close()
	}
	var err error
	w.writer, err = load.NewWriter(w.events, w.settings.KafkaBrokers, w.conn.Topic(events.TopicActions))
	must(w.t, err)
}

// throughProxy puts a proxy between PostgreSQL and the processes that are started later.
func (w *world) throughProxy(schedule pgproxy.Schedule) {
	w.t.Helper()
	upstream, err := url.Parse(w.database)
	must(w.t, err)
	w.proxy, err = pgproxy.Start(upstream.Host, 500*time.Millisecond, schedule)
	must(w.t, err)
	w.t.Cleanup(func() { _ = w.proxy.Close() })
	w.database, err = w.proxy.URL(w.database)
	must(w.t, err)
}

// write appends records, in the time that perSecond allows (0: at once).
func (w *world) write(count int, perSecond float64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	must(w.t, w.writer.Write(ctx, count, perSecond))
}

// load appends records in the background, until the function that it returns has been called and all are written.
func (w *world) load(perSecond int) (finish func()) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*patience)
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
		w.t.Helper()
		defer cancel()
		close(enough)
		must(w.t, <-ended)
	}
}

// process is one run of the binary.
type process struct {
	t       *testing.T
	name    string
	command *exec.Cmd
	hits    string // file of failpoints
	output  string // file of the log
	ended   chan struct{}
}

// consume starts a process that folds the groups, with further variables.
func (w *world) consume(variables ...string) *process {
	w.t.Helper()
	arguments := append([]string{"consume"}, w.group...)
	return w.run(append(arguments, "--session-timeout", sessionTimeout.String(), "--metrics-listen", ""), variables...)
}

// run starts a process of the world's deployment.
func (w *world) run(arguments []string, variables ...string) *process {
	w.t.Helper()
	w.started++
	dir := w.t.TempDir()
	p := &process{
		t: w.t, name: fmt.Sprintf("%s %d", w.name, w.started), hits: filepath.Join(dir, "hits"), output: filepath.Join(dir, "log"),
		ended: make(chan struct{}),
	}
	log, err := os.Create(p.output)
	must(w.t, err)
	defer log.Close()
	p.command = exec.Command(executable(w.t), arguments...)
	p.command.Env = append(os.Environ(),
		"KAFKA_BROKERS="+w.settings.KafkaBrokers[0], "TOPIC_PREFIX="+w.settings.TopicPrefix, "DATABASE_URL="+w.database,
		"APPLYLENS_FAILPOINT_LOG="+p.hits)
	p.command.Env = append(p.command.Env, variables...)
	p.command.Stdout, p.command.Stderr = log, log
	must(w.t, p.command.Start())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // its status is looked at where it matters
	}()
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("%s:\n%s", p.name, tail(p.output))
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
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(config.ShutdownTimeout + 5*time.Second):
		p.t.Fatalf("%s does not end after SIGTERM", p.name)
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with status %d after SIGTERM, want 0", p.name, code)
	}
}

// awaitKilled waits until a failpoint has ended the process.
func (p *process) awaitKilled(rule string) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s: %s never came; hit were %v", p.name, rule, p.counts())
	}
	status, ok := p.command.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL || p.counts()[rule] != 1 {
		p.t.Fatalf("%s ended with %s, want killed by %s; hit were %v", p.name, p.command.ProcessState, rule, p.counts())
	}
}

// awaitDone waits until the process has done its work.
func (p *process) awaitDone() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s ended with status %d", p.name, code)
	}
}

// awaitHit waits until a failpoint, or a rule of one, was hit more often than before.
func (p *process) awaitHit(name string, before int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s hits %s", p.name, name), func() error {
		if p.counts()[name] > before {
			return nil
		}
		return fmt.Errorf("hit were %v", p.counts())
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
	must(p.t, err)
	return strings.Count(string(log), text)
}

// settle waits until all that was written is folded, and holds the tables against the log.
func (w *world) settle() {
	w.t.Helper()
	w.awaitFolded()
	if err := w.compare(); err != nil {
		w.t.Errorf("%s: %v", w.name, err)
	}
	w.awaitMirror()
}

// compare holds tables, dead letters and ledger against what another client reads from the log.
func (w *world) compare() error {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	trust, err := oracle.Trusted(ctx, w.pool)
	must(w.t, err)
	expected, err := oracle.Read(ctx, oracle.Log{
		Brokers: w.settings.KafkaBrokers, Prefix: w.settings.TopicPrefix, Topics: []string{events.TopicActions}, Trust: trust,
	})
	must(w.t, err)
	if len(expected.Weights) == 0 {
		w.t.Fatalf("%s: the log teaches nothing", w.name)
	}
	if err := oracle.Compare(ctx, w.pool, expected, w.group...); err != nil {
		return err
	}
	return oracle.CompareLedger(ctx, w.pool, expected, w.group...)
}

// awaitFolded waits until every position is at the end of its partition. A halted partition is a failure.
func (w *world) awaitFolded() {
	w.t.Helper()
	eventually(w.t, w.name+" is folded", w.folded)
}

// folded tells by its error what is not folded yet.
func (w *world) folded() error {
	ends, err := w.ends()
	if err != nil {
		return err
	}
	for _, group := range w.group {
		positions, err := w.positions(group)
		if err != nil {
			return err
		}
		for partition, end := range ends {
			if at := positions[partition]; at.Next != end {
				return fmt.Errorf("%s/%d stands at %d of %d (%s %s)", group, partition, at.Next, end, at.State, at.Reason)
			}
		}
	}
	return nil
}

// awaitMirror waits until Kafka's own lag of the groups is 0.
func (w *world) awaitMirror() {
	w.t.Helper()
	admin := w.conn.Admin
	eventually(w.t, w.name+" has no lag in Kafka", func() error {
		ends, err := w.ends()
		if err != nil {
			return err
		}
		for _, group := range w.group {
			offsets, err := admin.FetchOffsets(w.t.Context(), w.conn.GroupID(group))
			if err != nil {
				return err
			}
			for partition, end := range ends {
				mirrored, _ := offsets.Lookup(w.conn.Topic(events.TopicActions), partition)
				switch {
				case mirrored.At > end:
					w.t.Fatalf("%s: the mirror of %s/%d stands at %d, beyond the end %d", w.name, group, partition, mirrored.At, end)
				case mirrored.At != end && end > 0:
					return fmt.Errorf("%s/%d is mirrored at %d of %d", group, partition, mirrored.At, end)
				}
			}
		}
		return nil
	})
}

func (w *world) ends() (map[int32]int64, error) {
	listed, err := w.conn.Admin.ListEndOffsets(w.t.Context(), w.conn.Topic(events.TopicActions))
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	listed.Each(func(end kadm.ListedOffset) {
		if end.Err != nil {
			err = end.Err
		}
		ends[end.Partition] = end.Offset
	})
	return ends, err
}

// live returns the live version of a group.
func (w *world) live(group string) int {
	w.t.Helper()
	var version int
	must(w.t, w.pool.QueryRow(w.t.Context(), "SELECT live_version FROM projections WHERE group_name = $1", group).Scan(&version))
	return version
}

// position is a row of positions.
type position struct {
	Next          int64
	State, Reason string
}

func (w *world) positions(group string) (map[int32]position, error) {
	rows, err := w.pool.Query(w.t.Context(), `
SELECT partition, next_offset, state, halt_reason FROM positions
WHERE group_name = $1 AND state <> 'replaced' AND version = (SELECT live_version FROM projections WHERE group_name = $1)`, group)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int32]position{}
	for rows.Next() {
		var partition int32
		var at position
		if err := rows.Scan(&partition, &at.Next, &at.State, &at.Reason); err != nil {
			return nil, err
		}
		found[partition] = at
	}
	return found, rows.Err()
}

// eventually calls look until it returns nil, and gives up after patience.
func eventually(t *testing.T, what string, look func() error) {
	t.Helper()
	testenv.Eventually(t, patience, 50*time.Millisecond, what, look)
}

// after returns when d has passed: a fault goes on for so long.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tail(path string) string {
	text, _ := os.ReadFile(path)
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}
