package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/ops"
	"github.com/applylens/applylens/internal/postgres"
)

// The addresses on which processes listen unless told otherwise.
const (
	usualListen    = "127.0.0.1:8003"
	relayMetrics   = "127.0.0.1:9464"
	consumeMetrics = "127.0.0.1:9465"
	indexMetrics   = "127.0.0.1:9466"
	syncMetrics    = "127.0.0.1:9467"
	mailMetrics    = "127.0.0.1:9468"
)

// address is a flag with an address to listen on. Without the flag there is a usual address, and a free port if another
// process has that one: several processes of a kind may run on a machine.
type address struct {
	text  string
	given bool
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *address) UnmarshalText(text []byte) error {
	a.text, a.given = string(text), true
	return nil
}

// or returns the given address, or the usual one.
func (a address) or(usual string) string {
	if a.given {
		return a.text
	}
	return usual
}

// none reports that the process is not to listen.
func (a address) none() bool { return a.given && a.text == "" }

// listen listens on the given address, or near the usual one. flag is for error messages.
func (a address) listen(flag, usual string, log *slog.Logger) (net.Listener, error) {
	if a.none() {
		return nil, usageError{fmt.Errorf("%s is empty: write HOST:PORT", flag)}
	}
	listener, err := net.Listen("tcp", a.or(usual))
	if !a.given && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(usual)
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err == nil {
			log.Warn("another process listens on the usual address; listening on a free port", "flag", flag, "usual", usual, "address", listener.Addr().String())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return listener, nil
}

// serveMetrics serves the metrics of a process without an API until ctx ends. The process is ready while the database answers.
func serveMetrics(ctx context.Context, running *errgroup.Group, p *process, at address, usual string, registry prometheus.Gatherer, pool *pgxpool.Pool) error {
	if at.none() {
		return nil
	}
	listener, err := at.listen("--metrics-listen", usual, p.log)
	if err != nil {
		return err
	}
	running.Go(func() error {
		return ops.Serve(ctx, listener, registry, func() error { return postgres.Ping(ctx, pool) })
	})
	return nil
}
