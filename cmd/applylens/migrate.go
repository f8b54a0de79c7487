package main

import (
	"context"
	"fmt"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
)

type migrateCommand struct {
	Postgres config.Postgres `embed:""`
}

// Run brings the database's schema up to date. Several at once wait for each other.
func (c *migrateCommand) Run(ctx context.Context, p *process) error {
	if err := c.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens migrate")
	if err != nil {
		return usageError{err}
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "The database is up to date.")
	return nil
}
