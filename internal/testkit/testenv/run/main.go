// Command run starts real servers, runs a command that uses them, and stops them:
//
//	go run ./internal/testkit/testenv/run [-elasticsearch] [-durable] -- go test ./...
//
// It sets KAFKA_BROKERS, DATABASE_URL and ELASTICSEARCH_URL to the servers, and KAFKA_CLASSPATH, PG_BIN, ELASTICSEARCH_HOME
// and LIBFAKETIME to their programs, for tests that start servers of their own; CONFLUENT_KAFKA, KAFKAJS and JDK_BIN are what the
// examples in other languages need, CHROMIUM and AXE what the tests of the web page need, DOVECOT_HOME what those of mail accounts need. A server whose variable is already set is
// used and not started. The exit status is the command's. A missing server is reported, with the tests that are skipped
// without it; with CI=true that is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/subprocess"
)

func main() {
	embedded.Child()
	// The parent-death signal is bound to this thread.
	runtime.LockOSThread()
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
	}
	os.Exit(status)
}

func run() (int, error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	withElasticsearch := flags.Bool("elasticsearch", false, "start Elasticsearch too")
	durable := flags.Bool("durable", false, "run PostgreSQL with fsync, as measurements require")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: run [-elasticsearch] [-durable] [--] COMMAND [ARGUMENT]...")
	}
	if err := flags.Parse(os.Args[1:]); err != nil || flags.NArg() == 0 {
		flags.Usage()
		return 2, nil
	}
	// "go run" does not forward SIGTERM. If it is terminated, the servers are shut down too.
	if err := subprocess.EndWithOwnParent(syscall.SIGTERM); err != nil {
		return 1, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	servers, err := startServers(ctx, *withElasticsearch, *durable)
	defer servers.close()
	if err != nil {
		return 1, err
	}
	return runCommand(ctx, flags.Args(), servers.environment)
}

// runCommand runs the command until ctx ends, then sends it a signal. It returns the exit status.
func runCommand(ctx context.Context, arguments, environment []string) (int, error) {
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), environment...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 20 * time.Second
	command.SysProcAttr = &syscall.SysProcAttr{}
	subprocess.EndWithParent(command.SysProcAttr, syscall.SIGTERM)
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case err != nil:
		return 1, fmt.Errorf("run %s: %w", arguments[0], err)
	}
	return 0, nil
}
