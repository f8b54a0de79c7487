// Package grouptest runs groups of consumers in a test's World. It imports consumers, so that only external test packages
// of consumers and of its parts may use it.
package grouptest

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/testkit/world"
)

// Loop is a World in which groups fold. Its clock stands at noon, and its relay has begun a term.
type Loop struct{ *world.World }

// New returns a Loop with a broker in this process.
func New(t testing.TB, options ...kfake.Opt) *Loop {
	t.Helper()
	return In(world.New(t).Kfake(options...))
}

// In returns a Loop of a World that has a broker.
func In(w *world.World) *Loop {
	w.Helper()
	w.SetClock(world.Noon)
	w.NewRelay()
	return &Loop{w}
}

// Config is the configuration of a group whose members are quick.
func Config(w *world.World, group *consumers.Group, adjust ...func(*consumers.Config)) consumers.Config {
	cfg := consumers.Config{
		Group: group, Broker: w.Conn, Pool: w.Pool, Log: w.Logger, Metrics: consumers.NewMetrics(prometheus.NewRegistry()), Owner: "test",
		SessionTimeout: 6 * time.Second, BatchLinger: 20 * time.Millisecond,
	}
	for _, f := range adjust {
		f(&cfg)
	}
	return cfg
}

// Start runs a member of the group until the returned function is called or the test ends.
func Start(w *world.World, cfg consumers.Config) (stop func()) {
	return w.Background("group "+cfg.Group.Name, func(ctx context.Context) error { return consumers.Run(ctx, cfg) })
}

// Start runs a member of the group until the returned function is called or the test ends.
func (l *Loop) Start(cfg consumers.Config) (stop func()) { return Start(l.World, cfg) }

// Weights returns the configuration of the group that most tests run.
func (l *Loop) Weights(adjust ...func(*consumers.Config)) consumers.Config {
	l.Helper()
	users, err := metrics.NewUserLabel(metrics.UserOff, nil)
	l.Must(err)
	return Config(l.World, weights.Group(prometheus.NewRegistry(), users), adjust...)
}

// AwaitWeights waits until weights has folded everything that is in its topic.
func (l *Loop) AwaitWeights() {
	l.Helper()
	l.AwaitFolded("weights", events.TopicActions)
}

// Weight returns the live weight of a feature, -99 if there is no row.
func (l *Loop) Weight(user, feature string) float64 {
	l.Helper()
	return world.Scalar[float64](l, "SELECT COALESCE((SELECT weight FROM user_weights WHERE user_id = $1 AND feature = $2), -99)", user, feature)
}

// Operator returns an operator of weights.
func (l *Loop) Operator() *operate.Operator {
	l.Helper()
	cfg := l.Weights()
	l.Must(cfg.Validate())
	return &operate.Operator{Config: &cfg, Actor: "tester", Reason: "test"}
}

// AwaitHalt waits until a partition of weights is halted for the reason, and checks that the detail names a command
// whole, which an operator can copy.
func (l *Loop) AwaitHalt(reason ledger.Reason) (partition int) {
	l.Helper()
	l.Eventually("weights is halted for "+string(reason), func() error {
		positions, err := l.Positions("weights", events.TopicActions)
		l.Must(err)
		for _, at := range positions {
			if at.State != "halted" || at.Reason != string(reason) {
				continue
			}
			if strings.Contains(at.Detail, "applylens positions") && !strings.Contains(at.Detail, "weights "+events.TopicActions) {
				l.Errorf("the halt names no whole command: %s", at.Detail)
			}
			partition = int(at.Partition)
			return nil
		}
		return fmt.Errorf("positions are %+v", positions)
	})
	return partition
}

var remedy = regexp.MustCompile(`applylens positions (adopt|skip) weights ([\w.]+)(?:/(\d+))?(?: --to (\w+))? --reason`)

// FollowRemedy runs command n, from 0, of those that the halt of weights advises, and returns what it moved. to is where a
// skip goes on whose offset the halt leaves to the operator.
func (l *Loop) FollowRemedy(n int, to int64) []operate.Move {
	l.Helper()
	detail := world.Scalar[string](l, "SELECT halt_detail FROM positions WHERE group_name = 'weights' AND state = 'halted' ORDER BY partition LIMIT 1")
	commands := remedy.FindAllStringSubmatch(detail, -1)
	if n >= len(commands) {
		l.Fatalf("the halt advises %d commands, not %d: %s", len(commands), n+1, detail)
	}
	verb, topic, partition := commands[n][1], commands[n][2], -1
	if topic != events.TopicActions {
		l.Errorf("the halt names topic %s: %s", topic, detail)
	}
	if text := commands[n][3]; text != "" {
		var err error
		partition, err = strconv.Atoi(text)
		l.Must(err)
	}
	if verb == "adopt" {
		moves, err := l.Operator().Adopt(l.Context(), partition)
		l.Must(err)
		return moves
	}
	if text := commands[n][4]; text != "OFFSET" {
		var err error
		to, err = strconv.ParseInt(text, 10, 64)
		l.Must(err)
	}
	moves, err := l.Operator().Skip(l.Context(), partition, to)
	l.Must(err)
	return moves
}

// RedriveFirst redrives the first dead letter of weights, and waits until weights has met it again.
func (l *Loop) RedriveFirst() {
	l.Helper()
	letters, err := ledger.DeadLetters(l.Context(), l.Pool, ledger.LetterFilter{Group: "weights", Limit: 1})
	l.Must(err)
	if len(letters) == 0 {
		l.Fatal("there is no dead letter")
	}
	l.Must(operate.Redrive(l.Context(), l.Pool, l.Conn, letters[0].ID, "tester", false))
	l.RelayOutbox()
	l.AwaitWeights()
}
