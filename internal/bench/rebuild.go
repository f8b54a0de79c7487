package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// buildingSQL returns the version that is being built, 0 when there is none.
const buildingSQL = `
SELECT COALESCE(max(version), 0) FROM versions WHERE group_name = $1 AND state = 'building'`

// measureRebuilds measures rebuilds of a projection, by each number of processes.
func (s *stage) measureRebuilds(ctx context.Context, report *Report, p projection) error {
	if !s.folded[p.group] {
		if _, err := s.foldOnce(ctx, p, 1); err != nil {
			return fmt.Errorf("live fold of %s: %w", p.group, err)
		}
	}
	for _, processes := range s.cfg.Processes {
		if err := s.measureRebuild(ctx, report, p, processes); err != nil {
			return err
		}
	}
	return nil
}

// measureRebuild measures rebuilds that processes share, and compares the last one with the live version.
func (s *stage) measureRebuild(ctx context.Context, report *Report, p projection, processes int) error {
	rate := &Rate{What: "rebuild of " + p.group, Stream: s.stream, Group: p.group, Processes: processes, Target: &rebuildTarget, CPUTarget: &rebuildCPU}
	for range s.cfg.Runs {
		if err := s.dropBuilding(ctx, p.group); err != nil {
			return err
		}
		run, err := s.rebuildOnce(ctx, p.group, s.expected[p.group].records, processes)
		if err != nil {
			return fmt.Errorf("%s: %w", rate.What, err)
		}
		s.finish(rate, run)
		if err := s.check(ctx, report, rate.What, p, building); err != nil {
			return err
		}
	}
	report.add(rate)
	report.Checks++
	if err := s.run(ctx, "rebuild", "diff", p.group); err != nil {
		report.fault("%s: %s", rate.What, err)
	}
	return s.dropBuilding(ctx, p.group)
}

func (s *stage) rebuildOnce(ctx context.Context, group string, records int64, processes int) (Sample, error) {
	if err := s.settle(ctx); err != nil {
		return Sample{}, err
	}
	children, err := s.startAll(ctx, slices.Repeat([][]string{{"rebuild", "run", group}}, processes))
	if err != nil {
		return Sample{}, err
	}
	took, err := s.follow(ctx, group, building, records, children)
	if err != nil {
		return Sample{}, errors.Join(err, stopAll(children))
	}
	for _, c := range children {
		err = errors.Join(err, c.wait())
	}
	return sample(records, took, children), err
}

// run runs a subcommand to its end.
func (s *stage) run(ctx context.Context, arguments ...string) error {
	c, err := s.start(ctx, arguments...)
	if err != nil {
		return err
	}
	return c.wait()
}

// dropBuilding deletes the version that an earlier run built.
func (s *stage) dropBuilding(ctx context.Context, group string) error {
	var version int
	if err := s.pool.QueryRow(ctx, buildingSQL, group).Scan(&version); err != nil {
		return fmt.Errorf("look for a version of %s: %w", group, err)
	}
	if version == 0 {
		return nil
	}
	return s.run(ctx, "rebuild", "drop", group, fmt.Sprint(version), "--yes")
}
