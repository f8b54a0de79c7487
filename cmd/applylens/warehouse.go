package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/producers/warehouse"
	"github.com/applylens/applylens/producers/warehouse/bigquery"
)

// warehouseCommand syncs job applications.
type warehouseCommand struct {
	Sync   warehouseSyncCommand   `cmd:"" help:"Read the warehouse once, publish what has changed, and print a summary."`
	Run    warehouseRunCommand    `cmd:"" help:"Sync on a schedule, or follow a change topic."`
	Status warehouseStatusCommand `cmd:"" help:"Show each source: its freshness, and whether and why it is held."`
	Forget warehouseForgetCommand `cmd:"" help:"Forget a source that is none any more, such as one with a mistyped address."`
	View   warehouseViewCommand   `cmd:"" help:"Print the SQL that creates vw_applications_enriched over the tables of a connector."`
}

// warehouseSettings are the settings of a sync.
type warehouseSettings struct {
	Warehouse config.Warehouse `embed:""`
	Postgres  config.Postgres  `embed:"" group:"Connections:"`
	Kafka     config.Kafka     `embed:"" group:"Connections:"` // needed only for a change topic
}

// syncer is a source with the connections of its syncs.
type syncer struct {
	warehouse.Config
	source warehouse.Source // nil for a change topic
	topic  *warehouse.Topic
	close  func()
}

// open checks the settings and prepares the connections.
func (w *warehouseSettings) open(ctx context.Context, log *slog.Logger) (*syncer, error) {
	if err := errors.Join(w.Warehouse.Validate(), w.Postgres.Validate()); err != nil {
		return nil, usageError{err}
	}
	pool, err := postgres.Open(ctx, w.Postgres, "applylens warehouse")
	if err != nil {
		return nil, usageError{err}
	}
	s := &syncer{close: func() { postgres.ClosePool(pool) }, Config: warehouse.Config{
		Pool: pool, Log: log, Name: w.Warehouse.WarehouseName, Overlap: w.Warehouse.WarehouseOverlap, Wake: (&outbox.Waker{Pool: pool}).Wake,
		Guard: warehouse.Guard{RemovedShare: w.Warehouse.WarehouseMaxRemoved, ChangedShare: w.Warehouse.WarehouseMaxChanged, Least: w.Warehouse.WarehouseGuardLeast},
	}}
	if err := w.openSource(ctx, s); err != nil {
		s.close()
		return nil, usageError{err}
	}
	if err := s.Validate(); err != nil {
		s.close()
		return nil, usageError{err}
	}
	return s, nil
}

// openSource prepares the source that the URL names.
func (w *warehouseSettings) openSource(ctx context.Context, s *syncer) (err error) {
	address := string(w.Warehouse.WarehouseURL)
	scheme, rest, _ := strings.Cut(address, ":")
	switch scheme {
	case "postgres", "postgresql":
		s.source, err = warehouse.NewView(address, w.Warehouse.WarehouseView)
	case "bigquery":
		s.source, err = w.bigQuery(ctx, address)
	case "kafka":
		s.topic, err = w.changeTopic(s, rest)
	case "file":
		s.source, err = warehouse.NewExport(strings.TrimPrefix(rest, "//"))
	default:
		s.source, err = warehouse.NewExport(address)
	}
	if err != nil {
		return fmt.Errorf("--warehouse-url: %w", err)
	}
	return nil
}

func (w *warehouseSettings) bigQuery(ctx context.Context, address string) (warehouse.Source, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || strings.Trim(parsed.Path, "/") == "" {
		return nil, errors.New("write a BigQuery warehouse as bigquery://PROJECT/DATASET")
	}
	client, err := bigquery.Client(ctx, w.Warehouse.WarehouseCredentialsFile)
	if err != nil {
		return nil, err
	}
	return bigquery.New(bigquery.Config{Project: parsed.Host, Dataset: strings.Trim(parsed.Path, "/"), View: w.Warehouse.WarehouseView,
		Location: w.Warehouse.WarehouseLocation, Client: client})
}

