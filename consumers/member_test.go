package consumers_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A second deployment on the same topics, with a database of its own, gets no partition of the first one's, and is told what
// to do. When the first one has left, the group is free.
func TestAnotherDeploymentIsKeptOut(t *testing.T) {
	for _, broker := range []string{"kfake", "Kafka"} {
		t.Run(broker, func(t *testing.T) {
			made := world.New(t)
			if broker == "Kafka" {
				made.Kafka()
			} else {
				made.Kfake()
			}
			keepOut(grouptest.In(made))
		})
	}
}

func keepOut(w *grouptest.Loop) {
	w.Helper()
	stop := w.Start(w.Weights())
	w.Publish(w.Own(world.Decision("ann", 1)))
	w.AwaitWeights()
	pool, _ := testenv.Database(w)
	_, err := pool.Exec(w.Context(), "UPDATE deployment SET id = gen_random_uuid()") // all tests copy one database
	w.Must(err)
	log := &log{}
	other := w.Weights(func(c *consumers.Config) {
		c.Pool, c.Owner, c.Log = pool, "other", slog.New(slog.NewTextHandler(log, nil))
	})
	w.Start(other)
	w.Until("the other deployment is told what to do", func() bool { return strings.Contains(log.String(), "TOPIC_PREFIX") })
	for partition := range w.Partitions {
		w.Publish(w.Own(world.Decision(w.UsersOf(partition, 1)[0], 2)))
	}
	w.AwaitWeights()
	owned := func() (n int) {
		w.Must(pool.QueryRow(w.Context(), "SELECT count(*) FROM positions WHERE owner = 'other'").Scan(&n))
		return n
	}
	if n := owned(); n != 0 {
		w.Errorf("the other deployment has %d partitions, want none", n)
	}
	source, err := outbox.Source(w.Context(), pool)
	w.Must(err)
	groups := consumers.Groups{other.Group}
	if err := consumers.CheckMembers(w.Context(), w.Conn, groups, source); err == nil || !strings.Contains(err.Error(), "TOPIC_PREFIX") {
		w.Errorf("checking the members gives %v", err)
	}
	if err := consumers.CheckMembers(w.Context(), w.Conn, groups, w.Source); err != nil {
		w.Errorf("for the first deployment it gives %v", err)
	}
	stop()
	w.Until("the other deployment has the group", func() bool { return owned() == w.Partitions })
}

// log is what a member has logged so far.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
