package warehouse

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/testkit/world"
)

// attempt is a sync started by a runner, with its time since the start of the test.
type attempt struct {
	At   time.Duration
	Full bool
}

// simulate runs a plan in simulated time and returns its syncs. outcome is the result of the n-th sync; nil: all succeed.
func simulate(t *testing.T, plan Plan, last time.Duration, span time.Duration, outcome func(n int) (*Hold, error)) []attempt {
	t.Helper()
	var attempts []attempt
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // midnight UTC in synctest
		world.Must(t, plan.Validate())
		r := &runner{Plan: plan, now: time.Now, log: slog.New(slog.DiscardHandler)}
		r.state = func(context.Context) (state, error) {
			return state{synced: began.Add(-last), full: began.Add(-last)}, nil
		}
		r.sync = func(_ context.Context, full bool) (*Summary, error) {
			attempts = append(attempts, attempt{time.Since(began).Truncate(time.Minute), full})
			hold, err := outcome(len(attempts))
			return &Summary{StartedAt: time.Now(), Full: full, Held: hold}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), span)
		defer cancel()
		r.loop(ctx)
	})
	return attempts
}

func done(int) (*Hold, error) { return nil, nil }

func compareAttempts(t *testing.T, want, got []attempt) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("syncs (-want +got):\n%s", diff)
	}
}

func TestDailyAfterTwo(t *testing.T) {
	got := simulate(t, Plan{Schedule: Schedule{At: 2 * time.Hour}}, 22*time.Hour, 72*time.Hour, done)
	compareAttempts(t, []attempt{{2 * time.Hour, true}, {26 * time.Hour, true}, {50 * time.Hour, true}}, got)
}

func TestMissedRunsAreMadeUpForByOne(t *testing.T) {
	got := simulate(t, Plan{Schedule: Schedule{At: 2 * time.Hour}}, 5*24*time.Hour, 24*time.Hour, done)
	compareAttempts(t, []attempt{{0, true}, {2 * time.Hour, false}}, got)
}

func TestPartialSyncsBetweenWholeOnes(t *testing.T) {
	got := simulate(t, Plan{Schedule: Schedule{Every: 2 * time.Hour}, FullEvery: 6 * time.Hour}, time.Hour, 12*time.Hour, done)
	compareAttempts(t, []attempt{{1 * time.Hour, false}, {3 * time.Hour, false}, {5 * time.Hour, true}, {7 * time.Hour, false}, {9 * time.Hour, false}, {11 * time.Hour, true}}, got)
}

func TestAnOutageIsWaitedOut(t *testing.T) {
	got := simulate(t, Plan{Schedule: Schedule{At: 2 * time.Hour}}, 22*time.Hour, 25*time.Hour, func(n int) (*Hold, error) {
		if n <= 10 {
			return nil, errors.New("the warehouse is down")
		}
		return nil, nil
	})
	if len(got) != 11 {
		t.Fatalf("%d syncs", len(got))
	}
	for i := 1; i < len(got); i++ {
		if wait := got[i].At - got[i-1].At; wait > lastRetry+time.Minute || !got[i].Full {
			t.Errorf("sync %d came %s after the previous one, full %v", i+1, wait, got[i].Full)
		}
	}
	if last := got[10].At; last < 2*time.Hour+40*time.Minute || last > 5*time.Hour {
		t.Errorf("the sync that succeeded came at %s", last)
	}
}

func TestAHeldSyncIsTriedAgain(t *testing.T) {
	got := simulate(t, Plan{Schedule: Schedule{At: 2 * time.Hour}}, 22*time.Hour, 12*time.Hour, func(n int) (*Hold, error) {
		if n <= 3 {
			return &Hold{HoldEmpty, "the source has no rows"}, nil
		}
		return nil, nil
	})
	compareAttempts(t, []attempt{{2 * time.Hour, true}, {3 * time.Hour, true}, {4 * time.Hour, true}, {5 * time.Hour, true}}, got)
}

func TestRunSyncsAndEnds(t *testing.T) {
	w := newDeployment(t)
	w.cfg.Now = time.Now
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(chan *Summary, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, w.cfg, &memory{rows: apps(1, 4)}, Plan{Schedule: Schedule{Every: time.Hour}, Report: func(s *Summary) { reports <- s }})
	}()
	select {
	case summary := <-reports:
		if summary.Added != 3 {
			t.Errorf("%+v", summary)
		}
	case <-time.After(w.Patience):
		t.Error("no sync")
	}
	cancel()
	w.Must(<-ended)
	if err := Run(t.Context(), w.cfg, &memory{}, Plan{Schedule: Schedule{Every: time.Second}}); err == nil {
		t.Error("a plan without a pause is accepted")
	}
}

func TestRecallKeepsTheMetricsOverRestarts(t *testing.T) {
	w := newDeployment(t)
	w.Must(w.cfg.Validate())
	source := &memory{rows: apps(1, 30)}
	w.sync(source)
	w.held(w.sync(&memory{}), HoldEmpty)
	w.cfg.Metrics = newMetrics()
	before, err := w.cfg.recall(t.Context(), "memory")
	w.Must(err)
	if before.synced.IsZero() || !before.synced.Equal(before.full) {
		t.Errorf("state %+v", before)
	}
	gauges := w.cfg.Metrics.times
	if !gauges.newest.Equal(start.Add(-time.Hour)) || !gauges.held[HoldEmpty] || gauges.synced.IsZero() {
		t.Errorf("gauges %+v", gauges)
	}
}
