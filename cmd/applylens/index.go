package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
)

type indexCommand struct {
	Postgres      config.Postgres      `embed:"" group:"Connections:"`
	Elasticsearch config.Elasticsearch `embed:"" group:"Connections:"`
	MetricsListen address              `help:"Address of /metrics, /healthz and /readyz; empty: none. Default: ${index_metrics}, or a free port if it is in use." placeholder:"HOST:PORT" env:"METRICS_LISTEN"`
	Forget        bool                 `help:"Delete the index and stop marking changes for it."`
	Yes           bool                 `help:"With --forget: delete. Without it, only show what would be deleted."`
}

// Run keeps the index up to date until the context ends. Several may run: one is the leader, the others stand by.
func (c *indexCommand) Run(ctx context.Context, p *process) error {
	boundMemory(consumerMiB)
	if err := errors.Join(c.Postgres.Validate(), c.Elasticsearch.Require(), c.Elasticsearch.Validate()); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens index")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	client, err := elastic.Open(c.Elasticsearch)
	if err != nil {
		return usageError{err}
	}
	if c.Forget {
		return c.forget(ctx, p, pool, client)
	}
	registry := newRegistry()
	running, ctx := errgroup.WithContext(ctx)
	if err := serveMetrics(ctx, running, p, c.MetricsListen, indexMetrics, registry, pool); err != nil {
		return err
	}
	running.Go(func() error {
		return indexer.Run(ctx, indexer.Config{Pool: pool, Client: client, Log: p.log, Registry: registry})
	})
	return running.Wait()
}

func (c *indexCommand) forget(ctx context.Context, p *process, pool *pgxpool.Pool, client *elastic.Client) error {
	names, err := indexer.Indices(ctx, pool)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(p.stdout, printable.Text(name))
	}
	if len(names) == 0 {
		return errors.New("there is no index to delete")
	}
	if !c.Yes {
		fmt.Fprintln(p.stdout, "these indices would be deleted; repeat with --yes")
		return nil
	}
	return indexer.Forget(ctx, pool, client)
}
