package warehouse

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	w := newDeployment(t)
	registry := prometheus.NewRegistry()
	m, err := NewMetrics(registry)
	w.Must(err)
	m.times.now = w.Now
	w.cfg.Metrics = m
	w.sync(&memory{rows: append(apps(1, 31), app(40, func(r *row) { r.id = "" }))})
	w.sync(&memory{rows: append(apps(1, 29), app(29, stage("Offer")))})
	w.Advance(time.Minute)
	want := `
# HELP applylens_warehouse_freshness_seconds Age of the newest row read from the warehouse; absent if unknown.
# TYPE applylens_warehouse_freshness_seconds gauge
applylens_warehouse_freshness_seconds 10980
# HELP applylens_warehouse_rows_total Rows published as added, changed or removed applications, or skipped as broken.
# TYPE applylens_warehouse_rows_total counter
applylens_warehouse_rows_total{outcome="added"} 30
applylens_warehouse_rows_total{outcome="broken"} 1
applylens_warehouse_rows_total{outcome="changed"} 1
applylens_warehouse_rows_total{outcome="removed"} 1
# HELP applylens_warehouse_sync_age_seconds Time since the start of the last accepted sync; absent if there was none.
# TYPE applylens_warehouse_sync_age_seconds gauge
applylens_warehouse_sync_age_seconds 60
# HELP applylens_warehouse_syncs_total Syncs, by outcome: done, held or failed.
# TYPE applylens_warehouse_syncs_total counter
applylens_warehouse_syncs_total{outcome="done"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	w.held(w.sync(&memory{}), HoldEmpty)
	held := `
# HELP applylens_warehouse_held 1 for the reason why syncs are held.
# TYPE applylens_warehouse_held gauge
applylens_warehouse_held{reason="empty"} `
	if err := testutil.GatherAndCompare(registry, strings.NewReader(held+"1\n"), "applylens_warehouse_held"); err != nil {
		t.Error(err)
	}
	w.sync(&memory{rows: apps(1, 30)})
	if err := testutil.GatherAndCompare(registry, strings.NewReader(held+"0\n"), "applylens_warehouse_held"); err != nil {
		t.Error(err)
	}
}
