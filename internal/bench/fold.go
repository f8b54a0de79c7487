package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/consumers/ledger"
)

// progressSQL returns the progress of a group: how many partitions have an owner, the sums of the next offsets, of the
// fetched and of the dead-lettered records, and why partitions are halted.
const progressSQL = `
SELECT count(*) FILTER (WHERE p.owner <> ''), COALESCE(sum(p.next_offset), 0)::bigint, COALESCE(sum(p.fetched), 0)::bigint,
       COALESCE(sum(p.dead_lettered), 0)::bigint,
       COALESCE(string_agg(p.partition || ': ' || p.halt_reason || ' ' || p.halt_detail, '; ') FILTER (WHERE p.state <> 'running'), '')
FROM positions p JOIN versions v ON v.group_name = p.group_name AND v.version = p.version
WHERE p.group_name = $1 AND v.state = $2`

// forgetSQL deletes a group's positions, dead letters and relay sequences.
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

// newFoldRate returns the rate of a group on a stream, without samples but with its targets.
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

// consume returns the arguments of a process that folds a group.
func consume(group string) []string {
	return []string{"consume", group, "--session-timeout=6s", "--metrics-listen="}
}

// measureFolds measures each group on each stream. The streams alternate within each run, so that other load on the
// machine affects all of them.
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

// measureFold measures one run, adds it to the rate and checks the result.
func (s *stage) measureFold(ctx context.Context, report *Report, p projection, rate *Rate) error {
	run, err := s.foldOnce(ctx, p, rate.Processes)
	if err != nil {
		return fmt.Errorf("%s: %w", rate.What, err)
	}
	s.finish(rate, run)
	return s.check(ctx, report, rate.What, p, live)
}

// finish adds a run to the rate and logs it.
func (s *stage) finish(rate *Rate, run Sample) {
	rate.Samples = append(rate.Samples, run)
	s.cfg.Log.Info("measured", "what", rate.What, "processes", rate.Processes, "run", len(rate.Samples), "of", s.cfg.Runs,
		"per_second", int64(run.PerSecond), "cpu_us_per_event", int64(run.microseconds()), "peak_mib", run.PeakMiB)
}

// foldOnce lets a group fold the whole log from empty tables.
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

// sample returns the figures of a run whose processes have ended. The memory is that of the largest process.
func sample(records int64, took time.Duration, children []*child) Sample {
	result := Sample{Seconds: took.Seconds(), PerSecond: float64(records) / took.Seconds()}
	for _, c := range children {
		result.PeakMiB = max(result.PeakMiB, mebibytes(c.peak))
		result.CPU += (c.command.ProcessState.UserTime() + c.command.ProcessState.SystemTime()).Seconds()
	}
	return result
}

// reset empties a group's tables and positions.
func (s *stage) reset(ctx context.Context, p projection) error {
	s.folded[p.group] = false
	versions, err := ledger.Versions(ctx, s.pool, p.group)
	if err != nil {
		return err
	}
	tables := []string{p.table}
	for _, v := range versions {
		tables = append(tables, ledger.EffectsTable(p.group, v.Version))
	}
	for _, table := range tables {
		if _, err := s.pool.Exec(ctx, "TRUNCATE "+table); err != nil {
			return fmt.Errorf("empty %s: %w", table, err)
		}
	}
	if _, err := s.pool.Exec(ctx, forgetSQL, p.group); err != nil {
		return fmt.Errorf("forget positions: %w", err)
	}
	return s.settle(ctx)
}

// settle vacuums and checkpoints before a measurement, so that PostgreSQL does not do it meanwhile. Without the right
// to do so it only warns.
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

// progress is the answer of progressSQL.
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

// follow waits until all records are folded and returns the time since the first partition was claimed.
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

// pause waits for the next tick and fails when a process has ended too early.
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
