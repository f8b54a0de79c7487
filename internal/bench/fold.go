package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
)

// progressSQL tells how far a group has come in its version of a state: how many partitions have an owner, the sum of
// the offsets, the records of the ledger, and why partitions stand still.
const progressSQL = `
SELECT count(*) FILTER (WHERE p.owner <> ''), COALESCE(sum(p.next_offset), 0)::bigint, COALESCE(sum(p.fetched), 0)::bigint,
       COALESCE(sum(p.dead_lettered), 0)::bigint,
       COALESCE(string_agg(p.partition || ': ' || p.halt_reason || ' ' || p.halt_detail, '; ') FILTER (WHERE p.state <> 'running'), '')
FROM positions p JOIN versions v ON v.group_name = p.group_name AND v.version = p.version
WHERE p.group_name = $1 AND v.state = $2`

// forgetSQL lets a group begin anew.
const forgetSQL = `
WITH positions AS (DELETE FROM positions WHERE group_name = $1),
     dead      AS (DELETE FROM dead_letters WHERE group_name = $1)
DELETE FROM relay_sequences WHERE group_name = $1`

// The states of a version that is measured.
const (
	live     = "live"
	building = "building"
)

const (
	progressInterval = 10 * time.Millisecond
	patience         = time.Minute // without any progress
)

// projection is a group that is measured.
type projection struct {
	group, table string
	folds        []events.Type // of those that the streams hold
	rows         func() rows
	own          Target // events of its own a second
	clean        Target // how fast the clean stream is, own events being 1
	totalsSQL    string
	totals       []string // what its statement adds up
}

var projections = []projection{
	{
		group: "weights", table: "weight_counts", folds: []events.Type{events.TypeActionApproved, events.TypeActionRejected},
		rows: func() rows { return weightRows{} }, own: Target{80_000, 120_000}, clean: Target{0.65, 0.8},
		totalsSQL: weightsSQL, totals: []string{"rows", "approvals", "rejections", digestName},
	},
	{
		group: "policystats", table: "policy_days",
		folds: []events.Type{events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected},
		rows:  func() rows { return dayRows{} }, own: Target{60_000, 120_000}, clean: Target{0.55, 0.7},
		totalsSQL: policystatsSQL, totals: []string{"rows", "fired", "approved", "rejected", digestName},
	},
}

// digestName stands for the content of all rows.
const digestName = "as the digest of all rows"

// What a rebuild should reach: events a second, and microseconds of processor time for each.
var (
	rebuildTarget = Target{250_000, 500_000}
	rebuildCPU    = Target{3, 2.5}
)

// What a fold of each stream should take: microseconds of processor time for an event, and the peak in MiB.
var (
	cpuTargets    = map[string]Target{Own: {6, 4}, Clean: {10, 7}, Repeats: {13, 9}, Mixed: {13, 9}}
	peakTarget    = Target{160, 128}
	repeatsTarget = Target{0.8, 0.9} // how fast a stream with repeats is, the clean one being 1
)

// newFoldRate prepares the rate of a group on a stream.
func newFoldRate(p projection, stream string, processes int) *Rate {
	rate := &Rate{What: p.group + ", " + stream, Stream: stream, Group: p.group, Processes: processes}
	cpu := cpuTargets[stream]
	rate.CPUTarget, rate.PeakTarget = &cpu, &peakTarget
	switch stream {
	case Own:
		rate.Target = &p.own
	case Clean:
		rate.OwnTarget = &p.clean
	default:
		rate.CleanTarget = &repeatsTarget
	}
	return rate
}

// consume are the arguments of a process that folds a group.
func consume(group string) []string {
	return []string{"consume", group, "--session-timeout=6s", "--metrics-listen="}
}

// measureFolds lets each group catch up on each stream, one after the other in each run, so that what disturbs the
// machine disturbs all streams alike.
func measureFolds(ctx context.Context, report *Report, streams []*stage) error {
	if len(streams) == 0 {
		return nil
	}
	cfg := streams[0].cfg
	for _, p := range cfg.projections() {
		for _, processes := range cfg.Processes {
			var rates []*Rate
			for _, s := range streams {
				rates = append(rates, newFoldRate(p, s.stream, processes))
			}
			for range cfg.Runs {
				for i, s := range streams {
					if err := s.measureFold(ctx, report, p, rates[i]); err != nil {
						return err
					}
				}
			}
			report.add(rates...)
			compareStreams(rates)
		}
	}
	return nil
}

