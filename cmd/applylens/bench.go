package main

import (
	"context"
	"fmt"
	"os"

	"github.com/applylens/applylens/internal/bench"
	"github.com/applylens/applylens/internal/config"
)

type benchCommand struct {
	Parts    []string        `arg:"" optional:"" help:"What to measure: fold, rebuild, naive, swap, latency, index; all by default, index only with Elasticsearch."`
	Kafka    config.Kafka    `embed:""`
	Postgres config.Postgres `embed:""`

	Elasticsearch config.Elasticsearch `embed:""`

	Events         int     `help:"Number of events in the log." default:"1000000"`
	Users          int     `help:"Number of users." default:"10000"`
	Runs           int     `help:"Runs of each measurement." default:"3"`
	Rate           float64 `help:"Approvals per second of the latency measurement." default:"200"`
	LatencySeconds int     `name:"latency-seconds" help:"Duration of the latency measurement, in seconds." default:"10"`
	Applications   int     `help:"Number of applications that the index measurement changes." default:"5000"`
	Keep           bool    `help:"Keep the databases and topics for inspection."`
	JSON           bool    `help:"Print JSON instead of tables."`
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
		Events: c.Events, Users: c.Users, Runs: c.Runs, Rate: c.Rate, LatencySeconds: c.LatencySeconds, Applications: c.Applications, Keep: c.Keep,
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
