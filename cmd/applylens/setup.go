package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/applylens/applylens/internal/metrics"
)

// newRegistry returns a registry that has the process's own metrics already.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
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
