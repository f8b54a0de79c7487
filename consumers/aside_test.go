package consumers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// from returns the n-th decision of a person as a source publishes it, which cannot be decoded if it is junk.
func from(w *grouptest.Loop, source, user string, n int, junk bool) *kgo.Record {
	record := w.Foreign(world.Decision(user, n, func(e *events.Event) { e.Source = source }))
	if junk {
		record.Value = []byte("junk")
	}
	return record
}

func fewer(c *consumers.Config) { c.DeadLetterLimit = 5 }

// Whoever writes junk is set aside alone: neither our decisions nor other sources wait for an operator.
func TestSourceAboveItsQuotaIsSetAsideAlone(t *testing.T) {
	w := grouptest.New(t)
	user := w.UsersOf(1, 1)[0]
	w.Start(w.Weights(fewer))
	var junk []*kgo.Record
	for n := range 6 {
		junk = append(junk, from(w, "/careless", user, n, true))
	}
	w.Publish(junk...)
	w.Until("the source is set aside", func() bool { return w.Int("SELECT count(*) FROM set_aside") == 1 })
	w.Publish(from(w, "/careless", user, 10, false), from(w, "/careful", user, 11, false), w.Own(world.Decision(user, 12)), from(w, "/careless", user, 13, true))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 10, Applied: 2, DeadLettered: 8}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"malformed": 6, "set_aside": 2}, w.DeadLetters("weights")); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(w.Logs.String(), "source=/careless") {
		t.Error("the log does not name the source")
	}
	list, err := ledger.AsideNow(t.Context(), w.Pool, "weights")
	w.Must(err)
	if len(list) != 1 || list[0].Source != "/careless" || list[0].Partition != 1 || list[0].From != 6 {
		t.Errorf("set aside: %+v", list)
	}
	// Below the quota nobody is set aside, however long it goes on.
	for n := range 300 {
		w.Publish(from(w, "/sometimes", user, 100+n, n%250 == 0))
	}
	w.AwaitWeights()
	if n := w.Int("SELECT count(*) FROM set_aside"); n != 1 {
		t.Errorf("%d sources are set aside, want 1", n)
	}
}

// A source that is released speaks again, and a rebuild comes to what the live version has: what was dead-lettered meanwhile stays.
func TestReleasedSourceSpeaksAgain(t *testing.T) {
	w := grouptest.New(t)
	user := w.UsersOf(1, 1)[0]
	w.Start(w.Weights(fewer))
	for n := range 6 {
		w.Publish(from(w, "/careless", user, n, true))
	}
	w.Until("the source is set aside", func() bool { return w.Int("SELECT count(*) FROM set_aside") == 1 })
	w.Publish(from(w, "/careless", user, 10, false))
	w.AwaitWeights()
	if _, err := w.Operator().Release(t.Context(), "/careful"); err == nil {
		t.Error("a source is released that was not set aside")
	}
	partitions, err := w.Operator().Release(t.Context(), "/careless")
	w.Must(err)
	if diff := cmp.Diff([]int{1}, partitions); diff != "" {
		t.Error(diff)
	}
	w.Publish(from(w, "/careless", user, 11, false), w.Own(world.Decision(user, 12)))
	w.AwaitWeights()
	if diff := cmp.Diff(world.Ledger{Fetched: 9, Applied: 2, DeadLettered: 7}, w.Ledger("weights")); diff != "" {
		t.Error(diff)
	}
	w.Must(operate.Redrive(t.Context(), w.Pool, w.Conn, int64(w.Int("SELECT id FROM dead_letters WHERE reason = 'set_aside'")), "tester", false))
	w.RelayOutbox()
	w.AwaitWeights()
	if got := w.Weight(user, "category:promo"); got != 0.6 {
		t.Errorf("weight %v after redriving, want 0.6: all three decisions", got)
	}
	_, err = rebuild.Run(t.Context(), w.Weights(fewer), false)
	w.Must(err)
	compared, err := rebuild.Compare(t.Context(), w.Weights(fewer))
	w.Must(err)
	if !compared.Equal() || compared.Tables[0].Rows == 0 {
		t.Errorf("the rebuilt version differs: %+v", compared)
	}
}
