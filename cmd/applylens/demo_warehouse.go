package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/sample/fivetran"
	"github.com/applylens/applylens/producers/warehouse"
)

// The sample warehouse has schemas of its own, separate from the tables of ApplyLens.
const (
	sampleWarehouseSchema = "sample_warehouse"
	sampleWarehouseView   = sampleWarehouseSchema + ".vw_applications_enriched"
)

const (
	createSampleSchemaSQL = `CREATE SCHEMA ` + sampleWarehouseSchema
	existsSampleSchemaSQL = `SELECT to_regnamespace('` + sampleWarehouseSchema + `') IS NOT NULL`
)

// syncWarehouse loads the sample warehouse and syncs it like "applylens warehouse sync", so that recruiters' mail shows
// the stage of its application.
func (d *demo) syncWarehouse(ctx context.Context) error {
	if err := d.loadWarehouse(ctx); err != nil {
		return err
	}
	view, err := warehouse.NewView(d.links.pool.Config().ConnString(), sampleWarehouseView)
	if err != nil {
		return err
	}
	cfg := warehouse.Config{Pool: d.links.pool, Log: d.p.log, Wake: (&outbox.Waker{Pool: d.links.pool}).Wake, FoldWait: 30 * time.Second}
	summary, err := warehouse.Sync(ctx, cfg, view, warehouse.Options{Full: true})
	if err != nil {
		return err
	}
	d.say("synced a sample warehouse with the accounts of %d companies, in Fivetran's schema:", len(fivetran.Accounts))
	for _, line := range summary.Lines()[1:] {
		d.say("  %s", line)
	}
	return nil
}

// loadWarehouse creates the tables and the view over them, if they do not exist.
func (d *demo) loadWarehouse(ctx context.Context) error {
	var loaded bool
	if err := d.links.pool.QueryRow(ctx, existsSampleSchemaSQL).Scan(&loaded); err != nil || loaded {
		return err
	}
	accounts := make([]warehouse.Account, len(fivetran.Accounts))
	for i, account := range fivetran.Accounts {
		accounts[i] = warehouse.Account(account)
	}
	definition, err := warehouse.Definition(warehouse.PostgreSQL, sampleWarehouseView, accounts)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, d.links.pool, func(tx pgx.Tx) error {
		if err := fivetran.Load(ctx, tx, time.Now()); err != nil {
			return err
		}
		for _, statement := range []string{createSampleSchemaSQL, definition} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return fmt.Errorf("create the sample warehouse: %w", err)
			}
		}
		return nil
	})
}
