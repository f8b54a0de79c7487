package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// rebuilding is a deployment with a log that is long enough to be shared, and the real program.
type rebuilding struct {
	*grouptest.Loop
	program     string
	environment []string
}

func newRebuilding(t *testing.T) *rebuilding {
	r := &rebuilding{Loop: grouptest.New(t), program: binary(t)}
	database := config.Postgres{DatabaseURL: config.Secret(r.URL)}
	r.environment = config.Environ(os.Environ(), &r.Settings, &database)
	list := make([]*kgo.Record, 30_000)
	for n := range list {
		list[n] = r.Own(world.Decision(fmt.Sprint("user-", n%300), n))
	}
	r.Publish(list...)
	return r
}

// command is a subcommand and what it prints.
func (r *rebuilding) command(arguments ...string) (*exec.Cmd, *bytes.Buffer) {
	output := &bytes.Buffer{}
	c := exec.CommandContext(r.Context(), r.program, arguments...)
	c.Env, c.Stdout, c.Stderr = r.environment, output, output
	return c, output
}

// wantEnd checks how a subcommand ends.
func (r *rebuilding) wantEnd(status int, text string, arguments ...string) {
	r.Helper()
	c, output := r.command(arguments...)
	_ = c.Run()
	if c.ProcessState.ExitCode() != status || !strings.Contains(output.String(), text) {
		r.Errorf("applylens %s: %s, want status %d and %q:\n%s", strings.Join(arguments, " "), c.ProcessState, status, text, output)
	}
}

func TestRebuildOutlivesAKilledProcess(t *testing.T) {
	r := newRebuilding(t)
	version, err := ledger.CreateVersion(t.Context(), r.Pool, r.Weights().Group.Projection())
	r.Must(err)
	r.wantEnd(0, "", "rebuild", "pace", "weights", "--paused")
	killed, _ := r.command("rebuild", "run", "weights")
	other, output := r.command("rebuild", "run", "weights")
	for _, c := range []*exec.Cmd{killed, other} {
		r.Must(c.Start())
		defer c.Process.Kill() //nolint:errcheck // it has ended
	}
	r.Eventually("both have claimed partitions", func() error {
		owners := world.Scalar[int](r, "SELECT count(DISTINCT owner) FROM positions WHERE version = $1 AND owner <> ''", version)
		return world.Want(owners == 2, "%d have", owners)
	})
	r.Must(killed.Process.Kill())
	_ = killed.Wait()
	r.wantEnd(0, "", "rebuild", "pace", "weights")
	if err := other.Wait(); err != nil || !strings.Contains(output.String(), "has reached the log's end") {
		t.Errorf("%v:\n%s", err, output)
	}
	r.Start(r.Weights())
	r.AwaitWeights()
	r.wantEnd(0, "weight_counts", "rebuild", "diff", "weights")
}

// Commands about a version that does not exist say so and change nothing.
func TestRebuildOfNothingIsRefused(t *testing.T) {
	r := newRebuilding(t)
	r.wantEnd(1, "applylens rebuild run weights", "rebuild", "swap", "weights", "--reason", "test", "--max-lag", "1000000")
	r.wantEnd(1, "version 7 of weights does not exist", "rebuild", "drop", "weights", "7", "--yes")
	r.wantEnd(1, "version 7 of weights does not exist", "rebuild", "drop", "weights", "7")
	r.wantEnd(1, "is live", "rebuild", "drop", "weights", "1")
	r.wantEnd(1, "is live", "rebuild", "drop", "weights", "1", "--yes")
	versions, err := ledger.Versions(t.Context(), r.Pool, "weights")
	r.Must(err)
	if len(versions) != 1 || versions[0].State != ledger.VersionLive {
		t.Errorf("versions %+v", versions)
	}
}
