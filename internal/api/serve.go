package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/applylens/applylens/internal/config"
)

// The time-outs of connections. None of them depends on what a handler does: a client that sends or reads slowly holds its
// connection for a bounded time, with or without a token.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second // of a request with its body; the API sets shorter ones, and none once it has the body
	writeTimeout  = 90 * time.Second // a streaming answer moves its own
	idleTimeout   = 2 * time.Minute
)

// servingKey leads from a request's context to the one that ends when the server begins to drain. Answers that go on for long look
// at it: draining does not end their own.
type servingKey struct{}

// serving returns the context that ends when the server drains.
func serving(ctx context.Context) context.Context {
	if until, ok := ctx.Value(servingKey{}).(context.Context); ok {
		return until
	}
	return context.Background()
}

// Serve answers requests on listener until ctx ends. Then it lets requests in progress finish within
// config.ShutdownTimeout, cuts what is left, and closes the listener.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	return serveUntil(ctx, listener, handler, log, config.ShutdownTimeout)
}

func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, drain time.Duration) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(context.Background(), servingKey{}, ctx) },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // broken connections of clients
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(bounded)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests did not end in time and are cut", "seconds", drain.Seconds())
		err = server.Close()
	}
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}
