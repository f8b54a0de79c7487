// Command applylens is the whole product in one binary: the API, the relay, the consumer groups and the operator's
// tools. Each subcommand has a file of its own.
//
// Exit status: 0 done, 1 failed, 2 wrong usage or settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/producers/warehouse"
)

// commandLine holds the parsed flags and environment variables.
type commandLine struct {
	config.Log `embed:"" group:"Log:"`

	Up          upCommand          `cmd:"" help:"Run everything in one process, with an embedded broker and database."`
	Consume     consumeCommand     `cmd:"" help:"Join consumer groups and fold their events."`
	Index       indexCommand       `cmd:"" help:"Keep the Elasticsearch index up to date with the database."`
	Rebuild     rebuildCommand     `cmd:"" help:"Build a new version of a projection from the log; compare, swap and roll back."`
	Positions   positionsCommand   `cmd:"" help:"Show the positions of groups, and resume them after a halt."`
	DeadLetters deadLettersCommand `cmd:"" name:"deadletters" help:"List, show, redrive and discard records that could not be applied."`
	Sources     sourcesCommand     `cmd:"" help:"Show and release the sources whose records are set aside."`
	Lag         lagCommand         `cmd:"" help:"Show how far behind the groups are, in records and seconds."`
	Doctor      doctorCommand      `cmd:"" help:"Check settings, servers, topics, clocks and versions, and say what to do."`
	Import      importCommand      `cmd:"" help:"Import mail from a file or directory."`
	Account     accountCommand     `cmd:"" help:"Manage mail accounts, whose mail comes in by itself."`
	Sync        syncCommand        `cmd:"" help:"Watch mail accounts, and publish their mail."`
	Warehouse   warehouseCommand   `cmd:"" help:"Publish changes of job applications in a data warehouse."`
	API         apiCommand         `cmd:"" name:"api" help:"Serve the HTTP API."`
	Token       tokenCommand       `cmd:"" help:"Manage users' tokens."`
	User        userCommand        `cmd:"" help:"Export or erase everything that is kept of a user."`
	Relay       relayCommand       `cmd:"" help:"Publish the outbox to Kafka."`
	Keys        keysCommand        `cmd:"" help:"Show and rotate the keys by which the relay signs what it publishes."`
	Topics      topicsCommand      `cmd:"" help:"Create missing topics, and show all topics and their settings."`
	Migrate     migrateCommand     `cmd:"" help:"Bring the database's schema up to date."`
	Events      eventsCommand      `cmd:"" help:"Check records of services that emit events, and print samples."`
	Bench       benchCommand       `cmd:"" help:"Measure how fast groups fold and rebuild, and how soon decisions are visible."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// process is what every subcommand gets from main.
type process struct {
	log    *slog.Logger
	stdout io.Writer
}

// usageError is wrong usage or a wrong setting; the program exits with status 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	embedded.Child()
	warehouse.Child()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		time.AfterFunc(time.Second, stop) // from then on another signal ends the process at once; terminals and wrappers may send one twice
		time.AfterFunc(patience, giveUp)
	})
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// patience is how long a process may take to end: "up" drains, and then stops its servers, which each may take ShutdownTimeout.
const patience = 2*config.ShutdownTimeout + 5*time.Second

// giveUp ends a process that was told to end and does not. Whatever it was doing, another one finds what a crash would have left.
func giveUp() {
	fmt.Fprintf(os.Stderr, "applylens: it was told to end and has not after %s: a server does not answer\n", patience)
	os.Exit(1)
}

// run runs a command until it ends or ctx does, and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var line commandLine
	parser, err := newParser(&line, kong.Writers(stdout, stderr))
	if err != nil {
		panic(err) // a bug in commandLine
	}
	command, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s", printable.Error(err))
		return 2
	}
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(&process{log: line.Logger(stderr), stdout: stdout})
	if err := command.Run(); err != nil {
		for _, fault := range each(err) {
			fmt.Fprintln(stderr, "applylens:", printable.Error(fault))
		}
		var usage usageError
		if errors.As(err, &usage) {
			return 2
		}
		return 1
	}
	return 0
}

// each returns joined errors one by one, for a line each.
func each(err error) []error {
	if usage, ok := err.(usageError); ok {
		return each(usage.err)
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if ok && err.Error() == errors.Join(joined.Unwrap()...).Error() { // and not a text of its own around several errors
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}
