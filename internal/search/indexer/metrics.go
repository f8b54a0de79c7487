package indexer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/search/elastic"
)

// selectWaiting counts the marks, and tells how old the oldest is of those that are neither only to be read again nor
// refused.
const selectWaiting = `
SELECT (SELECT count(*) FROM dirty_mails WHERE NOT backfill), (SELECT count(*) FROM dirty_mails WHERE backfill),
       (SELECT count(*) FROM dirty_mails WHERE refusals > 0),
       COALESCE(extract(epoch FROM clock_timestamp() - LEAST(
           (SELECT min(marked_at) FROM dirty_mails WHERE NOT backfill AND refusals = 0), (SELECT min(marked_at) FROM dirty_addresses))), 0)::double precision`

// observers are what /metrics says of the indexer.
type observers struct {
	documents *prometheus.CounterVec
	failures  *prometheus.CounterVec
	enriched  *prometheus.CounterVec
	bulks     prometheus.Histogram
	waiting   *prometheus.GaugeVec
	refused   prometheus.Gauge
	lag       prometheus.Gauge
	leader    prometheus.Gauge
}

func newObservers(registry prometheus.Registerer) (*observers, error) {
	o := &observers{
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_indexer_documents_total",
			Help: "Operations that Elasticsearch answered, by outcome: written, superseded by a newer version, delayed, refused."}, []string{"outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_indexer_failures_total",
			Help: "Steps that failed and are taken again, by reason."}, []string{"reason"}),
		enriched: metrics.Counter(registry, "ats_enriched_total", "Documents of mails that were written with a job application."),
		bulks: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "applylens_indexer_bulk_duration_seconds",
			Help: "Time of the bulk requests that were answered.", Buckets: prometheus.ExponentialBuckets(0.005, 2, 14)}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "applylens_indexer_waiting_mails",
			Help: "Mails marked to be read, by why: changed, or backfill for a new index or version."}, []string{"why"}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_indexer_refused_mails",
			Help: "Mails whose document Elasticsearch refused last time."}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_indexer_lag_seconds",
			Help: "Age of the oldest change that cannot be found yet; 0 when there is none."}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_indexer_leader",
			Help: "1 while this process holds the indexer's lock."}),
	}
	var err error
	for _, collector := range []prometheus.Collector{o.documents, o.failures, o.bulks, o.waiting, o.refused, o.lag, o.leader} {
		err = errors.Join(err, registry.Register(collector))
	}
	return o, err
}

// count counts what became of a batch, and how long that took.
func (o *observers) count(r *result, took time.Duration) {
	o.bulks.Observe(took.Seconds())
	o.documents.WithLabelValues("written").Add(float64(r.written))
	o.documents.WithLabelValues("superseded").Add(float64(r.superseded))
	o.documents.WithLabelValues("delayed").Add(float64(r.delayed))
	o.documents.WithLabelValues("refused").Add(float64(len(r.refused)))
}

// reason names the part that failed.
func reason(err error) string {
	var answer *elastic.Error
	switch {
	case errors.Is(err, errDelayed):
		return "delayed"
	case errors.Is(err, elastic.ErrExpired):
		return "expired"
	case errors.As(err, &answer), errors.Is(err, elastic.ErrNoAnswer):
		return "elasticsearch"
	}
	return "database"
}

// Waiting is what the marks come to.
type Waiting struct {
	Changed, Backfill int64   // mails
	Refused           int64   // of them, those whose document Elasticsearch refused last time
	LagSeconds        float64 // age of the oldest change that cannot be found yet, of those that were not refused
}

// ReadWaiting counts what the index lacks.
func ReadWaiting(ctx context.Context, pool *pgxpool.Pool) (Waiting, error) {
	var w Waiting
	if err := pool.QueryRow(ctx, selectWaiting).Scan(&w.Changed, &w.Backfill, &w.Refused, &w.LagSeconds); err != nil {
		return Waiting{}, fmt.Errorf("count marks: %w", err)
	}
	return w, nil
}

const watchTime = 5 * time.Second

// watch looks at the marks now and then, whether this process leads or not, and tells while there are many.
func watch(ctx context.Context, config *Config, o *observers) {
	for before := int64(0); ctx.Err() == nil; _ = retry.Wait(ctx, watchTime) {
		w, err := ReadWaiting(ctx, config.Pool)
		if err != nil {
			continue // the loop tells
		}
		o.waiting.WithLabelValues("changed").Set(float64(w.Changed))
		o.waiting.WithLabelValues("backfill").Set(float64(w.Backfill))
		o.refused.Set(float64(w.Refused))
		o.lag.Set(w.LagSeconds)
		all := w.Changed + w.Backfill
		if all > 0 && before > 0 {
			config.Log.Info("indexing", "mails_waiting", all, "per_second", (before-all)/int64(watchTime/time.Second), "lag_seconds", int64(w.LagSeconds))
		}
		before = all
	}
}
