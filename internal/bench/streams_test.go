package bench

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/testkit/load"
)

// folded writes a stream, lets a group fold it, and returns the faults that are found after change was executed.
func folded(t *testing.T, cfg Config, stream string, p projection, change string) *Report {
	t.Helper()
	report := &Report{}
	err := onStage(t.Context(), &cfg, report, func(ctx context.Context, s *stage, report *Report) error {
		written, err := s.write(ctx, stream)
		if err != nil {
			return err
		}
		report.Streams = append(report.Streams, written)
		rate := newFoldRate(p, stream, 1)
		run, err := s.foldOnce(ctx, p, 1)
		if err != nil {
			return err
		}
		s.finish(rate, run)
		report.add(rate)
		if _, err := s.pool.Exec(ctx, change); err != nil {
			return err
		}
		return s.check(ctx, report, "fold", p, live)
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestEveryStreamFolds folds each stream in both groups, in large and in small batches.
func TestEveryStreamFolds(t *testing.T) {
	for i, stream := range Streams {
		for _, p := range projections {
			t.Run(stream+" "+p.group, func(t *testing.T) {
				t.Parallel()
				cfg := settings(t)
				cfg.Events, cfg.Compression = 3000, load.Compressions[i]
				if p.group == "weights" {
					cfg.BatchRecords = 10
				}
				report := folded(t, cfg, stream, p, "SELECT")
				if len(report.Faults) > 0 || report.Checks < 8 {
					t.Errorf("%d checks, faults: %q", report.Checks, report.Faults)
				}
				written, rate := report.Streams[0], report.Rates[0]
				if written.Records != 3000 || rate.Median <= 0 || rate.CPU <= 0 || rate.PeakMiB <= 0 {
					t.Errorf("%+v: %+v", written, rate)
				}
				if repeats := stream == Repeats || stream == Mixed; repeats != (written.Repeated > 0) {
					t.Errorf("%d repeats", written.Repeated)
				}
				if mixed := stream == Mixed; mixed != (written.Refused > 0) || mixed != (written.Large > 0) {
					t.Errorf("%d refused, %d large", written.Refused, written.Large)
				}
				if stream != Own && p.group == "weights" && written.Batches < 300 {
					t.Errorf("%d batches of 10 records", written.Batches)
				}
			})
		}
	}
}

// TestWrongResultIsAFault changes what was folded before it is checked.
func TestWrongResultIsAFault(t *testing.T) {
	weights, policystats := projections[0], projections[1]
	for _, test := range []struct {
		name, stream  string
		p             projection
		change, fault string
	}{
		{"nothing", Own, weights, "SELECT", ""},
		{"counted twice", Own, weights, "UPDATE weight_counts SET approvals = approvals + 1 WHERE (user_id, feature) = (SELECT user_id, feature FROM weight_counts LIMIT 1)", "approvals"},
		{"record left out", Own, weights, "UPDATE positions SET fetched = fetched - 1, applied = applied - 1 WHERE partition = 0", "records in the ledger"},
		{"given to another", Clean, weights, "UPDATE weight_counts SET feature = 'category:other' WHERE (user_id, feature) = (SELECT user_id, feature FROM weight_counts LIMIT 1)", digestName},
		{"on another day", Clean, policystats, "UPDATE policy_days SET day = day + 400 WHERE (user_id, policy_id, day) = (SELECT user_id, policy_id, day FROM policy_days LIMIT 1)", digestName},
		{"repeat applied", Repeats, policystats, "UPDATE positions SET repeated = repeated - 1, applied = applied + 1 WHERE repeated > 0", "repeated"},
		{"dead letter lost", Mixed, policystats, "DELETE FROM dead_letters WHERE reason = 'malformed'", "dead letters malformed"},
		{"dead letter too many", Mixed, policystats, "UPDATE dead_letters SET reason = 'schema'", "dead letters schema"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t)
			cfg.Events = 3000
			got := strings.Join(folded(t, cfg, test.stream, test.p, test.change).Faults, "\n")
			if (test.fault == "") != (got == "") || !strings.Contains(got, test.fault) {
				t.Errorf("faults %q, want one of %q", got, test.fault)
			}
		})
	}
}

// TestWrongExpectationIsAFault expects another result than that which must come out.
func TestWrongExpectationIsAFault(t *testing.T) {
	cfg := settings(t)
	cfg.Events = 3000
	report := &Report{}
	err := onStage(t.Context(), &cfg, report, func(ctx context.Context, s *stage, report *Report) error {
		if _, err := s.write(ctx, Mixed); err != nil {
			return err
		}
		wrong := s.expected["weights"]
		wrong.repeated++
		wrong.totals = slices.Clone(wrong.totals)
		wrong.totals[0]--
		s.expected["weights"] = wrong
		return s.measureFold(ctx, report, projections[0], newFoldRate(projections[0], Mixed, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Faults) != 2 {
		t.Errorf("faults %q, want two", report.Faults)
	}
}

func TestTimesAreOfTheSameRun(t *testing.T) {
	rate := func(stream string, speeds ...float64) *Rate {
		r := &Rate{Stream: stream}
		for _, speed := range speeds {
			r.Samples = append(r.Samples, Sample{Seconds: 1, PerSecond: speed})
		}
		r.sum()
		return r
	}
	rates := []*Rate{rate(Own, 100, 200, 400), rate(Clean, 50, 100, 200), rate(Mixed, 25, 80, 50)}
	compareStreams(rates)
	for i, want := range [][2]float64{{1, 2}, {0.5, 1}, {0.25, 0.5}} {
		if got := [2]float64{rates[i].TimesOwn, rates[i].TimesClean}; got != want {
			t.Errorf("%s is %v times own and clean, want %v", rates[i].Stream, got, want)
		}
	}
}
