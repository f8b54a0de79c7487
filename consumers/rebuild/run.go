package rebuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/kafkalog"
)

// Plan is what a rebuild would read.
type Plan struct {
	Group       string      `json:"group"`
	LiveVersion int         `json:"live_version"`
	Version     int         `json:"version"` // the one being built; 0: a new one would be made
	Ranges      []PlanRange `json:"ranges"`
	Records     int64       `json:"records"` // offsets to read; compacted and control records count too
	Missing     int64       `json:"missing"` // offsets that the log no longer holds
	Estimate    string      `json:"estimate"`
}

// PlanRange is what is to be read of one partition: the offsets from From to below To. The log begins at Start.
type PlanRange struct {
	Partition int   `json:"partition"`
	Start     int64 `json:"start"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
}

// planRate is the rate at which a plan estimates, in records per second: what DESIGN asks of a rebuild at least.
const planRate = 250_000

// MakePlan tells what Run would do now, without doing it.
func MakePlan(ctx context.Context, cfg *consumers.Config) (*Plan, error) {
	live, _, err := ledger.LiveVersion(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return nil, err
	}
	plan := &Plan{Group: cfg.Group.Name, LiveVersion: live}
	positions := map[int]int64{}
	if found {
		plan.Version = building.Version
		if positions, err = ledger.NextOffsets(ctx, cfg.Pool, cfg.Group.Name, building.Version); err != nil {
			return nil, err
		}
	}
	starts, ends, err := kafkalog.Ends(ctx, cfg.Broker, cfg.Broker.Topic(cfg.Group.Topic))
	if err != nil {
		return nil, err
	}
	for p := range len(ends) {
		from := max(starts[p], positions[p])
		plan.Ranges = append(plan.Ranges, PlanRange{Partition: p, Start: starts[p], From: from, To: ends[p]})
		plan.Records += ends[p] - from
		plan.Missing += starts[p] - min(starts[p], positions[p])
	}
	plan.Estimate = (time.Duration(plan.Records) * time.Second / planRate).Round(time.Second).String()
	return plan, nil
}

// Run folds the whole log into the version that is being built, making one if there is none, with the loop that
// folds the live one but large batches, and no effect outside the version's own rows. It resumes where an earlier run
// ended, however it ended. It returns the version when it has reached the ends that the log had last, or, with
// follow, when ctx ends or the version was swapped in.
func Run(ctx context.Context, cfg consumers.Config, follow bool) (int, error) {
	if err := cfg.Validate(); err != nil {
		return 0, err
	}
	cfg = forRebuild(cfg)
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err != nil {
		return 0, err
	}
	if found && building.FoldVersion != cfg.Group.FoldVersion {
		return 0, fmt.Errorf("version %d of %s was begun by fold rule %d, this binary has %d: drop it with applylens rebuild drop %s %d",
			building.Version, cfg.Group.Name, building.FoldVersion, cfg.Group.FoldVersion, cfg.Group.Name, building.Version)
	}
	version := building.Version
	if !found {
		if version, err = ledger.CreateVersion(ctx, cfg.Pool, cfg.Group.Projection()); err != nil {
			return 0, err
		}
	}
	return version, catchUp(ctx, &cfg, version, follow)
}

// Renew builds a version that this binary can fold and makes it live, if the live one was folded by another rule; that
// one is served meanwhile. It refuses when the log no longer holds all that the live version was folded from, since
// only an operator may give that up.
func Renew(ctx context.Context, cfg consumers.Config, maxLag int64, actor string) error {
	live, rule, err := ledger.LiveVersionFor(ctx, cfg.Pool, cfg.Group.Name, cfg.Group.FoldVersion)
	if err != nil || rule == cfg.Group.FoldVersion {
		return err
	}
	cfg.Log.Info("building a version by this binary's fold rule", "group", cfg.Group.Name, "live_version", live, "rule", rule, "new_rule", cfg.Group.FoldVersion)
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err == nil && found && building.FoldVersion != cfg.Group.FoldVersion {
		err = ledger.DropVersion(ctx, cfg.Pool, cfg.Group.Projection(), building.Version)
	}
	if err != nil {
		return err
	}
	plan, err := MakePlan(ctx, &cfg)
	if err != nil {
		return err
	}
	for _, r := range plan.Ranges {
		if r.Start > 0 {
			return fmt.Errorf("partition %d of %s begins at %d: a version built from the log would lack what came before; applylens rebuild run %s and swap %[4]s accept that",
				r.Partition, cfg.Broker.Topic(cfg.Group.Topic), r.Start, cfg.Group.Name)
		}
	}
	reason := fmt.Sprintf("fold rule %d instead of %d", cfg.Group.FoldVersion, rule)
	_, _, err = SwapWhenClose(ctx, cfg, maxLag, actor, reason)
	return err
}

// forRebuild returns the settings with the batch sizes that suit reading a whole log.
func forRebuild(cfg consumers.Config) consumers.Config {
	cfg.BatchRecords = max(cfg.BatchRecords, 1_000_000)
	cfg.BatchLinger = max(cfg.BatchLinger, 2*time.Second)
	cfg.BatchDeadline = max(cfg.BatchDeadline, 2*time.Minute)
	cfg.FetchBytes = max(cfg.FetchBytes, 2<<20)
	return cfg
}

// What is left to be folded in a rebuild, in records: much of it is folded partition by partition, and less than a
// moment's worth is the end.
const (
	muchLeft     = 20_000
	momentsWorth = 5000
)

// catchUp folds until what is left is less than a moment's worth, and once more to that end.
func catchUp(ctx context.Context, cfg *consumers.Config, version int, follow bool) error {
	for {
		_, ends, err := kafkalog.Ends(ctx, cfg.Broker, cfg.Broker.Topic(cfg.Group.Topic))
		if err != nil {
			return err
		}
		before, err := ledger.NextOffsets(ctx, cfg.Pool, cfg.Group.Name, version)
		if err != nil {
			return err
		}
		var left int64
		for p, end := range ends {
			left += end - before[p]
		}
		switch {
		case left >= muchLeft:
			err = foldInTurn(ctx, cfg, version, before, ends)
		case follow:
			return consumers.Fold(ctx, *cfg, version, slices.Sorted(maps.Keys(ends)), nil, 1)
		default:
			err = consumers.Fold(ctx, *cfg, version, slices.Sorted(maps.Keys(ends)), ends, 1)
		}
		if err != nil || left < momentsWorth {
			return err
		}
	}
}

// foldInTurn folds partitions to their ends, each by itself and as many at once as there are workers, those that have
// most left first. A batch of one partition holds fewer keys than one of all of them that is as long, so that fewer rows
// are written twice. A partition that halts does not keep the others from their ends.
func foldInTurn(ctx context.Context, cfg *consumers.Config, version int, from, ends map[int]int64) error {
	var partitions []int
	for p, end := range ends {
		if end > from[p] {
			partitions = append(partitions, p)
		}
	}
	slices.SortFunc(partitions, func(a, b int) int { return cmp.Or(cmp.Compare(ends[b]-from[b], ends[a]-from[a]), a-b) })
	queue := make(chan int, len(partitions))
	for _, p := range partitions {
		queue <- p
	}
	close(queue)
	beside := min(cfg.Workers, len(partitions))
	var mu sync.Mutex
	var halted []error
	folding, ctx := errgroup.WithContext(ctx)
	for range beside {
		folding.Go(func() error {
			for p := range queue {
				err := consumers.Fold(ctx, *cfg, version, []int{p}, ends, beside)
				var halt *ledger.Halt
				switch {
				case errors.As(err, &halt):
					mu.Lock()
					halted = append(halted, err)
					mu.Unlock()
				case err != nil:
					return err
				}
			}
			return nil
		})
	}
	err := folding.Wait()
	return errors.Join(append(halted, err)...)
}
