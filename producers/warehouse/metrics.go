package warehouse

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are what /metrics says of syncs.
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
			Help: "Rows that were published as added, changed or removed applications, or skipped as broken."}, []string{"outcome"}),
		times: &times{now: time.Now, held: map[HoldReason]bool{}},
	}
}

// times are gauges that follow from moments, so that they grow while nothing happens.
type times struct {
	now func() time.Time

	mu     sync.Mutex
	newest time.Time // synced_at of the newest row seen
	synced time.Time // start of the last sync taken over
	held   map[HoldReason]bool
}

var (
	freshnessDesc = prometheus.NewDesc("applylens_warehouse_freshness_seconds",
		"Age of the newest row that the warehouse has shown; absent when unknown.", nil, nil)
	syncAgeDesc = prometheus.NewDesc("applylens_warehouse_sync_age_seconds",
		"Time since the last sync that was taken over began; absent when there was none.", nil, nil)
	heldDesc = prometheus.NewDesc("applylens_warehouse_held", "1 for the reason for which syncs are held.", []string{"reason"}, nil)
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

// setNewest keeps the newest row that was seen; the zero time is none.
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

// setHeld keeps for what syncs are held; the empty reason is for none.
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
