package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/load"
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

	Streams      []string // that are folded; "all" or none: all
	Groups       []string // that are measured; "all" or none: all
	Processes    []int    // that fold together: one figure for each number. Default: 1 and 2.
	Compression  string   // of the streams of other services. Default: snappy.
	BatchBytes   int      // of their client. Default: load.MaxBatchBytes.
	BatchRecords int      // of their client. Default: as many as the bytes allow.
	Repeats      float64  // share of the records of streams with repeats, above 0 and below 1

	Events         int           // in the log that is folded
	Users          int           // whose events they are
	Runs           int           // of each measurement
	Rate           float64       // approvals a second
	LatencySeconds int           // for how long
	ExtraRTT       time.Duration // more for each round trip to PostgreSQL, when delays are measured once more; 0: they are not
	Applications   int           // that change when the index is measured
	Keep           bool          // leave databases and topics behind
}

// all stands for every name of a list.
const all = "all"

// Validate lists every fault of the settings and fills in the defaults.
func (c *Config) Validate() error {
	return errors.Join(c.validateParts(), c.validateStreams(), c.validateSizes(), c.Kafka.Validate(), c.Postgres.Validate())
}

func (c *Config) validateParts() error {
	parts := []string{Fold, Rebuild, Naive, Swap, Latency, Index}
	if len(c.Parts) == 0 {
		c.Parts = parts
		if !c.Elasticsearch.Given() {
			c.Parts = parts[:len(parts)-1]
		}
	}
	err := choose(c.Parts, parts, "be measured")
	if c.wants(Index) {
		err = errors.Join(err, c.Elasticsearch.Validate())
	}
	return err
}

func (c *Config) validateStreams() error {
	if len(c.Streams) == 0 || slices.Contains(c.Streams, all) {
		c.Streams = Streams
	}
	var groups []string
	for _, p := range projections {
		groups = append(groups, p.group)
	}
	if len(c.Groups) == 0 || slices.Contains(c.Groups, all) {
		c.Groups = groups
	}
	if len(c.Processes) == 0 {
		c.Processes = []int{1, 2}
	}
	c.Compression = cmp.Or(c.Compression, "snappy")
	c.BatchBytes = cmp.Or(c.BatchBytes, load.MaxBatchBytes)
	faults := []error{
		choose(c.Streams, Streams, "be a stream"), choose(c.Groups, groups, "be a group that is measured"),
		choose([]string{c.Compression}, load.Compressions, "be a compression"),
	}
	if slices.Min(c.Processes) < 1 {
		faults = append(faults, errors.New("--processes must be positive"))
	}
	if c.BatchBytes < 1 || c.BatchBytes > load.MaxBatchBytes || c.BatchRecords < 0 {
		faults = append(faults, fmt.Errorf("--batch-bytes must be within 1..%d and --batch-records not negative", load.MaxBatchBytes))
	}
	if !(c.Repeats > 0 && c.Repeats < 1) {
		faults = append(faults, errors.New("--repeats must be above 0 and below 1"))
	}
	return errors.Join(faults...)
}

// choose lists the names that are not among those known.
func choose(names, known []string, what string) error {
	var faults []error
	for _, name := range names {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Errorf("%q cannot %s: choose of %s", name, what, strings.Join(known, ", ")))
		}
	}
	return errors.Join(faults...)
}

func (c *Config) validateSizes() error {
	var faults []error
	if c.Events < 1 || c.Runs < 1 || c.LatencySeconds < 1 || c.Applications < 1 {
		faults = append(faults, errors.New("--events, --runs, --latency-seconds and --applications must be positive"))
	}
	if c.Users < 2 {
		faults = append(faults, errors.New("--users must be 2 or more"))
	}
	if c.ExtraRTT < 0 {
		faults = append(faults, errors.New("--extra-rtt must not be negative"))
	}
	if c.Rate <= 0 {
		faults = append(faults, errors.New("--rate must be above 0"))
	}
	return errors.Join(faults...)
}

func (c *Config) wants(part string) bool { return slices.Contains(c.Parts, part) }

// Run measures one part after the other. A result that is wrong is a fault in the report; the error tells of a
// measurement that could not be made. Everything is deleted again, also when ctx ends.
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

// onStage lets measure work on a stage of its own.
func onStage(ctx context.Context, cfg *Config, report *Report, measure func(context.Context, *stage, *Report) error) error {
	return onStages(ctx, cfg, report, 1, func(ctx context.Context, stages []*stage, report *Report) error {
		return measure(ctx, stages[0], report)
	})
}

// onStages lets measure work on stages of its own.
func onStages(ctx context.Context, cfg *Config, report *Report, count int, measure func(context.Context, []*stage, *Report) error) (err error) {
	var stages []*stage
	defer func() {
		if ctx.Err() != nil {
			err = ctx.Err() // what failed for that reason tells nothing more
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
