package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/retry"
)

// newRegistry returns a registry with the metrics of the Go runtime and the process.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// consumerMiB is the memory limit of a process that folds live versions.
const consumerMiB = 128

// boundMemory sets the soft memory limit of the Go runtime to three quarters of the given size, so that the peak stays
// below it. GOMEMLIMIT overrides it.
func boundMemory(mebibytes int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(mebibytes) << 20 / 4 * 3)
	}
}

// databaseEvery is how often at most the database is asked while it is unavailable at the start.
const databaseEvery = time.Second

// newUserLabel reads the deployment's key for hashing the label user. It waits while the database is unavailable.
func newUserLabel(ctx context.Context, mode string, pool *pgxpool.Pool, log *slog.Logger) (*metrics.UserLabel, error) {
	if mode != metrics.UserHash {
		return metrics.NewUserLabel(mode, nil)
	}
	var key [16]byte
	var last error
	err := retry.Until(ctx, databaseEvery, databaseEvery, func(int) error {
		if last = pool.QueryRow(ctx, "SELECT metrics_key FROM deployment").Scan(&key); last != nil && ctx.Err() == nil {
			log.Warn("the key of the metrics cannot be read, will retry", "error", last)
		}
		return last
	})
	if err != nil {
		return nil, errors.Join(err, last)
	}
	return metrics.NewUserLabel(mode, key[:])
}
