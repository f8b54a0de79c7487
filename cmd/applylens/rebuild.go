package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/metrics"
	"github.com/applylens/applylens/internal/printable"
)

type rebuildCommand struct {
	Plan     rebuildPlanCommand     `cmd:"" help:"Show what a rebuild would read, and what is missing from the log."`
	Run      rebuildRunCommand      `cmd:"" help:"Fold the log into a new version while the live one serves; resumes an interrupted run. Several processes share the partitions."`
	Diff     rebuildDiffCommand     `cmd:"" help:"Compare the new version with the live one at the same positions."`
	Swap     rebuildSwapCommand     `cmd:"" help:"Make the new version live."`
	Rollback rebuildRollbackCommand `cmd:"" help:"Make the previously live version live again."`
	List     rebuildListCommand     `cmd:"" help:"List the versions of a projection."`
	Pace     rebuildPaceCommand     `cmd:"" help:"Throttle, pause or resume a version that is being built."`
	Drop     rebuildDropCommand     `cmd:"" help:"Delete a version that is not live."`
}

// groupArgument names a group and its connections.
type groupArgument struct {
	Group    string          `arg:"" enum:"${groups}" help:"One of ${groups}."`
	Kafka    config.Kafka    `embed:"" group:"Connections:"`
	Postgres config.Postgres `embed:"" group:"Connections:"`
}

// open connects and returns the loop's configuration for the group. Its metrics are not served.
func (g *groupArgument) open(ctx context.Context, log *slog.Logger) (consumers.Config, *links, error) {
	links, err := connect(ctx, &g.Kafka, &g.Postgres, "applylens "+g.Group)
	if err != nil {
		return consumers.Config{}, nil, err
	}
	users, err := metrics.NewUserLabel(metrics.UserOff, nil)
	if err != nil {
		links.close()
		return consumers.Config{}, nil, err
	}
	registry := prometheus.NewRegistry()
	return consumers.Config{
		Group: newGroups(registry, users).Find(g.Group), Broker: links.broker, Pool: links.pool,
		Log: log, Metrics: consumers.NewMetrics(registry), Owner: owner(),
	}, links, nil
}

type rebuildPlanCommand struct {
	groupArgument
	output
}

// Run prints the plan.
func (c *rebuildPlanCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	plan, err := rebuild.MakePlan(ctx, &cfg)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, r := range plan.Ranges {
		rows = append(rows, []string{strconv.Itoa(r.Partition), number(r.Start), number(r.From), number(r.To), number(r.To - r.From)})
	}
	if err := c.print(p.stdout, plan, []string{"PARTITION", "LOG START", "FROM", "TO", "RECORDS"}, rows); err != nil || c.JSON {
		return err
	}
	into := "a new version"
	if plan.Version != 0 {
		into = fmt.Sprintf("unfinished version %d", plan.Version)
	}
	fmt.Fprintf(p.stdout, "%d records into %s; about %s; version %d is live\n", plan.Records, into, plan.Estimate, plan.LiveVersion)
	if len(plan.Unknown) > 0 {
		fmt.Fprintf(p.stdout, "WARNING: Kafka does not tell where partitions %v begin and end, so that they are not counted: they may have no leader\n", plan.Unknown)
	}
	if plan.Missing > 0 {
		fmt.Fprintf(p.stdout, "WARNING: %d records are missing from the log: the new version would lack their effects\n", plan.Missing)
	}
	return nil
}

type rebuildRunCommand struct {
	groupArgument
	sources
	Follow    bool `help:"Keep following the end of the log until interrupted or swapped in."`
	MemoryMiB int  `name:"memory-mib" help:"Memory limit; with more memory, fewer rows are written twice." default:"512" env:"REBUILD_MEMORY_MIB"`
}

// batchShare: each of the two batches of a rebuild may use an eighth of its memory, by a rough estimate.
const batchShare = 8

// Run rebuilds, and prints its progress.
func (c *rebuildRunCommand) Run(ctx context.Context, p *process) error {
	if c.MemoryMiB < consumerMiB {
		return usageError{fmt.Errorf("--memory-mib: %d is below %d, the limit of a consumer", c.MemoryMiB, consumerMiB)}
	}
	boundMemory(c.MemoryMiB)
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	cfg.AllowedSources = c.allowed()
	cfg.BatchBytes = c.MemoryMiB << 20 / batchShare
	began := time.Now()
	watching, stop := context.WithCancel(ctx)
	go reportRebuild(watching, p.stdout, cfg)
	version, err := rebuild.Run(ctx, cfg, c.Follow)
	stop()
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(p.stdout, "interrupted; to resume: applylens rebuild run %s\n", c.Group)
		return nil
	}
	if err != nil {
		return err
	}
	if c.Follow {
		fmt.Fprintf(p.stdout, "version %d of %s was swapped in\n", version, c.Group)
		return nil
	}
	fmt.Fprintf(p.stdout, "version %d of %s has reached the log's end after %s; compare: applylens rebuild diff %s; then: applylens rebuild swap %s\n",
		version, c.Group, time.Since(began).Round(time.Millisecond), c.Group, c.Group)
	return nil
}

