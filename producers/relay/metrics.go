package relay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the relay's metrics.
type metrics struct {
	published   *prometheus.CounterVec
	rows        prometheus.Gauge
	age         prometheus.Gauge
	dead        prometheus.Counter
	leader      prometheus.Gauge
	republished prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_relay_published_total",
			Help: "Outbox rows that Kafka acknowledged, repeats included, by topic without prefix."}, []string{"topic"}),
		rows: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_relay_outbox_rows",
			Help: "Outbox rows that wait to be published."}),
		age: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_relay_outbox_age_seconds",
			Help: "Age of the oldest outbox row that waits to be published; 0 when none does."}),
		dead: prometheus.NewCounter(prometheus.CounterOpts{Name: "applylens_relay_dead_rows_total",
			Help: "Outbox rows given up because they can never be published. Each needs a person's look."}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_relay_leader",
			Help: "1 while this process holds the relay's lock."}),
		republished: prometheus.NewCounter(prometheus.CounterOpts{Name: "applylens_relay_republished_total",
			Help: "Outbox rows published that may have been published before."}),
	}
	var err error
	for _, collector := range []prometheus.Collector{m.published, m.rows, m.age, m.dead, m.leader, m.republished} {
		err = errors.Join(err, registry.Register(collector))
	}
	return m, err
}
