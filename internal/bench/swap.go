package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/internal/testkit/load"
)

const (
	swapTraffic = 2_000   // events a second that are folded meanwhile
	swapEvents  = 200_000 // in the log before, at most
	swapMaxLag  = 20_000  // records of a partition: nobody folds the built version while traffic goes on
)

var swapTarget = Target{100, 100}

// measureSwaps rebuilds, compares, swaps and rolls back a projection under traffic, and measures how long the positions
// are locked.
func measureSwaps(ctx context.Context, s *stage, report *Report) (err error) {
	p := projections[0]
	writer, err := s.newWriter(ctx)
	if err != nil {
		return err
	}
	defer writer.Close()
	if err := writer.Write(ctx, min(s.cfg.Events, swapEvents), 0); err != nil {
		return err
	}
	live, err := s.start(ctx, consume(p.group)...)
	if err != nil {
		return err
	}
	stopTraffic := traffic(ctx, writer)
	report.Swaps = &Swaps{Traffic: swapTraffic, Target: swapTarget}
	for range s.cfg.Runs {
		if err := s.swapOnce(ctx, report, p.group); err != nil {
			return errors.Join(err, stopTraffic(), stopAll([]*child{live}))
		}
	}
	if err := errors.Join(stopTraffic(), stopAll([]*child{live})); err != nil {
		return err
	}
	s.cfg.Log.Info("measured", "what", "swaps", "locked_ms", report.Swaps.Locked)
	return nil
}

// traffic writes events at a steady rate until stop is called.
func traffic(ctx context.Context, writer *load.Writer) (stop func() error) {
	enough, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-enough:
				ended <- nil
				return
			default:
			}
			if err := writer.Write(ctx, swapTraffic/10, swapTraffic); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() error {
		close(enough)
		return <-ended
	}
}

// swapOnce builds a version, compares it with the live one, swaps, rolls back and deletes it.
func (s *stage) swapOnce(ctx context.Context, report *Report, group string) error {
	if err := s.run(ctx, "rebuild", "run", group); err != nil {
		return err
	}
	report.Checks++
	if err := s.run(ctx, "rebuild", "diff", group); err != nil {
		report.fault("rebuild of %s under traffic: %s", group, err)
	}
	var version int
	if err := s.pool.QueryRow(ctx, buildingSQL, group).Scan(&version); err != nil {
		return fmt.Errorf("look for a version of %s: %w", group, err)
	}
	swap := func() (time.Duration, error) {
		return rebuild.Swap(ctx, s.pool, group, version, swapMaxLag, "bench", "measured")
	}
	rollback := func() (time.Duration, error) {
		return rebuild.Rollback(ctx, s.pool, group, "bench", "measured")
	}
	for _, flip := range []func() (time.Duration, error){swap, rollback} {
		locked, err := flip()
		if err != nil {
			return err
		}
		report.Swaps.Locked = append(report.Swaps.Locked, milliseconds(locked))
	}
	return s.run(ctx, "rebuild", "drop", group, fmt.Sprint(version), "--yes")
}

// Swaps is how long swaps and rollbacks locked the positions of a projection while its events were folded.
type Swaps struct {
	Traffic int       `json:"events_per_second"`
	Locked  []float64 `json:"locked_ms"`
	Target  Target    `json:"target"` // of the longest
}

func (w *Swaps) write(out io.Writer) {
	sorted := append([]float64(nil), w.Locked...)
	q := quantiles(sorted)
	fmt.Fprintln(out)
	fmt.Fprintf(out, "Swaps: %d swaps and rollbacks of a rebuilt version while %s events a second were folded; how long the positions were locked.\n",
		len(w.Locked), grouped(float64(w.Traffic)))
	fmt.Fprintln(out, "MILLISECONDS\tP50\tMAX\tMAX AT MOST\t")
	fmt.Fprintf(out, "positions locked\t%.1f\t%.1f\t%g\t%s\n", q.P50, q.Max, w.Target.AtLeast, verdict(q.Max <= w.Target.AtLeast, q.Max <= w.Target.Aim))
}
