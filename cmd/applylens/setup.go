package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/outbox"
)

// newRegistry returns a registry that has the process's own metrics already.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// consumerMiB is what a process that folds live takes of memory at most.
const consumerMiB = 128

// boundMemory lets a process that folds collect garbage more often as it nears its share of memory, so that its peak
// stays below the given size. GOMEMLIMIT overrides it.
func boundMemory(mebibytes int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mebibytes) << 20 / 4 * 3)
	}
}

// newUserLabel reads the deployment's secret for labelling persons, waiting for the database when it is away.
func newUserLabel(ctx context.Context, mode string, pool *pgxpool.Pool) (*metrics.UserLabel, error) {
	if mode != metrics.UserHash {
		return metrics.NewUserLabel(mode, nil)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		var key [16]byte
		err := pool.QueryRow(ctx, "SELECT metrics_key FROM deployment").Scan(&key)
		if err == nil {
			return metrics.NewUserLabel(mode, key[:])
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-ticker.C:
		}
	}
}

// restoredGate keeps decisions out while the database is behind the log, as after a restore from a backup. What it
// found holds for two seconds: a database that is replaced loses its connections too.
type restoredGate struct {
	pool *pgxpool.Pool

	mu   sync.Mutex
	good time.Time // when it was last found in order
}

var errRestored = errors.New("the database was restored from a backup and the relay has not caught up with the log")

// check returns an error while nothing may be decided.
func (g *restoredGate) check(ctx context.Context) error {
	g.mu.Lock()
	fresh := time.Since(g.good) < 2*time.Second
	g.mu.Unlock()
	if fresh {
		return nil
	}
	restored, err := outbox.Restored(ctx, g.pool)
	if err != nil {
		return err
	}
	if restored {
		return errRestored
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.good = time.Now()
	return nil
}
