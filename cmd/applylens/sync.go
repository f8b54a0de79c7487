package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/private"
	"github.com/applylens/applylens/internal/secrets"
)

// syncCommand watches the accounts of people, and publishes their mail. Any number of processes share the accounts.
type syncCommand struct {
	Kafka    config.Kafka    `embed:"" group:"Connections:"`
	Postgres config.Postgres `embed:"" group:"Connections:"`
	Accounts config.Accounts `embed:"" group:"Mail accounts:"`
	Most     int             `name:"most-accounts" help:"Most accounts that this process watches." env:"MOST_ACCOUNTS" default:"4000"`

	MetricsListen address `help:"Address of /metrics, /healthz and /readyz; empty: none. Default: ${mail_metrics}, or a free port if it is in use." placeholder:"HOST:PORT" env:"METRICS_LISTEN"`
}

// Run watches accounts until the context ends.
func (c *syncCommand) Run(ctx context.Context, p *process) error {
	connector, err := newConnector(&c.Accounts)
	if err != nil {
		return usageError{err}
	}
	if connector.Keys == nil {
		return usageError{errors.New("there is no key for the secrets of accounts: set --secrets-key-file; \"openssl rand -base64 32\" makes a key")}
	}
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "applylens sync")
	if err != nil {
		return err
	}
	defer links.close()
	registry, waker := newRegistry(), &outbox.Waker{Pool: links.pool}
	running, ctx := errgroup.WithContext(ctx)
	if err := serveMetrics(ctx, running, p, c.MetricsListen, mailMetrics, registry, links.pool); err != nil {
		return err
	}
	running.Go(func() error {
		return mailsync.Run(ctx, mailsync.Config{Pool: links.pool, Conn: links.broker, Connector: connector, Holder: owner(), Log: p.log, Registry: registry,
			Wake: waker.Wake, Most: c.Most})
	})
	return running.Wait()
}

// newConnector returns what signs in to accounts.
func newConnector(settings *config.Accounts) (*accounts.Connector, error) {
	keys, err := settings.Keys()
	if err != nil {
		return nil, err
	}
	roots, err := settings.Roots()
	if err != nil {
		return nil, err
	}
	return &accounts.Connector{Keys: keys, Roots: roots, Dialer: &dialer.Dialer{Private: settings.PrivateHosts, Roots: roots}}, nil
}

// secretsKeyFile is the file of an embedded deployment that has the key of the secrets of accounts.
const secretsKeyFile = "secrets-key"

// keptKeys returns the keys in a file, which it makes at the first call.
func keptKeys(path string) (*secrets.Keys, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(secrets.Generate() + "\n")
		err = private.WriteFile(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the secrets of accounts: %w", err)
	}
	keys, err := secrets.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return keys, nil
}
