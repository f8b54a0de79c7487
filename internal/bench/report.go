package bench

import (
	"fmt"
	"slices"
)

// Report is the result of a bench.
type Report struct {
	Settings Settings  `json:"settings"`
	Machine  *Machine  `json:"machine"`
	Streams  []*Stream `json:"streams,omitempty"`
	Rates    []*Rate   `json:"rates"`
	Swaps    *Swaps    `json:"swaps,omitempty"`
	Latency  *Delays   `json:"latency,omitempty"`
	Distant  *Delays   `json:"latency_extra_rtt,omitempty"` // with a longer round trip to PostgreSQL
	Indexed  *Indexed  `json:"index,omitempty"`
	Checks   int       `json:"checks"` // results that were compared with the expectation
	Faults   []string  `json:"faults"` // those that are wrong
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
	Compression    string   `json:"compression"`   // of the streams of other services
	BatchBytes     int      `json:"batch_bytes"`   // of their client
	BatchRecords   int      `json:"batch_records"` // 0: as many as the bytes allow
}

// Machine describes where the bench ran.
type Machine struct {
	Cores             int    `json:"cores"`
	Platform          string `json:"platform"`
	Go                string `json:"go"`
	Kafka             string `json:"kafka"` // guessed from the requests that it knows
	PostgreSQL        string `json:"postgresql"`
	Fsync             string `json:"fsync"`
	SynchronousCommit string `json:"synchronous_commit"`
	SharedBuffers     string `json:"shared_buffers"`
}

// Target is what a figure must reach and what is aimed at.
type Target struct {
	AtLeast float64 `json:"at_least"` // for times and sizes: at most
	Aim     float64 `json:"aim"`
}

// Rate is how fast events were folded in one way of doing it.
type Rate struct {
	What       string   `json:"what"`
	Stream     string   `json:"stream"`
	Group      string   `json:"group"`
	Processes  int      `json:"processes"`
	Samples    []Sample `json:"samples"`
	Median     float64  `json:"median_per_second"`
	Min        float64  `json:"min_per_second"`
	Max        float64  `json:"max_per_second"`
	CPU        float64  `json:"cpu_us_per_event,omitempty"` // of all measured processes, without the servers; the median
	PeakMiB    float64  `json:"peak_mib,omitempty"`         // of the largest process; 0: the bench itself did the work
	TimesOwn   float64  `json:"times_own,omitempty"`        // speed as a multiple of that on own events in the same run; the median
	TimesClean float64  `json:"times_clean,omitempty"`      // likewise of that on the clean stream
	TimesNaive float64  `json:"times_naive,omitempty"`

	Target      *Target `json:"target,omitempty"` // of Median
	OwnTarget   *Target `json:"target_times_own,omitempty"`
	CleanTarget *Target `json:"target_times_clean,omitempty"`
	CPUTarget   *Target `json:"target_cpu,omitempty"`
	PeakTarget  *Target `json:"target_peak,omitempty"`

	naive bool
}

// Sample is one run.
type Sample struct {
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds,omitempty"` // of all processes over their lives
	PerSecond float64 `json:"per_second"`
	PeakMiB   float64 `json:"peak_mib,omitempty"`
}

// microseconds returns the processor time for each event.
func (s *Sample) microseconds() float64 { return s.CPU * 1e6 / (s.PerSecond * s.Seconds) }

// Delays is how long approvals took, from when they were due.
type Delays struct {
	Approvals int                `json:"approvals"`
	ExtraRTT  float64            `json:"extra_rtt_ms"` // to PostgreSQL, as measured
	Answered  Quantiles          `json:"answered"`     // the approval's own answer
	Visible   Quantiles          `json:"visible"`      // GET /preferences?wait= has answered
	PeakMiB   map[string]float64 `json:"peak_mib"`     // by subcommand
	Target    Target             `json:"target"`       // of Visible.P99
}

// Quantiles of a delay in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

func settingsOf(cfg *Config) Settings {
	return Settings{
		Parts: cfg.Parts, Events: cfg.Events, Users: cfg.Users, Partitions: partitions, Runs: cfg.Runs, Rate: cfg.Rate, LatencySeconds: cfg.LatencySeconds,
		Compression: cfg.Compression, BatchBytes: cfg.BatchBytes, BatchRecords: cfg.BatchRecords,
	}
}

// add adds rates whose runs are complete.
func (r *Report) add(rates ...*Rate) {
	for _, rate := range rates {
		rate.sum()
		r.Rates = append(r.Rates, rate)
	}
}

// sum computes the figures of a rate from its samples.
func (r *Rate) sum() {
	var speeds, costs []float64
	for _, sample := range r.Samples {
		speeds = append(speeds, sample.PerSecond)
		costs = append(costs, sample.microseconds())
		r.PeakMiB = max(r.PeakMiB, sample.PeakMiB)
	}
	slices.Sort(speeds)
	r.CPU = median(costs)
	r.Min, r.Median, r.Max = speeds[0], quantile(speeds, 0.5), speeds[len(speeds)-1]
}

func median(values []float64) float64 { return quantile(slices.Sorted(slices.Values(values)), 0.5) }

// compareStreams sets TimesOwn and TimesClean of the rates of one group.
func compareStreams(rates []*Rate) {
	for _, base := range rates {
		for _, rate := range rates {
			switch base.Stream {
			case Own:
				rate.TimesOwn = rate.times(base)
			case Clean:
				rate.TimesClean = rate.times(base)
			}
		}
	}
}

// times returns the median of the ratios of the speeds, run by run.
func (r *Rate) times(base *Rate) float64 {
	var ratios []float64
	for i, sample := range r.Samples {
		ratios = append(ratios, sample.PerSecond/base.Samples[i].PerSecond)
	}
	return median(ratios)
}

// quantile returns the smallest of the sorted values that the share q of them does not exceed.
func quantile(sorted []float64, q float64) float64 {
	at := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(at-1, 0), len(sorted)-1)]
}

// compareWithNaive sets TimesNaive of all rates if the naive consumer was measured.
func (r *Report) compareWithNaive() {
	for _, naive := range r.Rates {
		if !naive.naive {
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

// expect counts a check and adds a fault when got is not want.
func (r *Report) expect(what, of string, got, want int64) {
	r.Checks++
	if got != want {
		r.fault("%s: %d %s, want %d", what, got, of, want)
	}
}

func mebibytes(bytes int64) float64 { return float64(bytes*10>>20) / 10 }