// reportRebuild prints the progress every two seconds.
func reportRebuild(ctx context.Context, w io.Writer, cfg consumers.Config) {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		plan, err := rebuild.MakePlan(ctx, &cfg)
		if err != nil || plan.Version == 0 {
			continue
		}
		rate := "rate unknown yet"
		if perSecond := (before - plan.Records) / 2; perSecond > 0 {
			rate = fmt.Sprintf("%d/s, %s left", perSecond, (time.Duration(plan.Records/perSecond) * time.Second).String())
		}
		fmt.Fprintf(w, "version %d: %d records to go, %s\n", plan.Version, plan.Records, rate)
		before = plan.Records
	}
}

type rebuildDiffCommand struct {
	groupArgument
	sources
	output
}

// Run compares and fails when the versions differ.
func (c *rebuildDiffCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	cfg.AllowedSources = c.allowed()
	compared, err := rebuild.Compare(ctx, cfg)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, t := range compared.Tables {
		rows = append(rows, []string{t.Table, number(t.LiveRows), number(t.Rows), number(t.OnlyLive), number(t.OnlyOther), t.LiveDigest[:16], t.Digest[:16]})
	}
	if err := c.print(p.stdout, compared, []string{"TABLE", "LIVE ROWS", "NEW ROWS", "ONLY LIVE", "ONLY NEW", "LIVE DIGEST", "NEW DIGEST"}, rows); err != nil {
		return err
	}
	if !compared.Equal() {
		if !c.JSON {
			printSamples(p.stdout, compared)
		}
		return fmt.Errorf("versions %d and %d of %s differ", compared.LiveVersion, compared.Version, c.Group)
	}
	return nil
}

func printSamples(w io.Writer, compared *rebuild.Comparison) {
	for _, t := range compared.Tables {
		for _, d := range t.Samples {
			side := "new "
			if d.Live {
				side = "live"
			}
			fmt.Fprintf(w, "%s %s %s\n", side, t.Table, printable.Text(d.Row))
		}
	}
}

// audited are the flags of commands that change what is served.
type audited struct {
	Reason string `required:"" help:"Why; recorded with your name."`
	Actor  string `help:"Your name." env:"USER" default:"operator"`
}

// Validate requires a reason that says something.
func (a *audited) Validate() error {
	if strings.TrimSpace(a.Reason) == "" {
		return errors.New("--reason is empty: say why")
	}
	return nil
}

type rebuildSwapCommand struct {
	groupArgument
	sources
	audited
	MaxLag int64 `help:"The greatest lag of the new version, in records per partition." default:"1000"`
}

// Run catches up, swaps, and prints how long the positions were locked.
func (c *rebuildSwapCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	cfg.AllowedSources = c.allowed()
	version, locked, err := rebuild.SwapWhenClose(ctx, cfg, c.MaxLag, c.Actor, c.Reason)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "version %d of %s is live (swapped in %s); to roll back: applylens rebuild rollback %s --reason ...\n", version, c.Group, locked.Round(10*time.Microsecond), c.Group)
	return nil
}

type rebuildRollbackCommand struct {
	groupArgument
	audited
}

// Run makes the previous version live.
func (c *rebuildRollbackCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	locked, err := rebuild.Rollback(ctx, cfg.Pool, c.Group, c.Actor, c.Reason)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "the earlier version of %s is live again (swapped in %s)\n", c.Group, locked.Round(10*time.Microsecond))
	return nil
}

type rebuildListCommand struct {
	groupArgument
	output
}

// Run lists the versions.
func (c *rebuildListCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	versions, err := ledger.Versions(ctx, cfg.Pool, c.Group)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, v := range versions {
		rows = append(rows, []string{strconv.Itoa(v.Version), v.State, strconv.Itoa(v.FoldVersion), number(v.Records), strconv.FormatBool(v.Paused), strconv.Itoa(v.Throttle), v.CreatedAt.UTC().Format(time.RFC3339)})
	}
	return c.print(p.stdout, versions, []string{"VERSION", "STATE", "FOLD RULE", "RECORDS", "PAUSED", "THROTTLE", "CREATED"}, rows)
}

type rebuildPaceCommand struct {
	groupArgument
	Throttle int  `help:"Maximum records per second of all processes together; 0: unlimited."`
	Paused   bool `help:"Pause; to resume, run the command without it."`
}

// Run sets the pace of the version that is being built.
func (c *rebuildPaceCommand) Run(ctx context.Context, p *process) error {
	if c.Throttle < 0 {
		return usageError{fmt.Errorf("--throttle: %d is below 0", c.Throttle)}
	}
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	building, found, err := ledger.Building(ctx, cfg.Pool, c.Group)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no version of %s is being built", c.Group)
	}
	return ledger.SetPace(ctx, cfg.Pool, c.Group, building.Version, c.Throttle, c.Paused)
}

type rebuildDropCommand struct {
	groupArgument
	Version int  `arg:"" help:"The version to delete."`
	Yes     bool `help:"Delete. Without it, only show what would be deleted."`
}

// Run deletes a version.
func (c *rebuildDropCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	version, err := ledger.FindVersion(ctx, cfg.Pool, c.Group, c.Version)
	if err != nil {
		return err
	}
	if version.State == ledger.VersionLive {
		return fmt.Errorf("version %d of %s is live: swap another in first", c.Version, c.Group)
	}
	if !c.Yes {
		fmt.Fprintf(p.stdout, "this would delete version %d of %s and its tables; repeat with --yes\n", c.Version, c.Group)
		return nil
	}
	return ledger.DropVersion(ctx, cfg.Pool, cfg.Group.Projection(), c.Version)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
