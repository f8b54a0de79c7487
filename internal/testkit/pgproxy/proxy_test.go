package pgproxy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// bench is a table t, with a connection through the proxy and a direct one.
type bench struct {
	*Proxy
	url    string
	direct *pgx.Conn
}

func start(t *testing.T, freeze time.Duration, schedule Schedule) *bench {
	t.Helper()
	_, database := testenv.Database(t)
	parsed, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := Start(parsed.Host, freeze, schedule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	through, err := proxy.URL(database)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Proxy: proxy, url: through, direct: connect(t, database)}
	if _, err := b.direct.Exec(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	return b
}

func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// insert commits one row through the proxy, as a simple query or in the extended protocol.
func (b *bench) insert(t *testing.T, extended bool) error {
	t.Helper()
	conn := connect(t, b.url)
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES ($1)", 1); err != nil {
		t.Fatal(err)
	}
	mode := pgx.QueryExecModeSimpleProtocol
	if extended {
		mode = pgx.QueryExecModeCacheStatement
	}
	_, err := conn.Exec(t.Context(), "commit", mode)
	return err
}

// rows counts the committed rows. It waits for the server, which may still be committing after the client's connection is gone.
func (b *bench) rows(t *testing.T) int {
	t.Helper()
	var n int
	// The lock waits for open transactions.
	if _, err := b.direct.Exec(t.Context(), "BEGIN; LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = b.direct.Exec(t.Context(), "ROLLBACK") }()
	if err := b.direct.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		fault  Fault
		failed bool
		rows   int
		want   Counts
	}{
		{"healthy", None, false, 1, Counts{Commits: 1}},
		{"response dropped", AckEaten, true, 1, Counts{Commits: 1, AckEaten: 1}},
		{"request dropped", DropBefore, true, 0, Counts{Commits: 1, DropBefore: 1}},
		{"frozen", Freeze, false, 1, Counts{Commits: 1, Frozen: 1}},
	}
	for _, test := range tests {
		for _, extended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s extended=%v", test.name, extended), func(t *testing.T) {
				b := start(t, 20*time.Millisecond, Always(test.fault))
				if err := b.insert(t, extended); (err != nil) != test.failed {
					t.Errorf("commit: %v", err)
				}
				if got := b.rows(t); got != test.rows {
					t.Errorf("%d rows, want %d", got, test.rows)
				}
				if diff := cmp.Diff(test.want, b.Counts()); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestPgxCommitIsSeen(t *testing.T) {
	b := start(t, 0, Always(AckEaten))
	tx, err := connect(t, b.url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("the commit was acknowledged")
	}
	if got := b.rows(t); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

func TestPipelinedCommitIsSeen(t *testing.T) {
	b := start(t, 0, Always(AckEaten))
	conn := connect(t, b.url)
	batch := new(pgx.Batch)
	batch.Queue("BEGIN")
	batch.Queue("INSERT INTO t VALUES ($1)", 1)
	batch.Queue("COMMIT")
	if err := conn.SendBatch(t.Context(), batch).Close(); err == nil {
		t.Error("the commit was acknowledged")
	}
	if got := b.rows(t); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

func TestCommitOfAFailedTransactionIsLeftAlone(t *testing.T) {
	b := start(t, 0, func(n int) Fault { return []Fault{AckEaten, None}[n-1] })
	conn := connect(t, b.url)
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1/0"); err == nil {
		t.Fatal("divided by zero")
	}
	tag, err := conn.Exec(t.Context(), "COMMIT")
	if err != nil || tag.String() != "ROLLBACK" {
		t.Fatalf("%q, %v; want ROLLBACK", tag, err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "COMMIT"); err != nil {
		t.Errorf("the next commit had the fault of the previous one: %v", err)
	}
	if got, want := b.Counts(), (Counts{Commits: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestCancelRequestReachesTheServer(t *testing.T) {
	b := start(t, 0, Healthy)
	conn := connect(t, b.url)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT pg_sleep(60)")
		done <- err
	}()
	for {
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Errorf("cancel request: %v", err)
		}
		select {
		case err := <-done:
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "57014" {
				t.Errorf("the query ended with %v, want cancelled", err)
			}
			return
		case <-time.After(5 * time.Millisecond): // it may have arrived before the query
		}
	}
}

func TestSeededScheduleRepeats(t *testing.T) {
	rates := map[Fault]float64{AckEaten: 0.1, DropBefore: 0.2, Freeze: 0.3}
	seen := map[Fault]int{}
	first, second, other := Seeded(7, rates), Seeded(7, rates), Seeded(8, rates)
	differs := false
	for n := range 10_000 {
		fault := first(n)
		if fault != second(n) {
			t.Fatalf("the fault of %d differs", n)
		}
		differs = differs || fault != other(n)
		seen[fault]++
	}
	if !differs {
		t.Error("another seed has the same schedule")
	}
	for fault, rate := range map[Fault]float64{None: 0.4, AckEaten: 0.1, DropBefore: 0.2, Freeze: 0.3} {
		if got := float64(seen[fault]) / 10_000; got < rate-0.02 || got > rate+0.02 {
			t.Errorf("fault %d in %.3f of the commits, want %.1f", fault, got, rate)
		}
	}
}
