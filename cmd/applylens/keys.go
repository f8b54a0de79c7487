package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/relaykey"
)

// keysCommand manages the keys by which the relay signs what it publishes.
type keysCommand struct {
	Show   keysShow   `cmd:"" help:"List the keys, without their content."`
	Rotate keysRotate `cmd:"" help:"Make a new key. The running relay takes it up by itself; the old ones still verify what they signed."`
}

// keySettings are the settings of both commands.
type keySettings struct {
	Postgres    config.Postgres    `embed:"" group:"Connections:"`
	RelaySecret config.RelaySecret `embed:"" group:"Connections:"`
}

// withKeys calls f with the database and the deployment's ce_source.
func (s *keySettings) withKeys(ctx context.Context, f func(pool *pgxpool.Pool, secret []byte, source string) error) error {
	if err := s.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	secret, err := s.RelaySecret.Secret()
	if err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, s.Postgres, "applylens keys")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	source, err := outbox.Source(ctx, pool)
	if err != nil {
		return err
	}
	return f(pool, secret, source)
}

type keysShow struct {
	keySettings
	output
}

// keyReport describes a key.
type keyReport struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created_at"`
	Derived bool      `json:"derived"` // from the master secret
	Current bool      `json:"current"`
}

// Run prints the keys.
func (c *keysShow) Run(ctx context.Context, p *process) error {
	return c.withKeys(ctx, func(pool *pgxpool.Pool, secret []byte, source string) error {
		keys, err := relaykey.Load(ctx, pool, secret, source)
		if err != nil {
			return err
		}
		reports, rows := []keyReport{}, [][]string{}
		for _, key := range keys.All() {
			r := keyReport{key.Number, key.Created, key.Derived, key.Number == keys.Current().Number}
			origin, use := "random: only in this database", "verifies"
			if r.Derived {
				origin = "master secret"
			}
			if r.Current {
				use = "signs"
			}
			reports = append(reports, r)
			rows = append(rows, []string{strconv.Itoa(r.Number), r.Created.UTC().Format(time.DateTime), origin, use})
		}
		if err := c.print(p.stdout, reports, []string{"KEY", "CREATED (UTC)", "FROM", "USE"}, rows); err != nil {
			return err
		}
		return keys.Fault()
	})
}

type keysRotate struct{ keySettings }

// Run makes a new key.
func (c *keysRotate) Run(ctx context.Context, p *process) error {
	return c.withKeys(ctx, func(pool *pgxpool.Pool, secret []byte, source string) error {
		key, err := relaykey.Rotate(ctx, pool, secret, source)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "key %d signs from the relay's next term on, which begins within seconds\n", key.Number)
		return err
	})
}
