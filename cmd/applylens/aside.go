package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/internal/printable"
)

// sourcesCommand is about producers whose records could not be applied.
type sourcesCommand struct {
	Show    sourcesShow    `cmd:"" help:"Show which sources a group has set aside, since too many of their records could not be applied."`
	Release sourcesRelease `cmd:"" help:"Let a source speak again. What it wrote meanwhile are dead letters."`
}

type sourcesShow struct {
	groupArgument
	output
}

// Run prints the sources.
func (c *sourcesShow) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	list, err := ledger.AsideNow(ctx, cfg.Pool, c.Group)
	if err != nil {
		return err
	}
	rows := make([][]string, len(list))
	for i, a := range list {
		rows[i] = []string{printable.Text(a.Source), fmt.Sprintf("%s/%d", a.Topic, a.Partition), strconv.FormatInt(a.From, 10), a.CreatedAt.UTC().Format(time.DateTime), a.Detail}
	}
	return c.print(p.stdout, list, []string{"SOURCE", "PARTITION", "FROM", "SINCE (UTC)", "WHY"}, rows)
}

type sourcesRelease struct {
	groupArgument
	audited
	Source string `arg:"" help:"The ce_source."`
}

// Run releases the source.
func (c *sourcesRelease) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	operator := &operate.Operator{Config: &cfg, Actor: c.Actor, Reason: c.Reason}
	partitions, err := operator.Release(ctx, c.Source)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "released in %d partitions; its dead letters of reason set_aside can be redriven\n", len(partitions))
	return err
}
