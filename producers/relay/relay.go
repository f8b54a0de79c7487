package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// relay is one candidate for leadership. Its fields are immutable.
type relay struct {
	Config
	metrics *metrics
	wake    chan struct{} // rows may have been committed
}

// Run publishes the outbox until ctx ends: it waits for leadership, leads, and starts over when leadership is lost. It
// returns an error only for a wrong config; outages of Kafka and PostgreSQL are retried.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	m, err := newMetrics(config.Registry)
	if err != nil {
		return fmt.Errorf("register relay metrics: %w", err)
	}
	run(ctx, config, m)
	return nil
}

func run(ctx context.Context, config Config, m *metrics) {
	r := &relay{Config: config, metrics: m, wake: make(chan struct{}, 1)}
	var group sync.WaitGroup
	group.Go(func() { r.watchBacklog(ctx) })
	r.lead(ctx)
	group.Wait()
}

// lead runs term after term.
func (r *relay) lead(ctx context.Context) {
	retry.Always(ctx, firstRetry, lastRetry, func(int) {
		if err := r.term(ctx); ctx.Err() == nil {
			r.Log.Warn("relay interrupted", "error", err)
		}
	})
}

// term opens a connection, waits on it for the lock, and leads.
func (r *relay) term(ctx context.Context) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(conn)
	for {
		locked, err := tryLock(ctx, conn)
		if err != nil {
			return err
		}
		if locked {
			break
		}
		_ = retry.Wait(ctx, lockEvery/2+time.Duration(rand.Int64N(int64(lockEvery))))
	}
	r.metrics.leader.Set(1)
	defer r.metrics.leader.Set(0)
	return r.serve(ctx, conn)
}

// serve leads one term: it runs the term's loop and what wakes it.
func (r *relay) serve(ctx context.Context, conn *pgx.Conn) error {
	t, err := newTerm(ctx, r, conn)
	if err != nil {
		return err
	}
	r.Log.Info("relay leads", "relay_id", t.id.String())
	helpers, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { t.watcher.run(helpers) })
	group.Go(func() { r.listen(helpers) })
	group.Go(func() { r.prune(helpers) })
	err = t.run(ctx)
	cancel()
	group.Wait()
	return err
}

// connect opens a connection of the relay's own. The server notices within seconds when this process is gone, so that
// another can lead. Sequential scans are off since plans outlive the small outbox that they were made for: every statement
// finds its rows by an index, and in its order.
func (r *relay) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, r.Pool, map[string]string{
		"application_name": "applylens-relay", "enable_seqscan": "off", "enable_bitmapscan": "off",
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	if err != nil {
		return nil, fmt.Errorf("connect the relay: %w", err)
	}
	return conn, nil
}

// watchBacklog keeps the gauges up to date, whether or not this process leads and Kafka can be reached.
func (r *relay) watchBacklog(ctx context.Context) {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, statementLimit)
		backlog, err := outbox.ReadBacklog(limited, r.Pool)
		cancel()
		if err == nil {
			r.metrics.rows.Set(float64(backlog.Rows))
			r.metrics.age.Set(backlog.Age.Seconds())
		} else if ctx.Err() == nil {
			r.Log.Debug("outbox not counted", "error", err)
		}
		_ = retry.Wait(ctx, gaugeEvery)
	}
}

// prune deletes rows that were published longer than Keep ago.
func (r *relay) prune(ctx context.Context) {
	for ctx.Err() == nil {
		pruned, err := outbox.Prune(ctx, r.Pool, r.Keep)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("published outbox rows not pruned", "error", err)
		} else if pruned > 0 {
			r.Log.Info("published outbox rows pruned", "rows", pruned)
		}
		_ = retry.Wait(ctx, pruneEvery)
	}
}
