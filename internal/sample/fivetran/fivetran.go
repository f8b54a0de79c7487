// Package fivetran has a small sample warehouse: the tables of Fivetran's connectors for Greenhouse and Lever and of a Workday
// report, with invented people and companies. The companies are those that write to the owner of the sample mail about
// applications. Dates are relative to the time of loading.
package fivetran

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed *.sql
var files embed.FS

// Account is a company's account in an applicant tracking system, in a schema of its own.
type Account struct{ System, Schema, Company string }

// Accounts are the accounts that Load creates.
var Accounts = []Account{
	{"greenhouse", "greenhouse_acme", "Acme"},
	{"greenhouse", "greenhouse_bluebird", "Bluebird Health"},
	{"lever", "lever_northwind", "Northwind Freight"},
	{"lever", "lever_tidewater", "Tidewater"},
	{"workday", "workday_quarry", "Quarry Labs"},
}

// CreateTables creates a schema with the empty tables of a system: greenhouse, lever or workday.
func CreateTables(ctx context.Context, tx pgx.Tx, system, schema string) error {
	text, err := files.ReadFile(system + ".sql")
	if err != nil {
		return fmt.Errorf("there are no tables for %s", system)
	}
	sql := strings.ReplaceAll(string(text), "{{schema}}", pgx.Identifier{schema}.Sanitize())
	if _, err := tx.Exec(ctx, sql); err != nil {
		return fmt.Errorf("create the tables of %s: %w", system, err)
	}
	return nil
}

// Load creates all accounts, in schemas that must not exist yet, with dates before and after now.
func Load(ctx context.Context, tx pgx.Tx, now time.Time) error {
	for _, account := range Accounts {
		if err := CreateTables(ctx, tx, account.System, account.Schema); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('sample.now', $1, true)", now.UTC().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("set the time of the sample: %w", err)
	}
	rows, err := files.ReadFile("rows.sql")
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, string(rows)); err != nil {
		return fmt.Errorf("load the sample warehouse: %w", err)
	}
	return nil
}
