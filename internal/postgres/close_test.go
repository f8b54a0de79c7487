package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// A connection that hangs does not keep a process from ending: pgx's own Close waits for 15 seconds.
func TestClosingLeavesConnectionsThatHang(t *testing.T) {
	_, address := testenv.Database(t)
	upstream, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := pgproxy.Start(upstream.Host, 0, pgproxy.Healthy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	if address, err = proxy.URL(address); err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(t.Context(), config.Postgres{DatabaseURL: config.Secret(address)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := postgres.Begin(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := postgres.Connect(t.Context(), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tx.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a connection that hangs answers")
	}
	began := time.Now()
	tx.Rollback(ctx)
	postgres.Close(conn)
	postgres.ClosePool(pool)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("closing took %s", took)
	}
}
