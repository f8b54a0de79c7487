// Package uploadimport imports the files that persons have uploaded (internal/uploads), with the code of "applylens import"
// (producers/mailimport).
//
// One process of the deployment leads, by an advisory lock, and imports: one file of a person at a time, some persons' at once. Progress
// is noted in the upload's row. A file that was interrupted is taken up again by whichever process leads then, from its checkpoint;
// mail that is published twice is one mail. A file counts as imported when Kafka has acknowledged all of it. While it publishes mail of a person
// it holds the lock of their imports, for which erasing a person waits, so that no mail comes behind the order to erase.
package uploadimport

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/uploads"
)

// Config is what the importer needs.
type Config struct {
	Pool  *pgxpool.Pool  // Required.
	Conn  *broker.Conn   // Required.
	Store *uploads.Store // Required.

	// Log is for operators. Default: slog.Default().
	Log *slog.Logger

	// Registry holds the metrics. Default: one of its own.
	Registry prometheus.Registerer

	// AtOnce is how many persons' files are imported at once. Default: 2.
	AtOnce int

	// Poll is how often complete files are looked for, and progress is noted. Default: 500ms.
	Poll time.Duration
}

// Validate lists what is missing and sets the defaults.
func (c *Config) Validate() error {
	if c.Pool == nil || c.Conn == nil || c.Store == nil {
		return errors.New("uploadimport: no Pool, no Conn or no Store")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 2
	}
	if c.Poll <= 0 {
		c.Poll = 500 * time.Millisecond
	}
	return nil
}

// observers are what /metrics says of the importer.
type observers struct {
	imports *prometheus.CounterVec
	mails   *prometheus.CounterVec
	leader  prometheus.Gauge
}

func newObservers(registry prometheus.Registerer) (*observers, error) {
	o := &observers{
		imports: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_upload_imports_total",
			Help: "Imports of uploaded files that ended, by outcome: done, failed, deleted."}, []string{"outcome"}),
		mails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "applylens_upload_mails_total",
			Help: "Mails of uploaded files whose import ended, by outcome: imported, broken, left_out."}, []string{"outcome"}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{Name: "applylens_upload_leader",
			Help: "1 while this process holds the lock of the importer of uploads."}),
	}
	var err error
	for _, collector := range []prometheus.Collector{o.imports, o.mails, o.leader} {
		err = errors.Join(err, registry.Register(collector))
	}
	return o, err
}
