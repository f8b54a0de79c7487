package proposer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/retry"
)

// observers are what /metrics says of the proposer.
type observers struct {
	mails    *prometheus.CounterVec
	failures *prometheus.CounterVec
	waiting  prometheus.Gauge
	lag      prometheus.Gauge
	leader   prometheus.Gauge
}

func newObservers(registry prometheus.Registerer) (*observers, error) {
	o := &observers{
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_proposer_mails_total",
			Help: "New mails, by outcome: proposed, not_proposed by any policy, passed_over since enough was proposed."}, []string{"outcome"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_proposer_failures_total",
			Help: "Turns of persons that failed, by reason: policy, mail, restored, database."}, []string{"reason"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_proposer_waiting_mails",
			Help: "New mails of known persons that wait to be put before their policies."}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_proposer_lag_seconds",
			Help: "For how long the oldest of them has waited that was not late; 0 when there is none."}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_proposer_leader",
			Help: "1 while this process holds the proposer's lock."}),
	}
	var err error
	for _, collector := range []prometheus.Collector{o.mails, o.failures, o.waiting, o.lag, o.leader} {
		err = errors.Join(err, registry.Register(collector))
	}
	return o, err
}

const watchTime = 10 * time.Second

// watch looks at what waits now and then, whether this process leads or not.
func watch(ctx context.Context, pool *pgxpool.Pool, o *observers) {
	for ; ctx.Err() == nil; _ = retry.Wait(ctx, watchTime) {
		waiting, err := actions.CountWaiting(ctx, pool)
		if err != nil {
			continue // the loop tells
		}
		o.waiting.Set(float64(waiting.Mails))
		o.lag.Set(waiting.Seconds)
	}
}
