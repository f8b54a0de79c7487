package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
)

type consumeCommand struct {
	Groups   []string        `arg:"" enum:"${groups}" help:"Groups to join: ${groups}."`
	Kafka    config.Kafka    `embed:"" group:"Connections:"`
	Postgres config.Postgres `embed:"" group:"Connections:"`
	sources
	SessionTimeout  time.Duration `help:"How long after its last heartbeat a process is removed from the group." default:"10s" env:"SESSION_TIMEOUT"`
	DeadLetterLimit int           `help:"How many of 1,000 records of a source may become dead letters in a partition before the source is set aside there or, of our own relay, the partition halts." default:"50" env:"DEAD_LETTER_LIMIT"`
	MetricsListen   address       `help:"Address of /metrics, /healthz and /readyz; empty: none. Default: ${consume_metrics}, or a free port if it is in use." placeholder:"HOST:PORT" env:"METRICS_LISTEN"`
	UserLabel       string        `name:"metrics-user-label" help:"The label user of the product counters: hash, plain or off." enum:"hash,plain,off" default:"hash" env:"METRICS_USER_LABEL"`
}

// Run joins the groups and folds until the context ends.
func (c *consumeCommand) Run(ctx context.Context, p *process) error {
	boundMemory(consumerMiB)
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "applylens consume "+strings.Join(c.Groups, " "))
	if err != nil {
		return err
	}
	defer links.close()
	users, err := newUserLabel(ctx, c.UserLabel, links.pool, p.log)
	if ctx.Err() != nil {
		return nil // told to end while it waited for the database
	}
	if err != nil {
		return err
	}
	registry := newRegistry()
	groups, loop := newGroups(registry, users), consumers.NewMetrics(registry)
	running, ctx := errgroup.WithContext(ctx)
	if err := serveMetrics(ctx, running, p, c.MetricsListen, consumeMetrics, registry, links.pool); err != nil {
		return err
	}
	for _, name := range c.Groups {
		running.Go(func() error {
			return consumers.Run(ctx, consumers.Config{
				Group: groups.Find(name), Broker: links.broker, Pool: links.pool, Log: p.log, Metrics: loop, Owner: owner(),
				SessionTimeout: c.SessionTimeout, AllowedSources: c.allowed(), DeadLetterLimit: c.DeadLetterLimit,
			})
		})
	}
	return running.Wait()
}

// links are the connections that most subcommands need.
type links struct {
	broker *broker.Conn
	pool   *pgxpool.Pool
}

func (l *links) close() {
	l.broker.Close()
	postgres.ClosePool(l.pool)
}

// connect checks both settings and prepares the connections. An unavailable server is not an error yet.
func connect(ctx context.Context, kafka *config.Kafka, database *config.Postgres, application string) (*links, error) {
	if err := kafka.Validate(); err != nil {
		return nil, usageError{err}
	}
	if err := database.Validate(); err != nil {
		return nil, usageError{err}
	}
	conn, err := broker.Open(*kafka)
	if err != nil {
		return nil, usageError{err}
	}
	pool, err := postgres.Open(ctx, *database, application)
	if err != nil {
		conn.Close()
		return nil, usageError{err}
	}
	return &links{conn, pool}, nil
}

// owner names this process in the positions that it owns.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
