package rebuild

import (
	"context"
	"fmt"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
)

// Run folds the whole log into the version that is being built, making one if there is none, with the loop that
// folds the live one but large batches, and no effect outside the version's own rows. It resumes where an earlier run
// ended, however it ended, and shares the partitions with every process that does the same. It returns the version when it
// has reached the ends that the log had last, or, with follow, when ctx ends or the version was swapped in.
func Run(ctx context.Context, cfg consumers.Config, follow bool) (int, error) {
	if err := cfg.Validate(); err != nil {
		return 0, err
	}
	version, err := begin(ctx, &cfg)
	if err != nil {
		return 0, err
	}
	return version, catchUp(ctx, &cfg, version, follow)
}

// begin returns the version that is being built, and makes one if there is none.
func begin(ctx context.Context, cfg *consumers.Config) (int, error) {
	building, err := ledger.EnsureBuilding(ctx, cfg.Pool, cfg.Group.Projection())
	if err != nil {
		return 0, err
	}
	if building.FoldVersion != cfg.Group.FoldVersion {
		return 0, fmt.Errorf("version %d of %s was begun by fold rule %d, this binary has %d: drop it with applylens rebuild drop %s %d",
			building.Version, cfg.Group.Name, building.FoldVersion, cfg.Group.FoldVersion, cfg.Group.Name, building.Version)
	}
	return building.Version, nil
}

// findBuilding returns the version that is being built.
func findBuilding(ctx context.Context, cfg *consumers.Config) (ledger.Version, error) {
	building, found, err := ledger.Building(ctx, cfg.Pool, cfg.Group.Name)
	if err == nil && !found {
		err = fmt.Errorf("no version of %s is being built: build one with applylens rebuild run %[1]s", cfg.Group.Name)
	}
	return building, err
}

// catchUp folds a version to the end of the log.
func catchUp(ctx context.Context, cfg *consumers.Config, version int, follow bool) error {
	m, err := join(ctx, cfg, version, follow)
	if err != nil {
		return err
	}
	defer m.leases.Close()
	return m.catchUp(ctx, m.logEnds)
}

// Renew builds a version that this binary can fold and makes it live, if the live one was folded by another rule; that
// one is served meanwhile. It refuses when the log no longer holds all that the live version was folded from, since
// only an operator may give that up.
func Renew(ctx context.Context, cfg consumers.Config, maxLag int64, actor string) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
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
	if len(plan.Unknown) > 0 {
		return fmt.Errorf("partitions %v of %s may have no leader: Kafka does not tell where they begin, so that a version built from the log might lack something",
			plan.Unknown, cfg.Broker.Topic(cfg.Group.Topic))
	}
	for _, r := range plan.Ranges {
		if r.Start > 0 {
			return fmt.Errorf("partition %d of %s begins at %d: a version built from the log would lack what came before; applylens rebuild run %s and swap %[4]s accept that",
				r.Partition, cfg.Broker.Topic(cfg.Group.Topic), r.Start, cfg.Group.Name)
		}
	}
	reason := fmt.Sprintf("fold rule %d instead of %d", cfg.Group.FoldVersion, rule)
	version, err := begin(ctx, &cfg)
	if err == nil {
		_, err = swapWhenClose(ctx, &cfg, version, maxLag, actor, reason)
	}
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
