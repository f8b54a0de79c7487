package bench

import (
	"context"
	"errors"
	"fmt"
)

// The parts of a bench.
const (
	Fold    = "fold"    // groups that catch up on a log
	Rebuild = "rebuild" // a rebuild of the same log
	Naive   = "naive"   // an upsert per event, to compare with
	Swap    = "swap"    // swap and rollback of a rebuilt version under traffic
	Latency = "latency" // from a decision over HTTP to the learned weight
	Index   = "index"   // from changed applications to their mails in Elasticsearch
)

// Run measures one part after the other. A wrong result is a fault in the report; an error means that something could
// not be measured. Run deletes its databases and topics, also when ctx ends.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	report := &Report{Settings: settingsOf(&cfg), Faults: []string{}}
	if streams := len(cfg.streams()); streams > 0 {
		if err := onStages(ctx, &cfg, report, streams, measureStreams); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		wanted  bool
		measure func(context.Context, *stage, *Report) error
	}{
		{cfg.wants(Swap), measureSwaps}, {cfg.wants(Latency), measureLatency}, {cfg.wants(Latency) && cfg.ExtraRTT > 0, measureDistant},
		{cfg.wants(Index), measureIndex},
	} {
		if !part.wanted {
			continue
		}
		if err := onStage(ctx, &cfg, report, part.measure); err != nil {
			return nil, err
		}
	}
	report.compareWithNaive()
	return report, nil
}

// onStage opens a stage, calls measure and closes the stage.
func onStage(ctx context.Context, cfg *Config, report *Report, measure func(context.Context, *stage, *Report) error) error {
	return onStages(ctx, cfg, report, 1, func(ctx context.Context, stages []*stage, report *Report) error {
		return measure(ctx, stages[0], report)
	})
}

// onStages is onStage with several stages.
func onStages(ctx context.Context, cfg *Config, report *Report, count int, measure func(context.Context, []*stage, *Report) error) (err error) {
	var stages []*stage
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err() // everything else failed for that reason
		}
		for _, s := range stages {
			err = errors.Join(err, s.close(ctx))
		}
	}()
	for range count {
		s, err := openStage(ctx, cfg)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		stages = append(stages, s)
	}
	if report.Machine == nil {
		if report.Machine, err = stages[0].machine(ctx); err != nil {
			return err
		}
	}
	return measure(ctx, stages, report)
}
