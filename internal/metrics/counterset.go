package metrics

import (
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// CounterSet holds counters that share two labels. It keeps numbers instead of one object for each counter and series: a
// series of two counters takes about 240 bytes, where two CounterVecs take 1,240 (BenchmarkSeries). It may be used concurrently.
type CounterSet struct {
	descriptions []*prometheus.Desc
	most         int // series

	mu     sync.Mutex
	series map[[2]string][]float64
}

// CounterName is the name and the help text of a counter.
type CounterName struct{ Name, Help string }

// NewCounterSet registers counters with two labels, or returns those that were registered before under the same names. It
// keeps at most so many series apart; all later ones are counted under Other for both labels. A nil registry gives
// counters that nobody reads.
func NewCounterSet(registry prometheus.Registerer, labels [2]string, most int, counters ...CounterName) *CounterSet {
	set := &CounterSet{most: most, series: map[[2]string][]float64{}}
	for _, counter := range counters {
		set.descriptions = append(set.descriptions, prometheus.NewDesc(counter.Name, counter.Help, labels[:], nil))
	}
	set.series[[2]string{Other, Other}] = make([]float64, len(counters))
	if registry == nil {
		return set
	}
	err := registry.Register(set)
	var before prometheus.AlreadyRegisteredError
	if errors.As(err, &before) {
		return before.ExistingCollector.(*CounterSet)
	}
	if err != nil {
		panic(err) // the names or the labels above are wrong: our bug
	}
	return set
}

// Add adds to the counters of a series, in the order in which they were named.
func (s *CounterSet) Add(labels [2]string, amounts ...float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts, known := s.series[labels]
	if !known {
		if len(s.series) > s.most {
			counts = s.series[[2]string{Other, Other}]
		} else {
			counts = make([]float64, len(s.descriptions))
			s.series[labels] = counts
		}
	}
	for i, amount := range amounts {
		counts[i] += amount
	}
}

// Delete drops the series that match.
func (s *CounterSet) Delete(match func(labels [2]string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for labels := range s.series {
		if match(labels) {
			delete(s.series, labels)
		}
	}
}

// Describe implements prometheus.Collector.
func (s *CounterSet) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range s.descriptions {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector.
func (s *CounterSet) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for labels, counts := range s.series {
		for i, count := range counts {
			metrics <- prometheus.MustNewConstMetric(s.descriptions[i], prometheus.CounterValue, count, labels[0], labels[1])
		}
	}
}
