package consumers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/consumers/ledger"
)

// Metrics are what the loop counts; docs/metrics.md lists their meaning. Everything is counted after the commit.
type Metrics struct {
	records     *prometheus.CounterVec
	deadLetters *prometheus.CounterVec
	lost        *prometheus.CounterVec
	batches     *prometheus.HistogramVec
	freshness   *prometheus.HistogramVec
	fenced      *prometheus.CounterVec
	retries     *prometheus.CounterVec
	halted      *prometheus.GaugeVec
	owned       *prometheus.GaugeVec
	setAside    *prometheus.CounterVec
}

// NewMetrics registers the loop's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_records_total",
			Help: "Records folded, by outcome: applied, repeated, dead_lettered. Their sum is what was fetched.",
		}, []string{"group", "outcome"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_dead_letters_total",
			Help: "Records put among the dead letters, by reason.",
		}, []string{"group", "reason"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_lost_records_total",
			Help: "Records found to be gone from the log before they were read.",
		}, []string{"group"}),
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "applylens_consumer_batch_duration_seconds",
			Help:    "Time of the transactions that fold a batch.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"group"}),
		freshness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "applylens_consumer_freshness_seconds",
			Help:    "Time from a batch's last record until it was folded.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 20),
		}, []string{"group"}),
		fenced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_fenced_total",
			Help: "Transactions refused because the position had another owner.",
		}, []string{"group"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_retries_total",
			Help: "Transactions tried again after an error that passes.",
		}, []string{"group"}),
		halted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "applylens_consumer_halted",
			Help: "1 for a partition that this process owns and that has stopped.",
		}, []string{"group", "topic", "partition", "reason"}),
		owned: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "applylens_consumer_owned_partitions",
			Help: "Partitions that this process owns.",
		}, []string{"group"}),
		setAside: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_consumer_sources_set_aside_total",
			Help: "Sources that were set aside in a partition, since too many of their records could not be applied.",
		}, []string{"group"}),
	}
	registry.MustRegister(m.records, m.deadLetters, m.lost, m.batches, m.freshness, m.fenced, m.retries, m.halted, m.owned, m.setAside)
	return m
}

func (m *Metrics) count(group string, advances []ledger.Advance, letters []ledger.Letter, began, now time.Time) {
	var applied, repeated, dead int64
	var last time.Time
	for _, a := range advances {
		applied, repeated, dead = applied+a.Applied, repeated+a.Repeated, dead+a.DeadLettered
		if a.LastEventAt.After(last) {
			last = a.LastEventAt
		}
	}
	m.records.WithLabelValues(group, "applied").Add(float64(applied))
	m.records.WithLabelValues(group, "repeated").Add(float64(repeated))
	m.records.WithLabelValues(group, "dead_lettered").Add(float64(dead))
	for _, letter := range letters {
		m.deadLetters.WithLabelValues(group, letter.Reason).Inc()
	}
	m.batches.WithLabelValues(group).Observe(now.Sub(began).Seconds())
	if !last.IsZero() {
		m.freshness.WithLabelValues(group).Observe(max(0, now.Sub(last).Seconds()))
	}
}
