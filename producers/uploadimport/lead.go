package uploadimport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/uploads"
)

// lockKey is the advisory lock of the leading importer.
const lockKey int64 = 0x6170_6c75_706c // "aplupl"

const (
	lockEvery  = time.Second      // how often a process at most tries to become the leader
	sweepEvery = time.Minute      // how often each process sweeps its directory
	retryAfter = 10 * time.Second // how long an import that could not be done waits
)

// importer is one process.
type importer struct {
	Config
	observers *observers
}

// Run imports until ctx ends, while this process leads, and sweeps the directory. It returns an error only for a wrong config; outages
// are retried.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	o, err := newObservers(config.Registry)
	if err != nil {
		return fmt.Errorf("register metrics of the importer of uploads: %w", err)
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for ; ctx.Err() == nil; _ = retry.Wait(ctx, sweepEvery) {
			if err := config.Store.Sweep(ctx); err != nil && ctx.Err() == nil {
				config.Log.Warn("expired uploads cannot be removed", "error", err)
			}
		}
	}()
	retry.Always(ctx, lockEvery, lockEvery, func(int) {
		i := &importer{config, o}
		if err := i.lead(ctx); err != nil && ctx.Err() == nil {
			config.Log.Warn("the importer of uploads was interrupted", "error", err)
		}
		o.leader.Set(0)
	})
	<-swept
	return nil
}

// lead works while it holds the lock; without the lock it returns at once.
func (i *importer) lead(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, i.Pool, map[string]string{
		"application_name": "applylens-uploads", "tcp_keepalives_idle": "5", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	})
	if err != nil {
		return fmt.Errorf("connect for the lock: %w", err)
	}
	defer postgres.Close(conn) // the locks go with it
	if leads, err := postgres.TryLock(ctx, conn, lockKey); err != nil || !leads {
		return err
	}
	i.observers.leader.Set(1)
	i.Log.Info("the importer of uploads leads")
	return newRounds(i, conn).run(ctx)
}

// rounds begin imports and end them. Its loop alone touches it, but for ended.
type rounds struct {
	*importer
	conn      *pgx.Conn // holds the locks
	running   map[string]bool
	notBefore map[events.UUID]time.Time
	ended     chan ended
}

type ended struct {
	upload *uploads.Upload
	err    error
}

func newRounds(i *importer, conn *pgx.Conn) *rounds {
	return &rounds{i, conn, map[string]bool{}, map[events.UUID]time.Time{}, make(chan ended, i.AtOnce)}
}

// run imports until ctx ends, or the locks are lost, or the database fails. When it returns, nothing is being imported.
func (r *rounds) run(ctx context.Context) error {
	imports, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for len(r.running) > 0 {
			delete(r.running, (<-r.ended).upload.UserID)
		}
	}()
	look := time.NewTicker(r.Poll)
	defer look.Stop()
	for {
		if err := postgres.Ping(ctx, r.conn); err != nil {
			return errors.Join(errors.New("the lock is lost"), err)
		}
		if err := r.begin(ctx, imports); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		case e := <-r.ended:
			if err := r.end(ctx, e); err != nil {
				return err
			}
		}
	}
}

// begin imports the next files of persons of whom none is being imported, as many as may be.
func (r *rounds) begin(ctx, imports context.Context) error {
	if len(r.running) >= r.AtOnce {
		return nil
	}
	now := time.Now()
	maps.DeleteFunc(r.notBefore, func(_ events.UUID, at time.Time) bool { return now.After(at) })
	next, err := r.Store.Next(ctx)
	if err != nil {
		return err
	}
	for n := range next {
		u := &next[n]
		if len(r.running) >= r.AtOnce {
			return nil
		}
		if r.running[u.UserID] || now.Before(r.notBefore[u.ID]) {
			continue
		}
		var locked bool
		if err := r.conn.QueryRow(ctx, uploads.TryLock, u.UserID).Scan(&locked); err != nil {
			return fmt.Errorf("lock a person's imports: %w", err)
		}
		if !locked {
			continue // they are being erased
		}
		r.running[u.UserID] = true
		go func() { r.ended <- ended{u, r.take(imports, u)} }()
	}
	return nil
}

func (r *rounds) end(ctx context.Context, e ended) error {
	delete(r.running, e.upload.UserID)
	if e.err != nil {
		r.notBefore[e.upload.ID] = time.Now().Add(retryAfter)
		r.Log.Warn("the import of an upload waits", "upload", e.upload.ID, "error", e.err)
	}
	if _, err := r.conn.Exec(ctx, uploads.Unlock, e.upload.UserID); err != nil {
		return fmt.Errorf("unlock a person's imports: %w", err)
	}
	return nil
}
