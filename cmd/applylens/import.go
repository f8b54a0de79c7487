package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/producers/mailimport"
)

type importCommand struct {
	config.Kafka    `embed:""`
	config.Postgres `embed:""`

	Path    string        `arg:"" help:"An mbox, a single message, a directory with such files or a Maildir; - reads standard input. Gzipped files are unpacked."`
	User    string        `help:"Id of the user whose mail it is; without it, the user of the token." env:"APPLYLENS_USER"`
	Token   config.Secret `help:"Token of the user whose mail it is." env:"APPLYLENS_TOKEN"`
	Address []string      `help:"An address of the user's own, in addition to those in Delivered-To; may be repeated."`
	Skip    int           `help:"Messages to pass over at the start, as an interrupted import told them."`
}

// Run publishes the mail of a file as mail.received. It can be repeated: the same message stays one mail.
func (c *importCommand) Run(ctx context.Context, p *process) error {
	user, err := c.user(ctx)
	if err != nil {
		return err
	}
	settings := mailimport.Config{Path: c.Path, Stdin: os.Stdin, UserID: user, Addresses: c.Address, Skip: c.Skip, Now: time.Now, Log: p.log}
	if err := errors.Join(settings.Validate(), c.Kafka.Validate()); err != nil {
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
	fmt.Fprintf(p.stdout, "%d messages imported, %d broken and skipped\n", result.Imported, result.Broken)
	if err != nil && result.Done+c.Skip > 0 {
		fmt.Fprintf(p.stdout, "to go on from here, repeat the command with --skip %d\n", max(result.Done, c.Skip))
	}
	return err
}

// user returns the id that --user gives or that the token belongs to.
func (c *importCommand) user(ctx context.Context) (string, error) {
	if c.User != "" {
		return c.User, nil
	}
	if c.Token == "" {
		return "", usageError{errors.New("no user is given: set --user, or --token or APPLYLENS_TOKEN")}
	}
	if err := c.Postgres.Validate(); err != nil {
		return "", usageError{err}
	}
	db, err := postgres.Open(ctx, c.Postgres, "applylens import")
	if err != nil {
		return "", usageError{err}
	}
	defer db.Close()
	return mailimport.UserOf(ctx, db, string(c.Token))
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
