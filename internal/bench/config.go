package bench

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/load"
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
	Processes    []int    // that fold or rebuild together: one figure for each number. Default: 1 and 2.
	Compression  string   // of the streams of other services. Default: snappy.
	BatchBytes   int      // of their client. Default: load.MaxBatchBytes.
	BatchRecords int      // of their client. Default: as many as the bytes allow.
	Repeats      float64  // share of the records of streams with repeats, above 0 and below 1

	Events         int           // in the log that is folded
	Users          int           // whose events they are
	Runs           int           // of each measurement
	Rate           float64       // approvals a second
	LatencySeconds int           // for how long
	ExtraRTT       time.Duration // added to each round trip to PostgreSQL in a second measurement of delays; 0: no second measurement
	Applications   int           // that change when the index is measured
	Keep           bool          // leave databases and topics behind
}

// all selects every name of a list.
const all = "all"

// Validate returns every fault of the settings and fills in the defaults.
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

// choose returns an error for each name that is not known.
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

// streams returns the streams to write. The own stream comes first, as rebuild and naive use it.
func (c *Config) streams() []string {
	var names []string
	for _, name := range Streams {
		rebuilt := name == Own && (c.wants(Rebuild) || c.wants(Naive))
		if rebuilt || c.wants(Fold) && slices.Contains(c.Streams, name) {
			names = append(names, name)
		}
	}
	return names
}

// projections returns the projections of the selected groups.
func (c *Config) projections() []projection {
	return slices.DeleteFunc(slices.Clone(projections), func(p projection) bool { return !slices.Contains(c.Groups, p.group) })
}
