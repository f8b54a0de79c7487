package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/producers/warehouse"
)

type warehouseForgetCommand struct {
	config.Postgres `embed:"" group:"Connections:"`
	audited
	Source string `arg:"" help:"The source, as \"warehouse status\" names it."`
	Yes    bool   `help:"Forget it although it has applications. Without it, only show what would be forgotten."`
}

// Run forgets a source. One that has published nothing needs no confirmation.
func (c *warehouseForgetCommand) Run(ctx context.Context, p *process) error {
	pool, err := postgres.Open(ctx, c.Postgres, "applylens warehouse forget")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	status, err := warehouse.FindStatus(ctx, pool, c.Source)
	if err != nil {
		return err
	}
	if status.Applications > 0 && !c.Yes {
		fmt.Fprintf(p.stdout, "%d applications of %s would stay as they are until another source has them; repeat with --yes\n",
			status.Applications, printable.Text(strings.Join(status.Systems, ", ")))
		return nil
	}
	if err := warehouse.Forget(ctx, pool, c.Source, warehouse.Acceptance{Actor: c.Actor, Reason: c.Reason}); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s is forgotten\n", printable.Text(c.Source))
	return nil
}
