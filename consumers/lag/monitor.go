package lag

import (
	"context"
	"sync"
	"time"
)

// Monitor looks again and again and keeps a window of looks, which is what tells OK, LAGGING and STALLED apart. It is
// safe for concurrent use.
type Monitor struct {
	cfg Config

	looking sync.Mutex // held during a look
	past    history

	mu     sync.Mutex
	latest *Report
}

// NewMonitor returns a monitor that has not looked yet.
func NewMonitor(cfg Config) (*Monitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Monitor{cfg: cfg, past: history{looks: cfg.Looks}}, nil
}

// Run looks at once and then every Interval, until ctx ends. What is away shows in the reports.
func (m *Monitor) Run(ctx context.Context) {
	ticker := time.NewTicker(m.cfg.Interval)
	defer ticker.Stop()
	for {
		_, _ = m.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look takes one look now. Its report and error are as Read's, but judged by the window.
func (m *Monitor) Look(ctx context.Context) (*Report, error) {
	m.looking.Lock()
	defer m.looking.Unlock()
	report, err := read(ctx, &m.cfg, &m.past)
	if ctx.Err() != nil {
		return report, ctx.Err() // it was cut off and says nothing of the servers
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = report
	return report, err
}

// Report returns the latest report, or false when there is none that is recent enough to be shown as the present. It
// must not be changed.
func (m *Monitor) Report() (*Report, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := m.latest != nil && m.cfg.Now().Sub(m.latest.At) < 3*(m.cfg.Interval+m.cfg.Timeout)
	if !fresh {
		return nil, false
	}
	return m.latest, true
}
