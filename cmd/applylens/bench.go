package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/applylens/applylens/internal/bench"
	"github.com/applylens/applylens/internal/config"
)

type benchCommand struct {
	Parts    []string        `arg:"" optional:"" help:"What to measure: fold, rebuild, naive, swap, latency, index; all by default, index only with Elasticsearch."`
	Kafka    config.Kafka    `embed:"" group:"Connections:"`
	Postgres config.Postgres `embed:"" group:"Connections:"`

	Elasticsearch config.Elasticsearch `embed:"" group:"Connections:"`

	Streams      []string `name:"stream" help:"Which streams are folded: own, clean, repeats, mixed or all." default:"all"`
	Groups       []string `name:"group" help:"Which groups are measured: weights, policystats or all." default:"all"`
	Processes    []int    `help:"How many processes fold or rebuild together: one figure for each number." default:"1,2"`
	Compression  string   `help:"How the client of another service compresses: none, gzip, snappy, lz4 or zstd." default:"snappy"`
	BatchBytes   int      `help:"How many bytes its batches have at most, before compression." default:"1048576"`
	BatchRecords int      `help:"How many records its batches have at most; 0: as many as the bytes allow." default:"0"`
	Repeats      float64  `help:"Share of the records of streams repeats and mixed that are sent again." default:"0.02"`

	Events         int           `help:"Events in the log that is folded." default:"1000000"`
	Users          int           `help:"Users whose events they are." default:"10000"`
	Runs           int           `help:"Runs of each measurement." default:"3"`
	Rate           float64       `help:"Approvals a second when delays are measured." default:"200"`
	LatencySeconds int           `name:"latency-seconds" help:"For how long delays are measured." default:"10"`
	ExtraRTT       time.Duration `name:"extra-rtt" help:"Measure delays once more with so much more for each round trip to PostgreSQL, such as 2ms." default:"0"`
	Applications   int           `help:"Applications that change when the index is measured." default:"5000"`
	Keep           bool          `help:"Leave the databases and topics behind, to look at."`
	JSON           bool          `help:"Print JSON instead of tables."`
}

// Run measures processes of this same binary, in databases and topics of its own on the given servers. It fails when a
// result is wrong, however fast it was.
func (c *benchCommand) Run(ctx context.Context, p *process) error {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	settings := bench.Config{
		Parts: c.Parts, Binary: binary, Kafka: c.Kafka, Postgres: c.Postgres, Elasticsearch: c.Elasticsearch, Log: p.log,
		Streams: c.Streams, Groups: c.Groups, Processes: c.Processes, Compression: c.Compression, BatchBytes: c.BatchBytes, BatchRecords: c.BatchRecords,
		Repeats: c.Repeats, Events: c.Events, Users: c.Users, Runs: c.Runs, Rate: c.Rate, LatencySeconds: c.LatencySeconds, ExtraRTT: c.ExtraRTT, Applications: c.Applications, Keep: c.Keep,
	}
	if err := settings.Validate(); err != nil {
		return usageError{err}
	}
	report, err := bench.Run(ctx, settings)
	if err != nil {
		return err
	}
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if err := write(p.stdout); err != nil {
		return err
	}
	if len(report.Faults) > 0 {
		return fmt.Errorf("%d results are wrong", len(report.Faults))
	}
	return nil
}