func (w *warehouseSettings) changeTopic(s *syncer, topic string) (*warehouse.Topic, error) {
	if err := w.Kafka.Validate(); err != nil {
		return nil, err
	}
	conn, err := broker.Open(w.Kafka)
	if err != nil {
		return nil, err
	}
	closePool := s.close
	s.close = func() { conn.Close(); closePool() }
	return &warehouse.Topic{Broker: conn, Topic: strings.TrimPrefix(topic, "//")}, nil
}

type warehouseSyncCommand struct {
	warehouseSettings `embed:""`
	output            `embed:""`
	Incremental       bool          `help:"Read only what has changed since the last sync; removed applications are not detected."`
	Accept            bool          `help:"Accept this sync whatever the guard finds; requires --reason."`
	TakeOver          []string      `help:"With --accept: take over the systems of this source, which the new one replaces; may be repeated." sep:"none" placeholder:"SOURCE"`
	Reason            string        `help:"Why it is accepted; recorded with your name."`
	Actor             string        `help:"Your name." env:"USER" default:"operator"`
	Wait              time.Duration `help:"How long to wait for the group enrichment, to count the mails affected." default:"10s"`
}

// Run syncs once. A sync that is held ends with status 1.
func (c *warehouseSyncCommand) Run(ctx context.Context, p *process) error {
	if c.Accept != (c.Reason != "") {
		return usageError{errors.New("--accept and --reason must be used together")}
	}
	if len(c.TakeOver) > 0 && !c.Accept {
		return usageError{errors.New("--take-over needs --accept")}
	}
	s, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer s.close()
	meter := newRowMeter(os.Stderr, isTerminal(os.Stderr), time.Now)
	s.FoldWait, s.Progress = c.Wait, meter
	summary, err := c.sync(ctx, s)
	meter.finish()
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(p.stdout, summary)
	} else {
		printSummary(p, summary)
	}
	if summary.Held != nil {
		return errors.Join(err, fmt.Errorf("held: %s; to do: %s", summary.Held.Detail, summary.Held.Reason.ToDo()))
	}
	return err
}

func (c *warehouseSyncCommand) sync(ctx context.Context, s *syncer) (*warehouse.Summary, error) {
	var accept *warehouse.Acceptance
	if c.Accept {
		accept = &warehouse.Acceptance{Actor: c.Actor, Reason: c.Reason, TakeOver: c.TakeOver}
	}
	if s.topic != nil {
		return warehouse.SyncTopic(ctx, s.Config, s.topic, accept)
	}
	return warehouse.Sync(ctx, s.Config, s.source, warehouse.Options{Full: !c.Incremental, Accept: accept})
}

func printSummary(p *process, summary *warehouse.Summary) {
	for _, line := range summary.Lines() {
		fmt.Fprintln(p.stdout, printable.Text(line))
	}
}

type warehouseRunCommand struct {
	warehouseSettings `embed:""`
	At                timeOfDay     `help:"When to sync each day, UTC." default:"02:00" env:"WAREHOUSE_AT" placeholder:"HH:MM"`
	Every             time.Duration `help:"Sync at this interval instead of once a day." env:"WAREHOUSE_EVERY" placeholder:"DURATION"`
	FullEvery         time.Duration `help:"How often a sync reads everything, which detects removed applications; other syncs read only changes." default:"20h" env:"WAREHOUSE_FULL_EVERY"`
	MetricsListen     address       `help:"Address of /metrics, /healthz and /readyz; empty: none. Default: ${sync_metrics}, or a free port if it is in use." placeholder:"HOST:PORT" env:"METRICS_LISTEN"`
}

