package warehouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// Plan is the schedule of syncs.
type Plan struct {
	Schedule

	// FullEvery is the interval between full reads. Default: 20h, so that a daily sync is always a full read.
	FullEvery time.Duration

	// Report is called after each finished sync, including held ones. Default: none.
	Report func(*Summary)
}

// Validate lists every fault and sets the defaults.
func (p *Plan) Validate() error {
	if p.FullEvery == 0 {
		p.FullEvery = 20 * time.Hour
	}
	if p.FullEvery < 0 {
		return errors.New("the interval between full reads must not be negative")
	}
	if p.Report == nil {
		p.Report = func(*Summary) {}
	}
	return p.Schedule.Validate()
}

const (
	lookEvery  = time.Minute // how often the clock is read: timers do not advance while a machine sleeps
	firstRetry = 30 * time.Second
	lastRetry  = 15 * time.Minute
	heldRetry  = time.Hour // a held sync is retried: the warehouse may have recovered

	lastTopicRetry = time.Minute
	heldTopicRetry = 5 * time.Minute // only an operator can resolve a held topic
)

// Run syncs a source on a schedule until ctx ends. Failed syncs are retried for ever; a missed sync is made up for. It returns
// an error only for an invalid config.
func Run(ctx context.Context, cfg Config, source Source, plan Plan) error {
	if err := errors.Join(cfg.Validate(), plan.Validate()); err != nil {
		return err
	}
	r := &runner{Plan: plan, now: cfg.Now, log: cfg.Log}
	r.state = func(ctx context.Context) (state, error) { return cfg.recall(ctx, cfg.nameOf(source)) }
	r.sync = func(ctx context.Context, full bool) (*Summary, error) {
		return Sync(ctx, cfg, source, Options{Full: full})
	}
	r.loop(ctx)
	return nil
}

// recall reads the state left by earlier processes, and sets the metrics from it.
func (c *Config) recall(ctx context.Context, source string) (state, error) {
	all, err := ReadStatus(ctx, c.Pool)
	if err != nil {
		return state{}, err
	}
	var s state
	for _, status := range all {
		if status.Source != source {
			continue
		}
		if status.SyncedAt != nil {
			s.synced = *status.SyncedAt
			c.Metrics.setSynced(s.synced)
		}
		if status.FullAt != nil {
			s.full = *status.FullAt
		}
		if status.NewestRow != nil {
			c.Metrics.setNewest(*status.NewestRow)
		}
		c.Metrics.setHeld(status.HeldReason)
	}
	return s, nil
}

// runner runs syncs on a schedule. It uses no database, so that tests can control time.
type runner struct {
	Plan
	now   func() time.Time
	log   *slog.Logger
	state func(context.Context) (state, error)
	sync  func(ctx context.Context, full bool) (*Summary, error)
}

func (r *runner) loop(ctx context.Context) {
	var before state
	err := retry.Until(ctx, firstRetry, lastRetry, func(int) (err error) {
		if before, err = r.state(ctx); err != nil {
			r.log.Warn("the state of the warehouse cannot be read", "error", err)
		}
		return err
	})
	if err != nil {
		return
	}
	due := r.Next(before.synced)
	for failures := 0; r.until(ctx, due) == nil; {
		began := r.now()
		full := !began.Before(before.full.Add(r.FullEvery))
		summary, err := r.sync(ctx, full)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			due = began.Add(retry.Delay(failures, firstRetry, lastRetry, rand.Float64()))
			failures++
			r.log.Warn("warehouse sync failed, will retry", "error", err, "again_at", due)
			continue
		case summary.Held != nil:
			due = earlier(r.Next(began), began.Add(heldRetry))
		default:
			due = r.Next(began)
			if summary.Full {
				before.full = began
			}
		}
		failures = 0
		r.Report(summary)
	}
}

// until waits until a time.
func (r *runner) until(ctx context.Context, due time.Time) error {
	for {
		left := due.Sub(r.now())
		if left <= 0 {
			return ctx.Err()
		}
		if err := retry.Wait(ctx, min(left, lookEvery)); err != nil {
			return err
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// FollowTopic reads a change topic until ctx ends. Outages and holds are retried. It returns an error only for an invalid
// config.
func FollowTopic(ctx context.Context, cfg Config, topic *Topic, report func(*Summary)) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if topic.Broker == nil || topic.Topic == "" {
		return fmt.Errorf("warehouse: a topic and its brokers are required")
	}
	for failures := 0; ctx.Err() == nil; {
		summary, err := readTopic(ctx, &cfg, topic, nil, true)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrBusy):
			cfg.Log.Debug("another process reads the topic", "topic", topic.Topic)
		case err != nil:
			cfg.Log.Warn("the change topic cannot be read, will retry", "topic", topic.Topic, "error", err)
			_ = retry.Wait(ctx, retry.Delay(failures, firstRetry, lastTopicRetry, rand.Float64()))
			failures++
		default:
			failures = 0
			if summary.Held != nil || summary.anything() {
				report(summary)
			}
			if summary.Held != nil {
				_ = retry.Wait(ctx, heldTopicRetry) // without the lock, so that an operator can accept
			}
		}
	}
	return nil
}
