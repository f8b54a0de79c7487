package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/printable"
)

type lagCommand struct {
	Groups   []string        `arg:"" optional:"" help:"Groups to show, of ${groups}. Default: all."`
	Kafka    config.Kafka    `embed:"" group:"Connections:"`
	Postgres config.Postgres `embed:"" group:"Connections:"`
	Watch    bool            `help:"Measure repeatedly, with rates, trend and remaining time."`
	Interval time.Duration   `help:"Time between two measurements with --watch." default:"2s"`
	JSON     bool            `help:"Print JSON instead of a table; with --watch, a line per measurement."`
}

// Run prints the lag of the groups. If a server is unavailable, its values are shown as unknown, with a note. If both
// servers are, that is an error; --watch waits for them instead.
func (c *lagCommand) Run(ctx context.Context, p *process) error {
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "applylens lag")
	if err != nil {
		return err
	}
	defer links.close()
	cfg := lag.Config{Projections: projections(), Broker: links.broker, Pool: links.pool, Groups: c.Groups, Interval: c.Interval}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	if c.Watch {
		return c.watch(ctx, p.stdout, cfg)
	}
	report, err := lag.Read(ctx, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, report)
	}
	return report.WriteTable(p.stdout)
}

// watch prints a report per measurement until ctx ends. On a terminal, each replaces the last one.
func (c *lagCommand) watch(ctx context.Context, out io.Writer, cfg lag.Config) error {
	monitor, err := lag.NewMonitor(cfg)
	if err != nil {
		return err
	}
	file, ok := out.(*os.File)
	terminal := ok && isTerminal(file)
	ticker := time.NewTicker(cfg.Interval)
	defer ticker.Stop()
	for {
		report, _ := monitor.Look(ctx) // the report names unavailable servers
		if ctx.Err() != nil {
			return nil
		}
		if err := c.show(out, report, terminal); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// show writes a report in a single write, so that a terminal does not flicker.
func (c *lagCommand) show(out io.Writer, report *lag.Report, terminal bool) error {
	var text bytes.Buffer
	if c.JSON {
		if err := json.NewEncoder(printable.JSONWriter(&text)).Encode(report); err != nil {
			return err
		}
	} else {
		const clear = "\x1b[H\x1b[2J"
		if terminal {
			text.WriteString(clear)
		}
		fmt.Fprintln(&text, report.At.UTC().Format(time.RFC3339))
		if err := report.WriteTable(&text); err != nil {
			return err
		}
		text.WriteByte('\n')
	}
	_, err := text.WriteTo(out)
	return err
}

// watchLag registers the lag of all groups, measured every few seconds until ctx ends. A process that is not a consumer
// runs it, so that it also reports a group without consumers.
func watchLag(ctx context.Context, running *errgroup.Group, links *links, registry prometheus.Registerer) error {
	monitor, err := lag.NewMonitor(lag.Config{Projections: projections(), Broker: links.broker, Pool: links.pool})
	if err != nil {
		return err
	}
	registry.MustRegister(monitor)
	running.Go(func() error {
		monitor.Run(ctx)
		return nil
	})
	return nil
}