// Run syncs until the context ends.
func (c *warehouseRunCommand) Run(ctx context.Context, p *process) error {
	plan := warehouse.Plan{Schedule: warehouse.Schedule{At: time.Duration(c.At), Every: c.Every}, FullEvery: c.FullEvery,
		Report: func(s *warehouse.Summary) { reportSync(p, s) }}
	if err := plan.Validate(); err != nil {
		return usageError{err}
	}
	s, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer s.close()
	registry := newRegistry()
	if s.Metrics, err = warehouse.NewMetrics(registry); err != nil {
		return err
	}
	s.FoldWait = 10 * time.Second
	running, ctx := errgroup.WithContext(ctx)
	if err := serveMetrics(ctx, running, p, c.MetricsListen, syncMetrics, registry, s.Pool); err != nil {
		return err
	}
	running.Go(func() error {
		if s.topic != nil {
			return warehouse.FollowTopic(ctx, s.Config, s.topic, plan.Report)
		}
		return warehouse.Run(ctx, s.Config, s.source, plan)
	})
	return running.Wait()
}

// reportSync prints and logs a sync of "warehouse run".
func reportSync(p *process, s *warehouse.Summary) {
	printSummary(p, s)
	attributes := []any{"source", s.Source, "full", s.Full, "seconds", s.Seconds, "applications", s.Applications, "systems", s.Systems,
		"added", s.Added, "changed", s.Changed, "removed", s.Removed, "broken", s.Broken}
	for _, stage := range s.Stages[:min(len(s.Stages), 5)] {
		attributes = append(attributes, slog.Group("stages", slog.Int64(printable.Text(stage.Stage), stage.Applications)))
	}
	if s.Enriched != nil {
		attributes = append(attributes, "mails_enriched", *s.Enriched)
	}
	if s.Held != nil {
		return // the guard has logged why it is held
	}
	p.log.Info("warehouse synced", attributes...)
}

// timeOfDay is a time after midnight, such as 02:00.
type timeOfDay time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *timeOfDay) UnmarshalText(text []byte) error {
	parsed, err := time.Parse("15:04", string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time of day such as 02:00", text)
	}
	*t = timeOfDay(time.Duration(parsed.Hour())*time.Hour + time.Duration(parsed.Minute())*time.Minute)
	return nil
}

type warehouseStatusCommand struct {
	Postgres config.Postgres `embed:"" group:"Connections:"`
	output   `embed:""`
}

// Run prints the sources.
func (c *warehouseStatusCommand) Run(ctx context.Context, p *process) error {
	if err := c.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens warehouse status")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	sources, err := warehouse.ReadStatus(ctx, pool)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, s := range sources {
		rows = append(rows, []string{s.Source, strings.Join(s.Systems, ","), number(s.Applications), moment(s.SyncedAt), moment(s.NewestRow), stateOf(&s)})
	}
	return c.print(p.stdout, sources, []string{"SOURCE", "SYSTEMS", "APPLICATIONS", "SYNCED", "NEWEST ROW", "STATE"}, rows)
}

// stateOf describes the state of a source.
func stateOf(s *warehouse.Status) string {
	switch {
	case s.HeldAt != nil:
		return fmt.Sprintf("HELD since %s for %s: %s", moment(s.HeldAt), s.HeldReason, s.HeldDetail)
	case s.Error != "":
		return "failed: " + s.Error
	}
	return "ok"
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type warehouseViewCommand struct {
	Dialect string   `help:"postgresql or bigquery." enum:"postgresql,bigquery" required:""`
	Account []string `help:"An account of an applicant tracking system: the system (greenhouse, lever, workday), the schema that the connector writes to, and the employer that owns the account; may be repeated." required:"" placeholder:"SYSTEM:SCHEMA:COMPANY" sep:"none"`
	Name    string   `help:"The view's name, optionally with its schema." default:"vw_applications_enriched"`
}

// Run prints the statement.
func (c *warehouseViewCommand) Run(p *process) error {
	accounts := make([]warehouse.Account, len(c.Account))
	for i, text := range c.Account {
		var err error
		if accounts[i], err = warehouse.ParseAccount(text); err != nil {
			return usageError{err}
		}
	}
	sql, err := warehouse.Definition(warehouse.Dialect(c.Dialect), c.Name, accounts)
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprint(p.stdout, sql)
	return err
}
