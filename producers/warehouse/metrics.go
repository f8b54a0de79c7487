package warehouse

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the metrics of syncs.
type Metrics struct {
	syncs *prometheus.CounterVec
	rows  *prometheus.CounterVec
	times *times
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := newMetrics()
	var err error
	for _, collector := range []prometheus.Collector{m.syncs, m.rows, m.times} {
		err = errors.Join(err, registry.Register(collector))
	}
	return m, err
}

func newMetrics() *Metrics {
	return &Metrics{
		syncs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_warehouse_syncs_total",
			Help: "Syncs, by outcome: done, held or failed."}, []string{"outcome"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_warehouse_rows_total",
			Help: "Rows published as added, changed or removed applications, or skipped as broken."}, []string{"outcome"}),
		times: &times{now: time.Now, held: map[HoldReason]bool{}},
	}
}

// times are gauges computed from timestamps at each scrape, so that ages grow while nothing happens.
type times struct {
	now func() time.Time

	mu     sync.Mutex
	newest time.Time // synced_at of the newest row seen
	synced time.Time // start of the last accepted sync
	held   map[HoldReason]bool
}

var (
	freshnessDesc = prometheus.NewDesc("applylens_warehouse_freshness_seconds",
		"Age of the newest row read from the warehouse; absent if unknown.", nil, nil)
	syncAgeDesc = prometheus.NewDesc("applylens_warehouse_sync_age_seconds",
		"Time since the start of the last accepted sync; absent if there was none.", nil, nil)
	heldDesc = prometheus.NewDesc("applylens_warehouse_held", "1 for the reason why syncs are held.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (t *times) Describe(to chan<- *prometheus.Desc) {
	to <- freshnessDesc
	to <- syncAgeDesc
	to <- heldDesc
}

// Collect implements prometheus.Collector.
func (t *times) Collect(to chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !t.newest.IsZero() {
		to <- prometheus.MustNewConstMetric(freshnessDesc, prometheus.GaugeValue, now.Sub(t.newest).Seconds())
	}
	if !t.synced.IsZero() {
		to <- prometheus.MustNewConstMetric(syncAgeDesc, prometheus.GaugeValue, now.Sub(t.synced).Seconds())
	}
	for reason, held := range t.held {
		value := 0.0
		if held {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, value, string(reason))
	}
}

// setNewest records the newest row; the zero time means none.
func (m *Metrics) setNewest(newest time.Time) {
	m.times.mu.Lock()
	defer m.times.mu.Unlock()
	if newest.After(m.times.newest) {
		m.times.newest = newest
	}
}

func (m *Metrics) setSynced(began time.Time) {
	m.times.mu.Lock()
	defer m.times.mu.Unlock()
	m.times.synced = began
}

// setHeld records why syncs are held; the empty reason means that they are not.
func (m *Metrics) setHeld(reason HoldReason) {
	m.times.mu.Lock()
	defer m.times.mu.Unlock()
	for earlier := range m.times.held {
		m.times.held[earlier] = false
	}
	if reason != "" {
		m.times.held[reason] = true
	}
}
