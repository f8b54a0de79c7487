package mailsync

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/producers/mailimport"
)

const (
	lookEvery   = 500 * time.Millisecond // for accounts that nobody watches
	takeAtOnce  = 100
	releaseTime = 5 * time.Second
)

// process watches accounts.
type process struct {
	Config
	observers *observers
	live      *mailimport.Live
	index     *accounts.Index
	slots     chan *mailimport.Single // who has one may read mail

	mu      sync.Mutex
	watched map[events.UUID]*watch
	ended   sync.WaitGroup
}

// watch is an account that a goroutine watches.
type watch struct {
	lease  accounts.Lease
	cancel context.CancelFunc
}

// Run watches accounts until ctx ends. It returns an error only for a wrong config; outages are retried.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	o, err := newObservers(config.Registry)
	if err != nil {
		return fmt.Errorf("register metrics of accounts: %w", err)
	}
	p := &process{Config: config, observers: o, live: mailimport.NewLive(config.Conn, config.Log),
		slots: make(chan *mailimport.Single, config.AtOnce), watched: map[events.UUID]*watch{}}
	for range config.AtOnce {
		p.slots <- mailimport.NewSingle()
	}
	defer p.live.Close()
	defer p.ended.Wait()
	if p.index, err = p.newIndex(ctx); err != nil {
		return nil // ctx has ended
	}
	p.watchAll(ctx)
	return nil
}

func (p *process) newIndex(ctx context.Context) (index *accounts.Index, err error) {
	err = retry.Until(ctx, lookEvery, 10*time.Second, func(int) error {
		source, err := outbox.Source(ctx, p.Pool)
		if err != nil && ctx.Err() == nil {
			p.Log.Warn("waiting for the database", "error", err)
		}
		index = &accounts.Index{Pool: p.Pool, Source: source, Gate: p.Gate}
		return err
	})
	return index, err
}

// watchAll takes accounts and renews their leases until ctx ends.
func (p *process) watchAll(ctx context.Context) {
	renewed := time.Now()
	for ctx.Err() == nil {
		if time.Since(renewed) >= p.Lease/3 {
			if p.renew(ctx) {
				renewed = time.Now()
			} else if time.Since(renewed) > p.Lease*2/3 {
				p.cancelAll() // others may take them at any time
			}
		}
		p.take(ctx)
		_ = retry.Wait(ctx, min(lookEvery, p.Lease/6))
	}
	p.cancelAll()
}

// take takes accounts that nobody watches.
func (p *process) take(ctx context.Context) {
	p.mu.Lock()
	room := min(p.Most-len(p.watched), takeAtOnce)
	p.mu.Unlock()
	if room <= 0 {
		return
	}
	leases, err := accounts.Acquire(ctx, p.Pool, p.Holder, p.Lease, room)
	if err != nil {
		if ctx.Err() == nil {
			p.Log.Warn("accounts are not taken", "error", err)
		}
		return
	}
	for _, lease := range leases {
		p.start(ctx, lease)
	}
}

func (p *process) start(ctx context.Context, lease accounts.Lease) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{lease, cancel}
	p.mu.Lock()
	old := p.watched[lease.AccountID]
	p.watched[lease.AccountID] = w
	p.observers.accounts.Set(float64(len(p.watched)))
	p.mu.Unlock()
	if old != nil {
		old.cancel() // its lease had run out
	}
	p.ended.Go(func() {
		defer cancel()
		p.work(ctx, lease)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.watched[lease.AccountID] == w {
			delete(p.watched, lease.AccountID)
			p.observers.accounts.Set(float64(len(p.watched)))
		}
	})
}

// renew renews all leases, and ends the watching of accounts that are not this process's any more. It tells whether the database
// answered.
func (p *process) renew(ctx context.Context) bool {
	p.mu.Lock()
	list := make([]*watch, 0, len(p.watched))
	leases := make([]accounts.Lease, 0, len(p.watched))
	for _, w := range p.watched {
		list, leases = append(list, w), append(leases, w.lease)
	}
	p.mu.Unlock()
	if len(list) == 0 {
		return true
	}
	held, err := accounts.Renew(ctx, p.Pool, p.Holder, p.Lease, leases)
	if err != nil {
		if ctx.Err() == nil {
			p.Log.Warn("leases of accounts are not renewed", "error", err)
		}
		return false
	}
	for _, w := range list {
		if !held[w.lease.AccountID] {
			w.cancel()
		}
	}
	return true
}

func (p *process) cancelAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watched {
		w.cancel()
	}
}
