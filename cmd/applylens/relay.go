package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/producers/relay"
)

type relayCommand struct {
	Kafka         config.Kafka       `embed:"" group:"Connections:"`
	Postgres      config.Postgres    `embed:"" group:"Connections:"`
	RelaySecret   config.RelaySecret `embed:"" group:"Connections:"`
	Keep          time.Duration      `help:"How long sent rows of the outbox are kept. They are published again if Kafka has lost records." default:"168h" env:"OUTBOX_KEEP"`
	MetricsListen address            `help:"Address of /metrics, /healthz and /readyz; empty: none. Default: ${relay_metrics}, or a free port if it is in use." placeholder:"HOST:PORT" env:"METRICS_LISTEN"`
}

// Run publishes the outbox until the context ends. Several relays may run: one is the leader, the others stand by.
func (c *relayCommand) Run(ctx context.Context, p *process) error {
	secret, err := c.RelaySecret.Secret()
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
	if err := serveMetrics(ctx, running, p, c.MetricsListen, relayMetrics, registry, links.pool); err != nil {
		return err
	}
	if !c.MetricsListen.none() {
		if err := watchLag(ctx, running, links, registry); err != nil {
			return err
		}
	}
	running.Go(func() error {
		return relay.Run(ctx, relay.Config{Pool: links.pool, Conn: links.broker, Log: p.log, Registry: registry, Keep: c.Keep, Secret: secret})
	})
	return running.Wait()
}
