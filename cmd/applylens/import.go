package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/producers/mailimport"
)

type importCommand struct {
	config.Kafka `embed:"" group:"Connections:"`

	// Not config.Postgres, which requires a database: only a token needs one.
	DatabaseURL     config.Secret `name:"database-url" help:"PostgreSQL URL, to look up the user." env:"DATABASE_URL" placeholder:"URL" group:"Connections:"`
	DatabaseURLFile string        `name:"database-url-file" help:"File that contains the PostgreSQL URL." env:"DATABASE_URL_FILE" type:"path" group:"Connections:"`

	Paths     []string      `arg:"" name:"path" help:"An mbox, a single message, a directory with such files, a Maildir, or a zip or tar archive of them; - reads standard input. Gzipped files are unpacked."`
	User      string        `help:"Id of the user who owns the mail; checked if there is a database. Default: the user of the token." env:"APPLYLENS_USER"`
	Token     config.Secret `help:"Token of the user who owns the mail." env:"APPLYLENS_TOKEN"`
	TokenFile string        `help:"File that contains the token." env:"APPLYLENS_TOKEN_FILE" type:"path"`
	Address   []string      `help:"An address that belongs to the user, in addition to those in Delivered-To; may be repeated."`
	StateDir  string        `help:"Directory for the progress of imports; default: a directory in your home." env:"STATE_DIR" type:"path" placeholder:"DIR"`
	Trash     bool          `name:"include-trash" help:"Import also what is in trash, drafts and junk."`
	Restart   bool          `help:"Start over instead of resuming an interrupted import."`
}

// importGC is the garbage collector's target of an import, which runs beside its owner's other programs: it takes a tenth more time and
// a sixth less memory than the usual 100.
const importGC = 60

// Run publishes the mail of a file as mail.received. Importing a message twice results in one mail. An interrupted import
// is resumed.
func (c *importCommand) Run(ctx context.Context, p *process) error {
	user, err := c.user(ctx)
	if err != nil {
		return err
	}
	settings := mailimport.Config{Paths: c.Paths, Stdin: os.Stdin, UserID: user, Addresses: c.Address,
		StateDir: c.stateDir(p), Restart: c.Restart, Trash: c.Trash, Now: time.Now, Log: p.log}
	if err := settings.Validate(); err != nil {
		return usageError{err}
	}
	conn, err := broker.Open(c.Kafka)
	if err != nil {
		return usageError{err}
	}
	defer conn.Close()
	debug.SetGCPercent(importGC)

	meter := mailimport.NewMeter(os.Stderr, isTerminal(os.Stderr), time.Now)
	settings.Progress = meter
	result, err := mailimport.Run(ctx, conn, settings)
	meter.Finish()
	if err == nil || result != (mailimport.Result{}) {
		report(p.stdout, result)
	}
	switch {
	case err == nil && result.Imported+result.Passed+result.LeftOut == 0:
		return fmt.Errorf("there is no mail in %s", c.place())
	case err == nil || ctx.Err() == nil:
		return err
	case c.stdin():
		return errors.New("interrupted: run the command again; standard input is then imported from its beginning, and duplicates are ignored")
	}
	return errors.New("interrupted: run the same command again to resume")
}

// stdin tells whether standard input is imported.
func (c *importCommand) stdin() bool { return slices.Contains(c.Paths, mailimport.Stdin) }

// place names what is imported.
func (c *importCommand) place() string {
	names := slices.Clone(c.Paths)
	for i := range names {
		if names[i] == mailimport.Stdin {
			names[i] = "standard input"
		}
	}
	return strings.Join(names, ", ")
}

func report(out io.Writer, result mailimport.Result) {
	fmt.Fprintf(out, "%d messages imported, %d broken and skipped\n", result.Imported, result.Broken)
	if result.LeftOut > 0 {
		fmt.Fprintf(out, "%d messages in trash, drafts or junk left out; --include-trash imports them too\n", result.LeftOut)
	}
	if result.Passed > 0 {
		fmt.Fprintf(out, "%d messages had been imported before the interruption; --restart imports them again\n", result.Passed)
	}
}

// stateDir returns --state-dir, or a directory in the user's home; empty if there is no home.
func (c *importCommand) stateDir(p *process) string {
	if c.StateDir != "" || len(c.Paths) == 1 && c.stdin() {
		return c.StateDir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		p.log.Warn("the import cannot be resumed if interrupted: set --state-dir", "error", err)
		return ""
	}
	return filepath.Join(home, ".local", "state", "applylens")
}

// user returns --user, or the id of the token's user. If there is a database, it must have the user: the id may be mistyped.
func (c *importCommand) user(ctx context.Context) (string, error) {
	settings := config.Postgres{DatabaseURL: c.DatabaseURL, DatabaseURLFile: c.DatabaseURLFile}
	if c.User != "" && c.DatabaseURL == "" && c.DatabaseURLFile == "" {
		return c.User, nil // of a deployment whose database this machine does not reach
	}
	token := ""
	if c.User == "" {
		var err error
		if token, err = c.token(); err != nil {
			return "", usageError{err}
		}
	}
	if err := settings.Validate(); err != nil {
		return "", usageError{err}
	}
	db, err := postgres.Open(ctx, settings, "applylens import")
	if err != nil {
		return "", usageError{err}
	}
	defer postgres.ClosePool(db)
	if c.User == "" {
		return mailimport.UserOf(ctx, db, token)
	}
	_, err = auth.NewStore(db).Find(ctx, c.User)
	if errors.Is(err, auth.ErrNoUser) {
		err = fmt.Errorf("%w; to create one: applylens token create --user %s", err, quote(c.User))
	}
	return c.User, err
}

func (c *importCommand) token() (string, error) {
	switch {
	case c.Token != "" && c.TokenFile != "":
		return "", errors.New("--token and --token-file are both set: keep one")
	case c.TokenFile != "":
		text, err := os.ReadFile(c.TokenFile)
		return strings.TrimSpace(string(text)), err
	case c.Token == "":
		return "", config.Missing("no user: set --user, or APPLYLENS_TOKEN or --token-file")
	}
	return string(c.Token), nil
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
