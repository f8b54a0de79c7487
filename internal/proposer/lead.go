package proposer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// lockKey is the advisory lock of the leading proposer.
const lockKey int64 = 0x6170_6c70_726f // "aplpro"

// lockEvery is how often a process at most tries to become the leader.
const lockEvery = time.Second

// proposer is one process.
type proposer struct {
	Config
	observers *observers
	source    string // of the events
}

// Run proposes until ctx ends, while this process leads. It returns an error only for a wrong config; outages of PostgreSQL are
// retried.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	o, err := newObservers(config.Registry)
	if err != nil {
		return fmt.Errorf("register proposer metrics: %w", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go watch(watching, config.Pool, o)
	retry.Always(ctx, lockEvery, lockEvery, func(int) {
		p := &proposer{Config: config, observers: o}
		if err := p.lead(ctx); err != nil && ctx.Err() == nil {
			config.Log.Warn("the proposer was interrupted", "error", err)
		}
		o.leader.Set(0)
	})
	return nil
}

// lead works while it holds the lock; without the lock it returns at once.
func (p *proposer) lead(ctx context.Context) (err error) {
	conn, err := postgres.Connect(ctx, p.Pool, map[string]string{
		"application_name": "applylens-proposer", "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	if err != nil {
		return fmt.Errorf("connect for the lock: %w", err)
	}
	defer postgres.Close(conn) // the lock goes with it
	if leads, err := postgres.TryLock(ctx, conn, lockKey); err != nil || !leads {
		return err
	}
	if p.source, err = outbox.Source(ctx, conn); err != nil {
		return err
	}
	p.observers.leader.Set(1)
	p.Log.Info("the proposer leads")
	return newRounds(p).run(ctx, func() error {
		if err := postgres.Ping(ctx, conn); err != nil {
			return errors.Join(errors.New("the lock is lost"), err)
		}
		return nil
	})
}

// HasLeader tells whether some process proposes now.
func HasLeader(ctx context.Context, db postgres.RowQuerier) (bool, error) {
	return postgres.Held(ctx, db, lockKey)
}
