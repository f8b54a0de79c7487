package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/pgproxy"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// hanging returns a proxy and the URL of a database behind it, whose statements have a second on the server.
func hanging(t *testing.T) (*pgproxy.Proxy, config.Postgres) {
	t.Helper()
	_, database := testenv.Database(t)
	parsed, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := pgproxy.Start(parsed.Host, 0, pgproxy.Healthy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	through, err := proxy.URL(database)
	if err != nil {
		t.Fatal(err)
	}
	return proxy, config.Postgres{DatabaseURL: config.Secret(through + "&statement_timeout=1s")}
}

// Whoever gives no deadline gets one, for every kind of statement, when the connections hang; new ones serve the next.
func TestStatementsEndWhenConnectionsHang(t *testing.T) {
	kinds := map[string]func(ctx context.Context, tx pgx.Tx) error{
		"exec": func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "SELECT 1"); return err },
		"row":  func(ctx context.Context, tx pgx.Tx) error { var n int; return tx.QueryRow(ctx, "SELECT 2").Scan(&n) },
		"batch": func(ctx context.Context, tx pgx.Tx) error {
			b := &pgx.Batch{}
			b.Queue("SELECT 3")
			return tx.SendBatch(ctx, b).Close()
		},
		"copy": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"relays"}, []string{"relay_id"}, pgx.CopyFromRows([][]any{{[16]byte{1}}}))
			return err
		},
		"commit": func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
	}
	for name, statement := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, settings := hanging(t)
			pool, err := postgres.Open(t.Context(), settings, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			defer proxy.Close() // or closing the pool waits for the connections that hang
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			proxy.Hang()
			began := time.Now()
			if err := statement(context.Background(), tx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the statement ended with %v, want its deadline", err)
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("it took %s", took)
			}
			_ = tx.Rollback(context.Background())
			var n int
			if err := pool.QueryRow(context.Background(), "SELECT 1").Scan(&n); err != nil {
				t.Errorf("on another connection: %v", err)
			}
		})
	}
}

// A connection that hung while it lay in the pool is found out before it is used.
func TestPingsOfThePoolEnd(t *testing.T) {
	t.Parallel()
	proxy, settings := hanging(t)
	pool, err := postgres.Open(t.Context(), settings, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	asks := pool.Config()
	asks.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true } // by default after a second of rest
	if pool, err = pgxpool.NewWithConfig(t.Context(), asks); err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	defer proxy.Close()
	if err := postgres.Ping(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	proxy.Hang()
	limited, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	conn, err := pool.Acquire(limited)
	if err != nil {
		t.Fatal(err)
	}
	conn.Release()
}

// A server that accepts connections and never answers is no server.
func TestConnectingEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	pool, err := postgres.Open(t.Context(), config.Postgres{DatabaseURL: config.Secret(fmt.Sprintf("postgres://nobody@%s/none?sslmode=disable", listener.Addr()))}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(context.Background(), "SELECT 1"); err == nil || strings.Contains(err.Error(), "refused") {
		t.Errorf("a silent server answered: %v", err)
	}
}
