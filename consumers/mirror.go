package consumers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/applylens/applylens/internal/failpoint"
)

// mirror repeats committed positions to Kafka's group offsets, so that every lag tool works. Nothing ever reads them
// as positions, and they never run ahead of PostgreSQL, since only committed positions are given to it.
type mirror struct {
	commit func(map[string]map[int]int64) error // of the owning generation
	topic  string
	log    *slog.Logger

	mu      sync.Mutex
	pending map[int]int64
}

func (m *mirror) add(partition int, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending == nil {
		m.pending = map[int]int64{}
	}
	m.pending[partition] = next
}

// run commits what was added five times a second until ctx ends.
func (m *mirror) run(ctx context.Context) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.flush()
		}
	}
}

// flush commits what was added since the last time. After a failure it is tried again with the next flush; until then
// other tools show an older lag.
func (m *mirror) flush() {
	m.mu.Lock()
	pending := m.pending
	m.pending = nil
	m.mu.Unlock()
	if len(pending) == 0 {
		return
	}
	if err := m.commit(map[string]map[int]int64{m.topic: pending}); err != nil {
		m.log.Debug("mirroring positions to Kafka has to wait", "topic", m.topic, "error", err)
		m.putBack(pending)
	}
	failpoint.Hit("after_mirror")
}

// putBack keeps positions for the next flush, unless there are newer ones.
func (m *mirror) putBack(positions map[int]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pending == nil {
		m.pending = map[int]int64{}
	}
	for partition, next := range positions {
		if _, newer := m.pending[partition]; !newer {
			m.pending[partition] = next
		}
	}
}
