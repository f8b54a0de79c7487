package world_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/world"
)

// part embeds a World, as the tests of a package do.
type part struct{ *world.World }

func TestOwnRecordsAreNumbered(t *testing.T) {
	w := world.New(t).Kfake()
	w.SetClock(world.Noon)
	first, second := w.Own(world.Decision("ann", 1)), w.Own(world.Decision("ann", 2))
	w.Must(pgx.BeginFunc(t.Context(), w.Pool, func(tx pgx.Tx) error {
		return outbox.Add(t.Context(), tx, world.Decision("ann", 3, func(e *events.Event) { e.Source = w.Source }))
	}))
	w.Publish(first, second, w.Foreign(world.Decision("ann", 4)))
	if sent := w.RelayOutbox(); sent != 1 {
		t.Errorf("%d records of the outbox, want 1", sent)
	}
	if again := w.RelayOutbox(); again != 0 {
		t.Errorf("%d records of the outbox were published again", again)
	}
	at := int32(w.PartitionOf("ann"))
	if w.Seqs[at] != 3 {
		t.Errorf("the last number is %d, want 3", w.Seqs[at])
	}
	ends, err := w.Ends(events.TopicActions)
	w.Must(err)
	want := map[int32]int64{0: 0, 1: 0, 2: 0}
	want[at] = 4
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Error(diff)
	}
	if err := w.Folded("weights", events.TopicActions); err == nil {
		t.Error("folded, though nobody folds")
	}
}

func TestReading(t *testing.T) {
	w := part{world.New(t)}
	w.Exec("CREATE TABLE numbers AS SELECT n, n::text AS name FROM generate_series(1, 2) AS n")
	if n := world.Scalar[int](w, "SELECT sum(n)::int FROM numbers"); n != 3 {
		t.Errorf("a sum of %d, want 3", n)
	}
	if diff := cmp.Diff([]string{"1", "2"}, world.Column[string](w, "SELECT name FROM numbers ORDER BY n")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"1": 1, "2": 2}, world.Map[string, int](w, "SELECT name, n FROM numbers")); diff != "" {
		t.Error(diff)
	}
}

func TestClockStands(t *testing.T) {
	w := world.New(t)
	if now := w.Now(); time.Since(now) > time.Minute {
		t.Errorf("it is %s before the clock is set", now)
	}
	w.SetClock(world.Noon)
	w.Advance(time.Hour)
	if got := w.Now().Sub(world.Noon); got != time.Hour {
		t.Errorf("the clock stands %s after noon, want 1h", got)
	}
}
