package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/search/elastic"
)

type doctorCommand struct {
	Kafka         config.Kafka         `embed:"" group:"Connections:"`
	Postgres      config.Postgres      `embed:"" group:"Connections:"`
	Elasticsearch config.Elasticsearch `embed:"" group:"Connections:"`
	RelaySecret   config.RelaySecret   `embed:"" group:"Connections:"`
	DataDir       string               `help:"Data directory of a running \"applylens up\", to check its disk; the file env in it sets this." env:"DATA_DIR" type:"path" placeholder:"DIR"`
	JSON          bool                 `help:"Print JSON instead of text."`
}

// The levels of a finding. Only a failure changes the exit status.
const (
	levelOK   = "OK"
	levelWarn = "WARN" // works, but needs attention
	levelFail = "FAIL" // something does not work, or loses data
)

// finding is the result of one check.
type finding struct {
	Level  string `json:"level"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
	ToDo   string `json:"to_do,omitempty"`
}

// checkup is one run of all checks. It changes nothing.
type checkup struct {
	broker   *broker.Conn    // nil if its settings are wrong
	pool     *pgxpool.Pool   // nil if its settings are wrong
	index    *elastic.Client // nil if its settings are wrong or absent
	secret   []byte          // the master secret of the relay's keys; nil if it is not set
	timeout  time.Duration   // per check that asks a server
	findings []finding

	indexUser     bool // Elasticsearch is asked as a user
	clearPassword bool // SASL sends the password of Kafka as it is, without TLS
}

// add adds a finding. An error among args is told on one line.
func (c *checkup) add(level, check, todo, format string, args ...any) {
	for i, arg := range args {
		if err, ok := arg.(error); ok {
			args[i] = printable.Error(err)
		}
	}
	detail := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	c.findings = append(c.findings, finding{level, check, detail, todo})
}

// warnSpace is the free space in bytes below which the disk of "up" needs attention.
const warnSpace = 1 << 30

// disk checks that the servers of "up" have room.
func (c *checkup) disk(dir string, warn, fail uint64) {
	if dir == "" {
		return
	}
	const check, todo = "disk", "free some space, or move the directory to another disk while \"up\" is stopped"
	free, err := embedded.FreeSpace(dir)
	switch {
	case err != nil:
		c.add(levelFail, check, "set --data-dir or DATA_DIR to the directory of \"up\", or to none", "%v", err)
	case free < fail:
		c.add(levelFail, check, todo, "only %d MiB are free in %s: PostgreSQL and Kafka stop when there is no space", free>>20, dir)
	case free < warn:
		c.add(levelWarn, check, todo, "only %d MiB are free in %s", free>>20, dir)
	default:
		c.ok(check, "%d GiB are free in %s", free>>30, dir)
	}
}

func (c *checkup) ok(check, format string, args ...any) { c.add(levelOK, check, "", format, args...) }

// Run runs all checks and fails if one of them does.
func (c *doctorCommand) Run(ctx context.Context, p *process) error {
	check := &checkup{timeout: 5 * time.Second}
	defer check.close()
	check.settings(ctx, c)
	check.disk(c.DataDir, warnSpace, embedded.LeastSpace)
	check.run(ctx)
	failed := check.failed()
	var err error
	if c.JSON {
		err = printJSON(p.stdout, map[string]any{"healthy": failed == 0, "findings": check.findings})
	} else {
		err = check.print(p.stdout)
	}
	if failed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(check.findings)))
	}
	return err
}

// run checks the servers. It skips checks that need an unavailable server.
func (c *checkup) run(ctx context.Context) {
	kafka := c.broker != nil && c.within(ctx, c.kafka)
	database := c.pool != nil && c.within(ctx, c.database)
	search := c.index != nil && c.within(ctx, c.elasticsearch)
	if kafka {
		c.within(ctx, c.kafkaAccess)
		c.within(ctx, c.topics)
	}
	if database {
		c.within(ctx, c.databaseAccess)
		c.within(ctx, c.versions)
		c.within(ctx, c.relay)
		c.within(ctx, c.relayKeys)
		c.within(ctx, c.proposer)
		c.within(ctx, c.deadLetters)
		c.within(ctx, c.sources)
		c.within(ctx, c.warehouse)
		c.within(ctx, c.indexing)
	}
	if search && database {
		c.within(ctx, c.alias)
	}
	if kafka && database {
		c.within(ctx, c.partitionCounts)
		c.within(ctx, c.members)
	}
	if c.broker != nil && database {
		c.positions(ctx)
	}
}

// within runs a check with a deadline.
func (c *checkup) within(ctx context.Context, check func(context.Context) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return check(ctx)
}

// settings checks the settings, without connecting, and prepares the connections.
func (c *checkup) settings(ctx context.Context, given *doctorCommand) {
	faults := each(given.Kafka.Validate())
	if len(faults) == 0 {
		var err error
		c.broker, err = broker.Open(given.Kafka)
		c.clearPassword = given.Kafka.KafkaSASLMechanism == "plain" && !given.Kafka.KafkaTLS
		faults = each(err)
	}
	secret, err := given.RelaySecret.Secret()
	if err != nil {
		faults = append(faults, err)
	}
	c.secret = secret
	wrong := each(given.Postgres.Validate())
	if len(wrong) == 0 {
		var err error
		c.pool, err = postgres.Open(ctx, given.Postgres, "applylens doctor")
		wrong = each(err)
	}
	faults = append(append(faults, wrong...), c.openIndex(&given.Elasticsearch)...)
	for _, fault := range faults {
		c.add(levelFail, "settings", "set it as a flag or in the environment; applylens doctor --help lists both names", "%v", fault)
	}
	if len(faults) == 0 {
		c.ok("settings", "Kafka %v, topic prefix %q, PostgreSQL %s", given.Kafka.KafkaBrokers, given.Kafka.TopicPrefix, c.pool.Config().ConnConfig.Host)
	}
}

func (c *checkup) close() {
	if c.broker != nil {
		c.broker.Close()
	}
	if c.pool != nil {
		postgres.ClosePool(c.pool)
	}
}

func (c *checkup) failed() int {
	failed := 0
	for _, f := range c.findings {
		if f.Level == levelFail {
			failed++
		}
	}
	return failed
}

func (c *checkup) print(w io.Writer) error {
	width := 0
	for _, f := range c.findings {
		width = max(width, len(f.Check))
	}
	for _, f := range c.findings {
		if _, err := fmt.Fprintf(w, "%-4s  %-*s  %s\n", f.Level, width, f.Check, printable.Text(f.Detail)); err != nil {
			return err
		}
		if f.ToDo == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%*s  to do: %s\n", width+6, "", printable.Text(f.ToDo)); err != nil {
			return err
		}
	}
	return nil
}
