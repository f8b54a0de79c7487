package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
)

type migrateCommand struct {
	Postgres      config.Postgres      `embed:"" group:"Connections:"`
	Elasticsearch config.Elasticsearch `embed:"" group:"Connections:"`
}

// Run brings the database's schema up to date. If Elasticsearch is configured and there is no index with the current
// mapping, it plans one. Concurrent runs wait for each other.
func (c *migrateCommand) Run(ctx context.Context, p *process) error {
	if err := c.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens migrate")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	if err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "The database is up to date.")
	if !c.Elasticsearch.Given() {
		return nil
	}
	return c.planIndex(ctx, p, pool)
}

func (c *migrateCommand) planIndex(ctx context.Context, p *process, pool *pgxpool.Pool) error {
	if err := c.Elasticsearch.Validate(); err != nil {
		return usageError{err}
	}
	client, err := elastic.Open(c.Elasticsearch)
	if err != nil {
		return usageError{err}
	}
	name, err := indexer.Plan(ctx, pool, client, true)
	switch {
	case err != nil:
		return err
	case name == "":
		fmt.Fprintln(p.stdout, "The search index is up to date.")
	default:
		fmt.Fprintf(p.stdout, "The search index %s is planned. \"applylens index\" fills it while searches use the old one, and then switches searches to it.\n", name)
	}
	return nil
}
