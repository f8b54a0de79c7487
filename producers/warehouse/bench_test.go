package warehouse

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// endless generates applications while they are read, so that all memory is that of the sync. It samples the heap.
type endless struct {
	count   int
	stage   string
	at      int
	heap    uint64 // the largest seen
	resting uint64 // before the sync
}

func (e *endless) Name() string { return "endless" }

func (e *endless) Open(context.Context, time.Time) (Rows, error) {
	e.at = 0
	return e, nil
}

func (e *endless) Columns() []Column { return viewColumns() }

func (e *endless) Next(context.Context) ([]any, error) {
	if e.at == e.count {
		return nil, io.EOF
	}
	if e.at%10_000 == 0 {
		e.measure()
	}
	e.at++
	return []any{"greenhouse", fmt.Sprint(e.at), []string{fmt.Sprintf("candidate%d@mail.example", e.at)}, "Acme", e.stage, start, nil, start, false}, nil
}

func (e *endless) measure() {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	if e.resting == 0 {
		e.resting = stats.HeapAlloc
	}
	e.heap = max(e.heap, stats.HeapAlloc)
}

func (e *endless) Progress() (done, total int64) { return int64(e.at), int64(e.count) }
func (e *endless) Close() error                  { return nil }

// mostHeap is the greatest heap of a sync, however many applications there are.
const mostHeap = 24 << 20

// BenchmarkSync syncs 100,000 applications: all new, none changed, and all with another stage.
func BenchmarkSync(b *testing.B) {
	pool, _ := testenv.Database(b)
	source := &endless{count: 100_000, stage: "Onsite"}
	now := time.Now()
	cfg := Config{Pool: pool, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Guard: Guard{RemovedShare: 1, ChangedShare: 1}}
	sync := func(b *testing.B, added, changed int64) {
		now = now.Add(2 * time.Hour)
		summary, err := Sync(b.Context(), cfg, source, Options{Full: true})
		world.Must(b, err)
		if summary.Added != added || summary.Changed != changed || summary.Held != nil {
			b.Fatalf("%+v", summary)
		}
	}
	measure := func(name string, each func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			source.heap, source.resting = 0, 0
			for b.Loop() {
				each(b)
			}
			b.ReportMetric(float64(source.count*b.N)/b.Elapsed().Seconds(), "applications/s")
			held := source.heap - source.resting
			b.ReportMetric(float64(held)/(1<<20), "MiB-held")
			if held > mostHeap {
				b.Errorf("a sync uses %d bytes", held)
			}
		})
	}
	measure("new", func(b *testing.B) {
		b.StopTimer()
		_, err := pool.Exec(b.Context(), "TRUNCATE outbox, warehouse_rows, warehouse_systems, warehouse_sources CASCADE")
		world.Must(b, err)
		b.StartTimer()
		sync(b, int64(source.count), 0)
	})
	measure("unchanged", func(b *testing.B) { sync(b, 0, 0) })
	measure("changed", func(b *testing.B) {
		source.stage += "+"
		if len(source.stage) > 100 {
			source.stage = "Onsite"
		}
		sync(b, 0, int64(source.count))
	})
}
