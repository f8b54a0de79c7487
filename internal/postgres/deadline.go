package postgres

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/retry"
)

// Time limits of this side of a connection. The server has its own (statement_timeout), but cannot speak for itself when
// it, a proxy or the network between has stopped without a word, as in a fail-over that leaves connections hanging.
const (
	afterServer  = 10 * time.Second // how much later than the server's own limit a statement is given up
	longest      = 24 * time.Hour   // for statements for which the server has no limit
	pingLimit    = 5 * time.Second
	connectLimit = 5 * time.Second

	// closeLimit is how long closing waits for connections that hang. It is a small part of config.ShutdownTimeout.
	closeLimit = 2 * time.Second

	// A peer that is gone is noticed after deadPeer, whether something was sent or is awaited.
	deadPeer   = 15 * time.Second
	probeEvery = 5 * time.Second
)

// deadlines gives every statement of a connection a deadline, unless its context has one: pgx uses the contexts that a
// tracer returns. It also bounds waiting for a connection of a pool.
type deadlines struct{ limit time.Duration }

// deadlineKey is where a context has what ends its deadline; nil when that is somebody else's, as of a statement that is
// being prepared for a query.
type deadlineKey struct{}

func (d deadlines) begin(ctx context.Context) context.Context {
	_, has := ctx.Deadline()
	switch {
	case !has:
		limited, cancel := context.WithTimeout(ctx, d.limit)
		return context.WithValue(limited, deadlineKey{}, cancel)
	case ctx.Value(deadlineKey{}) != nil:
		return context.WithValue(ctx, deadlineKey{}, context.CancelFunc(nil))
	}
	return ctx
}

func end(ctx context.Context) {
	if cancel, _ := ctx.Value(deadlineKey{}).(context.CancelFunc); cancel != nil {
		cancel()
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (d deadlines) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return d.begin(ctx)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (d deadlines) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

// TraceBatchStart implements pgx.BatchTracer.
func (d deadlines) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return d.begin(ctx)
}

// TraceBatchQuery implements pgx.BatchTracer.
func (d deadlines) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (d deadlines) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { end(ctx) }

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (d deadlines) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return d.begin(ctx)
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (d deadlines) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromEndData) {
	end(ctx)
}

// TracePrepareStart implements pgx.PrepareTracer.
func (d deadlines) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	return d.begin(ctx)
}

// TracePrepareEnd implements pgx.PrepareTracer.
func (d deadlines) TracePrepareEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareEndData) {
	end(ctx)
}

// TraceAcquireStart implements pgxpool.AcquireTracer.
func (d deadlines) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return d.begin(ctx)
}

// TraceAcquireEnd implements pgxpool.AcquireTracer.
func (d deadlines) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	end(ctx)
}

// bound makes connections with these settings notice dead peers and give statements up that take longer than the server
// lets them.
func bound(config *pgx.ConnConfig) {
	config.Tracer = deadlines{limitOf(config.RuntimeParams["statement_timeout"])}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectLimit
	}
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeEvery, Interval: probeEvery, Count: int(deadPeer / probeEvery)},
		Control:         giveUpUnacknowledged,
	}
	config.DialFunc = dialer.DialContext
}

// limitOf returns the deadline of statements for a value of statement_timeout.
func limitOf(timeout string) time.Duration {
	number := strings.TrimRight(timeout, "abcdefghijklmnopqrstuvwxyz ")
	unit, known := map[string]time.Duration{"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[strings.TrimSpace(timeout[len(number):])]
	n, err := strconv.ParseFloat(number, 64)
	if !known || err != nil || n <= 0 || n > float64(longest/unit) {
		return longest
	}
	return time.Duration(n*float64(unit)) + afterServer
}

// Connect opens a connection beside the pool, for what has to last as long as its session. params replace settings of the
// server for that session.
func Connect(ctx context.Context, pool *pgxpool.Pool, params map[string]string, adjust ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config := pool.Config().ConnConfig
	for name, value := range params {
		config.RuntimeParams[name] = value
	}
	for _, change := range adjust {
		change(config)
	}
	config.Tracer = deadlines{limitOf(config.RuntimeParams["statement_timeout"])}
	return pgx.ConnectConfig(ctx, config)
}

// Dial opens a connection to another database than the deployment's. Its statements have deadlines, too.
func Dial(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	config = config.Copy()
	bound(config)
	return pgx.ConnectConfig(ctx, config)
}

// Ping asks whether the server still answers: a connection, or one of a pool's.
func Ping(ctx context.Context, server interface{ Ping(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := server.Ping(ctx); err != nil {
		return fmt.Errorf("ping PostgreSQL: %w", err)
	}
	return nil
}

// Close closes a connection. The server ends its session either way, so one that hangs is left to itself.
func Close(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	_ = conn.Close(ctx)
}

// ClosePool closes a pool, and leaves connections that hang to themselves: pgx would wait for each of them for 15 seconds.
func ClosePool(pool *pgxpool.Pool) { retry.AtMost(closeLimit, pool.Close) }

// Patient returns a context for statements without a limit of the server's, such as in a transaction that lifts it.
func Patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, longest)
}
