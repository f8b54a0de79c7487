package mailsync

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// observers are what /metrics says of the accounts that this process watches.
type observers struct {
	accounts prometheus.Gauge
	mails    *prometheus.CounterVec
	changes  prometheus.Counter
	failures *prometheus.CounterVec
}

func newObservers(registry prometheus.Registerer) (*observers, error) {
	o := &observers{
		accounts: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_sync_accounts",
			Help: "Mail accounts that this process watches."}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_sync_mails_total",
			Help: "Mails read from mailboxes, by outcome: published, known from another folder, broken."}, []string{"outcome"}),
		changes: prometheus.NewCounter(prometheus.CounterOpts{Name: "applylens_sync_changes_total",
			Help: "Changes of folders and labels of mails that were told, also those of new mail."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_sync_failures_total",
			Help: "Times that watching an account failed, by reason: temporary, refused, lost, ours."}, []string{"reason"}),
	}
	var err error
	for _, collector := range []prometheus.Collector{o.accounts, o.mails, o.changes, o.failures} {
		err = errors.Join(err, registry.Register(collector))
	}
	return o, err
}
