package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// binary builds the real applylens once.
var binary = sync.OnceValues(func() (string, error) {
	directory, err := os.MkdirTemp("", "applylens-bench-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(directory, "applylens")
	output, err := exec.Command("go", "build", "-o", path, "github.com/applylens/applylens/cmd/applylens").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build applylens: %w\n%s", err, output)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// settings are those of a small bench on the test's servers.
func settings(t *testing.T) Config {
	t.Helper()
	kafka := testenv.Kafka(t)
	_, database := testenv.Database(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Binary: path, Kafka: kafka, Postgres: config.Postgres{DatabaseURL: config.Secret(database)}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Events: 20_000, Users: 1000, Runs: 1, Rate: 200, LatencySeconds: 1, Applications: 100, Repeats: 0.02,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// command is the real command with the settings.
func command(t *testing.T, cfg Config, arguments ...string) *exec.Cmd {
	t.Helper()
	arguments = append([]string{"bench", "--events=20000", "--users=1000", "--runs=1", "--latency-seconds=1", "--applications=100"}, arguments...)
	c := exec.CommandContext(t.Context(), cfg.Binary, arguments...)
	c.Env = config.Environ(os.Environ(), &cfg.Kafka, &cfg.Postgres)
	return c
}

// wantNothingLeft checks that neither topics nor groups are left. A deleted topic may be listed for a moment.
func wantNothingLeft(t *testing.T, cfg Config) {
	t.Helper()
	conn, err := broker.Open(cfg.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := leftovers(ctx, conn.Admin, cfg.Kafka.TopicPrefix)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("left in Kafka: %v", left)
		case <-tick.C:
		}
	}
}

func leftovers(ctx context.Context, admin *kadm.Client, prefix string) ([]string, error) {
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, name := range append(topics.Names(), groups.Groups()...) {
		if strings.HasPrefix(name, prefix) {
			left = append(left, name)
		}
	}
	return left, nil
}

func TestBenchOfTheRealBinary(t *testing.T) {
	cfg := settings(t)
	c := command(t, cfg, "--json")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, stderr.Bytes(), output)
	}
	var report Report
	if err := json.Unmarshal(output, &report); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if len(report.Faults) > 0 || report.Checks < 40 {
		t.Errorf("%d checks, faults: %q", report.Checks, report.Faults)
	}
	// For each of two groups: one and two processes on each of four streams and for a rebuild; and the naive consumer.
	if len(report.Rates) != 2*(4+1)*2+1 {
		t.Errorf("%d rates: %s", len(report.Rates), output)
	}
	for _, rate := range report.Rates {
		if len(rate.Samples) != 1 || rate.Median <= 0 || rate.TimesNaive <= 0 {
			t.Errorf("%+v", rate)
		}
	}
	if report.Latency == nil || report.Latency.Approvals != 200 || report.Latency.Visible.Max < report.Latency.Answered.P50 {
		t.Errorf("latency %+v", report.Latency)
	}
	if report.Swaps == nil || len(report.Swaps.Locked) != 2 || report.Swaps.Locked[0] <= 0 {
		t.Errorf("swaps %+v", report.Swaps)
	}
	if os.Getenv("ELASTICSEARCH_URL") != "" && (report.Indexed == nil || report.Indexed.Mails != 200 || len(report.Indexed.Seconds) != 1) {
		t.Errorf("index %+v", report.Indexed)
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), " 0 are wrong") {
		t.Errorf("%v: %s", err, text.String())
	}
	wantNothingLeft(t, cfg)
}

func TestInterruptedBenchLeavesNothing(t *testing.T) {
	cfg := settings(t)
	c := command(t, cfg, "fold")
	c.Stderr = &interrupter{on: "measured", command: c}
	err := c.Run()
	if c.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v, want status 1", err)
	}
	wantNothingLeft(t, cfg)
}

// interrupter sends SIGINT when a text is written.
type interrupter struct {
	on      string
	command *exec.Cmd
	once    sync.Once
}

func (i *interrupter) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte(i.on)) {
		i.once.Do(func() { _ = i.command.Process.Signal(syscall.SIGINT) })
	}
	return len(text), nil
}

func TestQuantile(t *testing.T) {
	f := func(q, want float64, sorted ...float64) {
		t.Helper()
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %g of %v is %g, want %g", q, sorted, got, want)
		}
	}
	f(0.5, 7, 7)
	f(0.99, 7, 7)
	f(0.5, 2, 1, 2, 3)
	f(0.9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	f(0.99, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
}

func TestSettingsAreRefusedTogether(t *testing.T) {
	cfg := Config{Parts: []string{"speed"}, Rate: -1}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{`"speed"`, "--events", "--users", "--rate", "KAFKA_BROKERS", "DATABASE_URL"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

func TestDatabaseOfAConnectionString(t *testing.T) {
	for from, want := range map[config.Secret]config.Secret{
		"postgres://u:p@h:1/old?sslmode=disable": "postgres://u:p@h:1/new?sslmode=disable",
		"host=h dbname=old":                      "host=h dbname=old dbname=new",
	} {
		if diff := cmp.Diff(string(want), string(withDatabase(from, "new"))); diff != "" {
			t.Error(diff)
		}
	}
}
