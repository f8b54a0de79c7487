package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func reset(id, user string) *events.Event {
	return &events.Event{
		Envelope:   events.Envelope{ID: id, Source: "/test", Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: user, Op: events.PreferenceReset, RecordedAt: now},
	}
}

func erased(id, user string) *events.Event {
	return &events.Event{
		Envelope: events.Envelope{ID: id, Source: "/test", Type: events.TypeUserErased},
		Erasure:  &events.Erasure{UserID: user, RecordedAt: now},
	}
}

func add(t *testing.T, pool *pgxpool.Pool, list ...*events.Event) error {
	t.Helper()
	return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return outbox.Add(t.Context(), tx, list...) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func texts(t *testing.T, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	must(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return list
}

func TestAddKeepsTheOrder(t *testing.T) {
	pool, _ := testenv.Database(t)
	must(t, add(t, pool, reset("c", "ann"), erased("b", "bob"), reset("a", "ann")))
	got := texts(t, pool, "SELECT id || ' ' || aggregatetype || ' ' || convert_from(aggregateid, 'UTF8') || ' ' || user_id FROM outbox ORDER BY seq")
	want := []string{"c applylens.actions ann ann", "b applylens.actions bob bob", "b applylens.mail bob bob", "a applylens.actions ann ann"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestManyRowsKeepTheOrder(t *testing.T) {
	pool, _ := testenv.Database(t)
	rows := make([]outbox.Row, 3000)
	for i := range rows {
		rows[i] = outbox.Row{ID: time.Duration(3000 - i).String(), Topic: "t", Key: []byte{byte(i)}, Type: "x"}
	}
	must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return outbox.Insert(t.Context(), tx, rows...) }))
	for i, id := range texts(t, pool, "SELECT id FROM outbox ORDER BY seq") {
		if id != rows[i].ID {
			t.Fatalf("row %d is %s, want %s", i, id, rows[i].ID)
		}
	}
}

func TestRefusedEventAddsNothing(t *testing.T) {
	pool, _ := testenv.Database(t)
	var refusal *events.Error
	if err := add(t, pool, reset("a", "ann"), reset("", "ann")); !errors.As(err, &refusal) {
		t.Errorf("Add = %v, want an *events.Error", err)
	}
	if list := texts(t, pool, "SELECT id FROM outbox"); len(list) != 0 {
		t.Errorf("rows %v, want none", list)
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.Custom(func(t *rapid.T) events.Header {
			return events.Header{Key: rapid.String().Draw(t, "key"), Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value")}
		})).Draw(t, "headers")
		text, err := outbox.MarshalHeaders(list)
		if err != nil {
			t.Fatal(err)
		}
		got, err := outbox.UnmarshalHeaders(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list, got); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	})
	for _, text := range []string{`{}`, `[["a"]]`, `[["a","?"]]`, `[[1,""]]`, `"a"`} {
		if got, err := outbox.UnmarshalHeaders([]byte(text)); err == nil {
			t.Errorf("%s gives %v, want an error", text, got)
		}
	}
}

func TestSourceStays(t *testing.T) {
	pool, _ := testenv.Database(t)
	first, err := outbox.Source(t.Context(), pool)
	must(t, err)
	second, err := outbox.Source(t.Context(), pool)
	must(t, err)
	if first != second || len(first) != len("/applylens/")+36 {
		t.Errorf("sources %q and %q", first, second)
	}
}

func TestBacklogAndPruning(t *testing.T) {
	pool, _ := testenv.Database(t)
	empty, err := outbox.ReadBacklog(t.Context(), pool)
	must(t, err)
	if empty != (outbox.Backlog{}) {
		t.Errorf("backlog of an empty outbox: %+v", empty)
	}
	must(t, add(t, pool, reset("old", "ann"), reset("young", "ann"), reset("waiting", "ann"), reset("new", "ann")))
	_, err = pool.Exec(t.Context(), `UPDATE outbox SET published_at = now() - CASE id WHEN 'old' THEN interval '8 days' ELSE interval '6 days' END WHERE id IN ('old', 'young')`)
	must(t, err)
	_, err = pool.Exec(t.Context(), `UPDATE outbox SET recorded_at = now() - interval '1 hour' WHERE id = 'waiting'`)
	must(t, err)
	backlog, err := outbox.ReadBacklog(t.Context(), pool)
	must(t, err)
	if backlog.Rows != 2 || backlog.Age < time.Hour || backlog.Age > time.Hour+time.Minute {
		t.Errorf("backlog %+v, want 2 rows and an hour", backlog)
	}
	pruned, err := outbox.Prune(t.Context(), pool, 7*24*time.Hour)
	must(t, err)
	if diff := cmp.Diff([]string{"young", "waiting", "new"}, texts(t, pool, "SELECT id FROM outbox ORDER BY seq")); pruned != 1 || diff != "" {
		t.Errorf("pruned %d; rows (-want +got):\n%s", pruned, diff)
	}
}

func TestSignalCoalesces(t *testing.T) {
	signal := outbox.NewSignal()
	for range 3 {
		signal.Set()
	}
	<-signal.C()
	select {
	case <-signal.C():
		t.Error("a second signal")
	default:
	}
}

func TestWakeIsThrottled(t *testing.T) {
	pool, address := testenv.Database(t)
	listener, err := pgx.Connect(t.Context(), address)
	must(t, err)
	defer listener.Close(context.Background())
	_, err = listener.Exec(t.Context(), "LISTEN "+outbox.Channel)
	must(t, err)
	signal := outbox.NewSignal()
	waker, began, wakes := &outbox.Waker{Pool: pool, Signal: signal}, time.Now(), 0
	for time.Since(began) < 100*time.Millisecond {
		waker.Wake()
		wakes++
	}
	<-signal.C()
	spent, heard := time.Since(began), 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := listener.WaitForNotification(ctx)
		cancel()
		if err != nil {
			break
		}
		heard++
	}
	if most := int(spent/(2*time.Millisecond)) + 2; heard < 1 || heard > most || heard >= wakes {
		t.Errorf("%d notifications of %d wakes, want at most one per 2 ms: %d", heard, wakes, most)
	}
}

func TestRestored(t *testing.T) {
	pool, _ := testenv.Database(t)
	check := func(want bool) {
		t.Helper()
		if got, err := outbox.Restored(t.Context(), pool); err != nil || got != want {
			t.Errorf("Restored = %t, %v; want %t", got, err, want)
		}
	}
	check(false) // the first call accepts the server
	check(false)
	for _, other := range []string{"system_identifier = system_identifier - 1", "timeline_id = timeline_id - 1"} {
		_, err := pool.Exec(t.Context(), "UPDATE deployment SET "+other)
		must(t, err)
		check(true)
		check(true)
		must(t, outbox.AcceptIdentity(t.Context(), pool))
		check(false)
	}
}
