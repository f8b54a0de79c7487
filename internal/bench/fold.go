package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
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

// weightsSQL and policystatsSQL add up what a version of a state holds.
const (
	weightsSQL = `
SELECT ARRAY[COALESCE(sum(approvals), 0), COALESCE(sum(rejections), 0)]::bigint[]
FROM weight_counts WHERE version = (SELECT version FROM versions WHERE group_name = 'weights' AND state = $1)`
	policystatsSQL = `
SELECT ARRAY[COALESCE(sum(fired), 0), COALESCE(sum(approved), 0), COALESCE(sum(rejected), 0)]::bigint[]
FROM policy_days WHERE version = (SELECT version FROM versions WHERE group_name = 'policystats' AND state = $1)`
)

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
	own          Target
	totalsSQL    string
	totals       []string // what its statement adds up
	expect       func(load.Summary) []int64
}

var projections = []projection{
	{
		group: "weights", table: "weight_counts", own: Target{80_000, 120_000}, totalsSQL: weightsSQL, totals: []string{"approvals", "rejections"},
		expect: func(made load.Summary) []int64 {
			return []int64{made.Features[events.TypeActionApproved.String()], made.Features[events.TypeActionRejected.String()]}
		},
	},
	{
		group: "policystats", table: "policy_days", own: Target{60_000, 120_000}, totalsSQL: policystatsSQL, totals: []string{"fired", "approved", "rejected"},
		expect: func(made load.Summary) []int64 {
			return []int64{
				made.ByType[events.TypeActionProposed.String()], made.ByType[events.TypeActionApproved.String()], made.ByType[events.TypeActionRejected.String()],
			}
		},
	},
}

var (
	foreignTarget = Target{45_000, 80_000}
	rebuildTarget = Target{250_000, 500_000}
)

// consume are the arguments of a process that folds a group.
func consume(group string) []string {
	return []string{"consume", group, "--session-timeout=6s", "--metrics-listen="}
}

// measureFolds lets one process catch up, and two.
func (s *stage) measureFolds(ctx context.Context, report *Report, p projection, kind string, made load.Summary, target Target) error {
	for processes := 1; processes <= 2; processes++ {
		rate := &Rate{What: "live fold of " + p.group + ", " + kind, Processes: processes, Target: &target, consumer: true}
		for range s.cfg.Runs {
			run, err := s.foldOnce(ctx, p, processes, made.Records)
			if err != nil {
				return fmt.Errorf("%s: %w", rate.What, err)
			}
			s.finish(report, rate, run)
			if err := s.check(ctx, report, rate.What, p, live, made); err != nil {
				return err
			}
		}
		report.add(rate)
	}
	return nil
}

// finish keeps a run and tells that it is over.
func (s *stage) finish(report *Report, rate *Rate, run Sample) {
	rate.Samples = append(rate.Samples, run)
	s.cfg.Log.Info("measured", "what", rate.What, "processes", rate.Processes, "run", len(rate.Samples), "of", s.cfg.Runs,
		"per_second", int64(run.PerSecond), "peak_mib", run.PeakMiB)
}

// foldOnce lets a group that knows nothing fold the whole log.
func (s *stage) foldOnce(ctx context.Context, p projection, processes int, records int64) (Sample, error) {
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
	for _, table := range []string{p.table, "processed_effects_" + p.group} {
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

// check holds what a version contains against what was written.
func (s *stage) check(ctx context.Context, report *Report, what string, p projection, state string, made load.Summary) error {
	now, err := s.progress(ctx, p.group, state)
	if err != nil {
		return err
	}
	var totals []int64
	if err := s.pool.QueryRow(ctx, p.totalsSQL, state).Scan(&totals); err != nil {
		return fmt.Errorf("add up %s: %w", p.table, err)
	}
	report.expect(what, "records in the ledger", now.fetched, made.Records)
	report.expect(what, "dead letters", now.deadLettered, 0)
	for i, want := range p.expect(made) {
		report.expect(what, p.totals[i], totals[i], want)
	}
	return nil
}