// measureFold adds one run to a rate.
func (s *stage) measureFold(ctx context.Context, report *Report, p projection, rate *Rate) error {
	run, err := s.foldOnce(ctx, p, rate.Processes)
	if err != nil {
		return fmt.Errorf("%s: %w", rate.What, err)
	}
	s.finish(rate, run)
	return s.check(ctx, report, rate.What, p, live)
}

// finish keeps a run and tells that it is over.
func (s *stage) finish(rate *Rate, run Sample) {
	rate.Samples = append(rate.Samples, run)
	s.cfg.Log.Info("measured", "what", rate.What, "processes", rate.Processes, "run", len(rate.Samples), "of", s.cfg.Runs,
		"per_second", int64(run.PerSecond), "cpu_us_per_event", int64(run.microseconds()), "peak_mib", run.PeakMiB)
}

// foldOnce lets a group that knows nothing fold the whole log.
func (s *stage) foldOnce(ctx context.Context, p projection, processes int) (Sample, error) {
	records := s.expected[p.group].records
	if err := s.reset(ctx, p); err != nil {
		return Sample{}, err
	}
	children, err := s.startAll(ctx, slices.Repeat([][]string{consume(p.group)}, processes))
	if err != nil {
		return Sample{}, err
	}
	took, err := s.follow(ctx, p.group, live, records, children)
	if err := errors.Join(err, stopAll(children)); err != nil {
		return Sample{}, err
	}
	s.folded[p.group] = true
	return sample(records, took, children), nil
}

// sample is what a run says, whose processes have ended; its memory is that of the largest.
func sample(records int64, took time.Duration, children []*child) Sample {
	result := Sample{Seconds: took.Seconds(), PerSecond: float64(records) / took.Seconds()}
	for _, c := range children {
		result.PeakMiB = max(result.PeakMiB, mebibytes(c.peak))
		result.CPU += (c.command.ProcessState.UserTime() + c.command.ProcessState.SystemTime()).Seconds()
	}
	return result
}

// reset lets a group begin anew, and lets PostgreSQL do now what it would do meanwhile.
func (s *stage) reset(ctx context.Context, p projection) error {
	s.folded[p.group] = false
	for _, table := range []string{p.table, "repeats_" + p.group} {
		if _, err := s.pool.Exec(ctx, "TRUNCATE "+table); err != nil {
			return fmt.Errorf("empty %s: %w", table, err)
		}
	}
	if _, err := s.pool.Exec(ctx, forgetSQL, p.group); err != nil {
		return fmt.Errorf("forget positions: %w", err)
	}
	return s.settle(ctx)
}

// settle writes out what PostgreSQL has in memory, if the user may ask for that.
func (s *stage) settle(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "VACUUM positions, relay_sequences")
	if err == nil {
		_, err = s.pool.Exec(ctx, "CHECKPOINT")
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		s.cfg.Log.Warn("without the right to CHECKPOINT runs may disturb each other")
		return nil
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// progress is how far a group has come.
type progress struct {
	owned                       int
	next, fetched, deadLettered int64
	halted                      string
}

func (s *stage) progress(ctx context.Context, group, state string) (progress, error) {
	var p progress
	err := s.pool.QueryRow(ctx, progressSQL, group, state).Scan(&p.owned, &p.next, &p.fetched, &p.deadLettered, &p.halted)
	if err != nil {
		return p, fmt.Errorf("read progress of %s: %w", group, err)
	}
	return p, nil
}

// follow returns how long it took from the first claim of a position until all records were folded.
func (s *stage) follow(ctx context.Context, group, state string, records int64, children []*child) (time.Duration, error) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	var began time.Time
	var before progress
	moved := time.Now()
	for {
		now, err := s.progress(ctx, group, state)
		at := time.Now()
		switch {
		case err != nil:
			return 0, err
		case now.halted != "":
			return 0, children[0].failure("it halted: " + now.halted)
		case began.IsZero() && now.owned > 0:
			began = at
		}
		if now.next >= records {
			return at.Sub(began), nil
		}
		if now != before {
			before, moved = now, at
		}
		if at.Sub(moved) > patience {
			return 0, children[0].failure(fmt.Sprintf("no progress within %s after %d of %d records", patience, now.next, records))
		}
		if err := s.pause(ctx, ticker.C, children); err != nil {
			return 0, err
		}
	}
}

// pause waits for the next look at the progress.
func (s *stage) pause(ctx context.Context, tick <-chan time.Time, children []*child) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tick:
	}
	for _, c := range children {
		select {
		case <-c.done:
			if c.err != nil || c.command.Args[1] == "consume" {
				return c.failure("it ended too early")
			}
		default:
		}
	}
	return nil
}
