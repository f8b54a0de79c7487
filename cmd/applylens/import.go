package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/producers/mailimport"
)

type importCommand struct {
	config.Kafka `embed:""`

	// Not config.Postgres, which insists on a database: only a token needs one.
	DatabaseURL     config.Secret `name:"database-url" help:"PostgreSQL URL, to look up the user of the token." env:"DATABASE_URL" placeholder:"URL"`
	DatabaseURLFile string        `name:"database-url-file" help:"File that holds the PostgreSQL URL." env:"DATABASE_URL_FILE" type:"path"`

	Path      string        `arg:"" help:"An mbox, a single message, a directory with such files or a Maildir; - reads standard input. Gzipped files are unpacked."`
	User      string        `help:"Id of the user whose mail it is; without it, the user of the token." env:"APPLYLENS_USER"`
	Token     config.Secret `help:"Token of the user whose mail it is." env:"APPLYLENS_TOKEN"`
	TokenFile string        `help:"File that holds the token." env:"APPLYLENS_TOKEN_FILE" type:"path"`
	Address   []string      `help:"An address of the user's own, in addition to those in Delivered-To; may be repeated."`
	StateDir  string        `help:"Where an import notes how far it came; by default a directory of yours." env:"STATE_DIR" type:"path" placeholder:"DIR"`
	Restart   bool          `help:"Begin anew where an interrupted import would go on."`
}

// Run publishes the mail of a file as mail.received. It can be repeated: the same message stays one mail. An import that was
// interrupted goes on where it was.
func (c *importCommand) Run(ctx context.Context, p *process) error {
	user, err := c.user(ctx)
	if err != nil {
		return err
	}
	settings := mailimport.Config{Path: c.Path, Stdin: os.Stdin, UserID: user, Addresses: c.Address,
		StateDir: c.stateDir(p), Restart: c.Restart, Now: time.Now, Log: p.log}
	if err := settings.Validate(); err != nil {
		return usageError{err}
	}
	conn, err := broker.Open(c.Kafka)
	if err != nil {
		return usageError{err}
	}
	defer conn.Close()

	meter := mailimport.NewMeter(os.Stderr, isTerminal(os.Stderr), time.Now)
	settings.Progress = meter
	result, err := mailimport.Run(ctx, conn, settings)
	meter.Finish()
	if err == nil || result != (mailimport.Result{}) {
		report(p.stdout, result)
	}
	if ctx.Err() == nil {
		return err
	}
	if c.Path == mailimport.Stdin {
		return errors.New("interrupted: standard input is imported from its beginning again, which is harmless")
	}
	return errors.New("interrupted: the same command goes on from here")
}

func report(out io.Writer, result mailimport.Result) {
	fmt.Fprintf(out, "%d messages imported, %d broken and skipped\n", result.Imported, result.Broken)
	if result.Passed > 0 {
		fmt.Fprintf(out, "%d messages were imported by the same command before, which was interrupted; --restart imports them again\n", result.Passed)
	}
}

// stateDir is the directory asked for, or one of the user's; none when there is no home.
func (c *importCommand) stateDir(p *process) string {
	if c.StateDir != "" || c.Path == mailimport.Stdin {
		return c.StateDir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		p.log.Warn("import without a checkpoint: give --state-dir", "error", err)
		return ""
	}
	return filepath.Join(home, ".local", "state", "applylens")
}

// user returns the id that --user gives or that the token belongs to.
func (c *importCommand) user(ctx context.Context) (string, error) {
	if c.User != "" {
		return c.User, nil
	}
	token, err := c.token()
	if err != nil {
		return "", usageError{err}
	}
	settings := config.Postgres{DatabaseURL: c.DatabaseURL, DatabaseURLFile: c.DatabaseURLFile}
	if err := settings.Validate(); err != nil {
		return "", usageError{err}
	}
	db, err := postgres.Open(ctx, settings, "applylens import")
	if err != nil {
		return "", usageError{err}
	}
	defer db.Close()
	return mailimport.UserOf(ctx, db, token)
}

func (c *importCommand) token() (string, error) {
	switch {
	case c.Token != "" && c.TokenFile != "":
		return "", errors.New("--token and --token-file are both given: keep one")
	case c.TokenFile != "":
		text, err := os.ReadFile(c.TokenFile)
		return strings.TrimSpace(string(text)), err
	case c.Token == "":
		return "", errors.New("no user is given: set --user, or APPLYLENS_TOKEN or --token-file")
	}
	return string(c.Token), nil
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
