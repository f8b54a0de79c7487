package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/applylens/applylens/internal/config"
)

// The parts of a bench.
const (
	Fold    = "fold"    // groups that fold a log they are behind of
	Rebuild = "rebuild" // a rebuild of the same log
	Naive   = "naive"   // an upsert per event, to compare with
	Swap    = "swap"    // a rebuilt version takes the live one's place, and back, while events are folded
	Latency = "latency" // from a decision over HTTP to the learned weight
	Index   = "index"   // from changed applications to their mails in Elasticsearch
)

// Config tells what is measured, and where.
type Config struct {
	Parts    []string        // Default: all, but Index only with Elasticsearch.
	Binary   string          // of applylens, whose subcommands are measured
	Kafka    config.Kafka    // the prefix of topics is extended
	Postgres config.Postgres // names a server and a user that may create databases
	Log      *slog.Logger

	Elasticsearch config.Elasticsearch // the alias is another

	Events         int     // in the log that is folded
	Users          int     // whose events they are
	Runs           int     // of each measurement
	Rate           float64 // approvals a second
	LatencySeconds int     // for how long
	Applications   int     // that change when the index is measured
	Keep           bool    // leave databases and topics behind
}

// Validate lists every fault of the settings and fills in the default.
func (c *Config) Validate() error {
	var faults []error
	all := []string{Fold, Rebuild, Naive, Swap, Latency, Index}
	if len(c.Parts) == 0 {
		c.Parts = all
		if !c.Elasticsearch.Given() {
			c.Parts = all[:len(all)-1]
		}
	}
	for _, part := range c.Parts {
		if !slices.Contains(all, part) {
			faults = append(faults, fmt.Errorf("%q cannot be measured: choose of %s", part, strings.Join(all, ", ")))
		}
	}
	if c.wants(Index) {
		faults = append(faults, c.Elasticsearch.Validate())
	}
	if c.Events < 1 || c.Runs < 1 || c.LatencySeconds < 1 || c.Applications < 1 {
		faults = append(faults, errors.New("--events, --runs, --latency-seconds and --applications must be positive"))
	}
	if c.Users < 2 {
		faults = append(faults, errors.New("--users must be 2 or more"))
	}
	if c.Rate <= 0 {
		faults = append(faults, errors.New("--rate must be above 0"))
	}
	return errors.Join(append(faults, c.Kafka.Validate(), c.Postgres.Validate())...)
}

func (c *Config) wants(part string) bool { return slices.Contains(c.Parts, part) }

// Run measures one part after the other. A result that is wrong is a fault in the report; the error tells of a
// measurement that could not be made. Everything is deleted again, also when ctx ends.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	report := &Report{Settings: settingsOf(&cfg), Consumers: consumerTarget, Faults: []string{}}
	if cfg.wants(Fold) || cfg.wants(Rebuild) || cfg.wants(Naive) {
		if err := onStage(ctx, &cfg, report, measureOwn); err != nil {
			return nil, err
		}
	}
	if cfg.wants(Fold) {
		if err := onStage(ctx, &cfg, report, measureForeign); err != nil {
			return nil, err
		}
	}
	if cfg.wants(Swap) {
		if err := onStage(ctx, &cfg, report, measureSwaps); err != nil {
			return nil, err
		}
	}
	if cfg.wants(Latency) {
		if err := onStage(ctx, &cfg, report, measureLatency); err != nil {
			return nil, err
		}
	}
	if cfg.wants(Index) {
		if err := onStage(ctx, &cfg, report, measureIndex); err != nil {
			return nil, err
		}
	}
	report.compareWithNaive()
	return report, nil
}

// onStage lets measure work on a stage of its own.
func onStage(ctx context.Context, cfg *Config, report *Report, measure func(context.Context, *stage, *Report) error) (err error) {
	s, err := openStage(ctx, cfg)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err() // what failed for that reason tells nothing more
		}
		err = errors.Join(err, s.close(ctx))
	}()
	if report.Machine == nil {
		if report.Machine, err = s.machine(ctx); err != nil {
			return err
		}
	}
	return measure(ctx, s, report)
}

// measureOwn measures on a log that the deployment's own relay might have written.
func measureOwn(ctx context.Context, s *stage, report *Report) error {
	made, err := s.write(ctx, 0)
	if err != nil {
		return err
	}
	for _, p := range projections {
		if s.cfg.wants(Fold) {
			if err := s.measureFolds(ctx, report, p, "own events", made, p.own); err != nil {
				return err
			}
		}
		if s.cfg.wants(Rebuild) {
			if err := s.measureRebuild(ctx, report, p, made); err != nil {
				return err
			}
		}
	}
	if s.cfg.wants(Naive) {
		return s.measureNaive(ctx, report)
	}
	return nil
}

// measureForeign measures on a log that only foreign services wrote, each event of which has to be remembered.
func measureForeign(ctx context.Context, s *stage, report *Report) error {
	made, err := s.write(ctx, 1)
	if err != nil {
		return err
	}
	for _, p := range projections {
		if err := s.measureFolds(ctx, report, p, "foreign events", made, foreignTarget); err != nil {
			return err
		}
	}
	return nil
}
