package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func newSet(registry prometheus.Registerer, most int) *CounterSet {
	return NewCounterSet(registry, [2]string{"a", "b"}, most, CounterName{"first_total", "First."}, CounterName{"second_total", "Second."})
}

func TestCounterSetCountsEachSeriesApart(t *testing.T) {
	registry := prometheus.NewRegistry()
	set := newSet(registry, 2)
	set.Add([2]string{"1", "x"}, 1, 10)
	set.Add([2]string{"2", "x"}, 2, 20)
	set.Add([2]string{"3", "y"}, 3, 30) // beyond the bound
	if again := newSet(registry, 2); again != set {
		t.Error("registering the same counters again gives others")
	}
	set.Add([2]string{"1", "x"}, 1, 0)
	check := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP first_total First.\n# TYPE first_total counter\n"+want), "first_total"); err != nil {
			t.Error(err)
		}
	}
	check(`first_total{a="1",b="x"} 2
first_total{a="2",b="x"} 2
first_total{a="other",b="other"} 3
`)
	set.Delete(func(labels [2]string) bool { return labels[1] == "x" })
	set.Add([2]string{"1", "x"}, 5, 0)
	check(`first_total{a="1",b="x"} 5
first_total{a="other",b="other"} 3
`)
}

// BenchmarkSeries compares the memory of a series with that of vectors: see B/op.
func BenchmarkSeries(b *testing.B) {
	b.Run("CounterSet", func(b *testing.B) {
		b.ReportAllocs()
		set := newSet(nil, b.N+1)
		for i := range b.N {
			set.Add([2]string{fmt.Sprint(i), "x"}, 1, 2)
		}
	})
	b.Run("CounterVec", func(b *testing.B) {
		b.ReportAllocs()
		first, second := Counter(nil, "first_total", "First.", "a", "b"), Counter(nil, "second_total", "Second.", "a", "b")
		for i := range b.N {
			first.WithLabelValues(fmt.Sprint(i), "x").Add(1)
			second.WithLabelValues(fmt.Sprint(i), "x").Add(2)
		}
	})
}
