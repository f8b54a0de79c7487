package bench

import (
	"fmt"
	"slices"
)

// Report is what a bench found.
type Report struct {
	Settings  Settings `json:"settings"`
	Machine   *Machine `json:"machine"`
	Rates     []*Rate  `json:"rates"`
	Swaps     *Swaps   `json:"swaps,omitempty"`
	Latency   *Delays  `json:"latency,omitempty"`
	Indexed   *Indexed `json:"index,omitempty"`
	Consumers Target   `json:"consumer_mib"` // what a consumer's peak memory is to stay below
	Checks    int      `json:"checks"`       // results that were held against what they must be
	Faults    []string `json:"faults"`       // those that are wrong
}

// Settings are the sizes of the measurements.
type Settings struct {
	Parts          []string `json:"parts"`
	Events         int      `json:"events"`
	Users          int      `json:"users"`
	Partitions     int      `json:"partitions"`
	Runs           int      `json:"runs"`
	Rate           float64  `json:"approvals_per_second"`
	LatencySeconds int      `json:"latency_seconds"`
}

// Machine is on what was measured.
type Machine struct {
	Cores             int    `json:"cores"`
	Platform          string `json:"platform"`
	Go                string `json:"go"`
	Kafka             string `json:"kafka"` // as far as it can be told from the requests that it knows
	PostgreSQL        string `json:"postgresql"`
	Fsync             string `json:"fsync"`
	SynchronousCommit string `json:"synchronous_commit"`
	SharedBuffers     string `json:"shared_buffers"`
}

// Target is what DESIGN asks for.
type Target struct {
	AtLeast float64 `json:"at_least"` // for times and sizes: at most
	Aim     float64 `json:"aim"`
}

// Rate is how many events a second were folded, in one way.
type Rate struct {
	What       string   `json:"what"`
	Processes  int      `json:"processes"`
	Samples    []Sample `json:"samples"`
	Median     float64  `json:"median_per_second"`
	Min        float64  `json:"min_per_second"`
	Max        float64  `json:"max_per_second"`
	CPU        float64  `json:"cpu_us_per_event,omitempty"` // of all processes, the median; the servers' is not counted
	PeakMiB    float64  `json:"peak_mib,omitempty"`         // of the largest process; 0: not a process of its own
	Target     *Target  `json:"target,omitempty"`
	TimesNaive float64  `json:"times_naive,omitempty"`

	consumer bool // the target of consumers' memory holds
}

// Sample is one run.
type Sample struct {
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds,omitempty"` // of all processes over their lives
	PerSecond float64 `json:"per_second"`
	PeakMiB   float64 `json:"peak_mib,omitempty"`
}

// Delays is how long approvals took, from when they were due.
type Delays struct {
	Approvals int                `json:"approvals"`
	Answered  Quantiles          `json:"answered"` // the approval's own answer
	Visible   Quantiles          `json:"visible"`  // GET /preferences?wait= has answered
	PeakMiB   map[string]float64 `json:"peak_mib"` // by subcommand
	Target    Target             `json:"target"`   // of Visible.P99
}

// Quantiles of a delay in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

var consumerTarget = Target{128, 80}

func settingsOf(cfg *Config) Settings {
	return Settings{cfg.Parts, cfg.Events, cfg.Users, partitions, cfg.Runs, cfg.Rate, cfg.LatencySeconds}
}

// add takes a measurement whose runs are complete.
func (r *Report) add(rate *Rate) {
	var speeds, costs []float64
	for _, sample := range rate.Samples {
		speeds = append(speeds, sample.PerSecond)
		costs = append(costs, sample.CPU*1e6/(sample.PerSecond*sample.Seconds))
		rate.PeakMiB = max(rate.PeakMiB, sample.PeakMiB)
	}
	slices.Sort(speeds)
	slices.Sort(costs)
	rate.CPU = quantile(costs, 0.5)
	rate.Min, rate.Median, rate.Max = speeds[0], quantile(speeds, 0.5), speeds[len(speeds)-1]
	r.Rates = append(r.Rates, rate)
}

// quantile is the smallest of the sorted values that at least the share q of all does not exceed.
func quantile(sorted []float64, q float64) float64 {
	at := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(at-1, 0), len(sorted)-1)]
}

// compareWithNaive sets how many times faster than the naive consumer each measurement is, if that ran.
func (r *Report) compareWithNaive() {
	for _, naive := range r.Rates {
		if naive.Target != nil {
			continue
		}
		for _, rate := range r.Rates {
			rate.TimesNaive = rate.Median / naive.Median
		}
	}
}

func (r *Report) fault(format string, arguments ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, arguments...))
}

// expect adds a fault when a result is not what it must be.
func (r *Report) expect(what, of string, got, want int64) {
	r.Checks++
	if got != want {
		r.fault("%s: %d %s, want %d", what, got, of, want)
	}
}

func mebibytes(bytes int64) float64 { return float64(bytes*10>>20) / 10 }
