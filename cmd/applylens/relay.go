package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/ops"
	"github.com/applylens/applylens/producers/relay"
)

type relayCommand struct {
	Kafka    config.Kafka    `embed:""`
	Postgres config.Postgres `embed:""`
	config.RelaySecret
	Keep          time.Duration `help:"How long sent rows of the outbox are kept. They are published again if Kafka has lost records." default:"168h" env:"OUTBOX_KEEP"`
	MetricsListen string        `help:"Address of /metrics, /healthz and /readyz; empty: none." default:"127.0.0.1:9464" env:"METRICS_LISTEN"`
}

// Run publishes the outbox until the context ends. Several relays may run: one is the leader, the others stand by.
func (c *relayCommand) Run(ctx context.Context, p *process) error {
	secret, err := c.Secret()
	if err != nil {
		return usageError{err}
	}
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "applylens relay")
	if err != nil {
		return err
	}
	defer links.close()
	registry := newRegistry()
	running, ctx := errgroup.WithContext(ctx)
	running.Go(func() error {
		return relay.Run(ctx, relay.Config{Pool: links.pool, Conn: links.broker, Log: p.log, Registry: registry, Keep: c.Keep, Secret: secret})
	})
	if c.MetricsListen != "" {
		if err := watchLag(ctx, running, links, registry); err != nil {
			return err
		}
		ready := func() error { return links.pool.Ping(ctx) }
		running.Go(func() error { return ops.Serve(ctx, c.MetricsListen, registry, ready) })
	}
	return running.Wait()
}
