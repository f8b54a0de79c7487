package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
)

type deadLettersCommand struct {
	List    deadLettersListCommand    `cmd:"" help:"List the dead letters of a group."`
	Show    deadLettersShowCommand    `cmd:"" help:"Show one dead letter with its record."`
	Redrive deadLettersRedriveCommand `cmd:"" help:"Publish the stored record again; only the dead letter's group applies it."`
	Discard deadLettersDiscardCommand `cmd:"" help:"Close dead letters for good."`
}

type deadLettersListCommand struct {
	groupArgument
	output
	State string `help:"open, redriven, discarded or erased; all when empty." enum:"open,redriven,discarded,erased," default:"open"`
	Cause string `help:"Show only dead letters with this reason."`
	Limit int    `help:"Maximum number of rows." default:"100"`
	After int64  `help:"Show only ids above this one."`
}

// Run lists dead letters, oldest first.
func (c *deadLettersListCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	if c.Limit < 1 {
		return usageError{fmt.Errorf("--limit: %d is not above 0", c.Limit)}
	}
	letters, err := ledger.DeadLetters(ctx, cfg.Pool, ledger.LetterFilter{Group: c.Group, State: c.State, Reason: c.Cause, After: c.After, Limit: c.Limit})
	if err != nil {
		return err
	}
	if len(letters) == 0 && c.Cause != "" {
		if err := c.checkCause(ctx, cfg.Pool); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, d := range letters {
		rows = append(rows, []string{number(d.ID), fmt.Sprintf("%s/%d/%d", d.Topic, d.Partition, d.Offset), d.Reason, d.State, strconv.Itoa(d.Bytes), d.CreatedAt.UTC().Format(time.RFC3339), d.Detail})
	}
	return c.print(p.stdout, letters, []string{"ID", "RECORD", "REASON", "STATE", "BYTES", "SINCE", "DETAIL"}, rows)
}

// checkCause returns an error if no dead letter of the group, in any state, has the reason: it may be mistyped.
func (c *deadLettersListCommand) checkCause(ctx context.Context, pool *pgxpool.Pool) error {
	letters, err := ledger.DeadLetters(ctx, pool, ledger.LetterFilter{Group: c.Group, Reason: c.Cause, Limit: 1})
	if err == nil && len(letters) == 0 {
		err = fmt.Errorf("no dead letter of %s has ever had the cause %q", c.Group, c.Cause)
	}
	return err
}

// letter returns a dead letter of the group.
func (g *groupArgument) letter(ctx context.Context, pool *pgxpool.Pool, id int64) (*ledger.DeadRecord, error) {
	d, err := ledger.ShowDeadLetter(ctx, pool, id)
	if err == nil && d.Group != g.Group {
		err = fmt.Errorf("dead letter %d is one of %s, not of %s", id, d.Group, g.Group)
	}
	return d, err
}

type deadLettersShowCommand struct {
	groupArgument
	ID int64 `arg:"" name:"id" help:"The dead letter."`
}

// shownRecord is a dead letter as JSON. Bytes that are valid text are shown as text.
type shownRecord struct {
	ledger.DeadLetter
	Key     string            `json:"key"`
	Value   string            `json:"value"`
	Base64  bool              `json:"value_is_base64"`
	Headers map[string]string `json:"headers"`
}

// Run prints one dead letter as JSON.
func (c *deadLettersShowCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	d, err := c.letter(ctx, cfg.Pool, c.ID)
	if err != nil {
		return err
	}
	shown := shownRecord{DeadLetter: d.DeadLetter, Key: string(d.Key), Value: string(d.Value), Headers: map[string]string{}}
	if !utf8.Valid(d.Value) {
		shown.Value, shown.Base64 = base64.StdEncoding.EncodeToString(d.Value), true
	}
	for _, h := range d.Headers {
		shown.Headers[h.Key] = string(h.Value)
	}
	return printJSON(p.stdout, shown)
}

type deadLettersRedriveCommand struct {
	groupArgument
	IDs   []int64 `arg:"" name:"id" help:"The dead letters."`
	Force bool    `help:"Also apply conflicts, that is events whose identity was already applied with different content."`
	Actor string  `help:"Your name." env:"USER" default:"operator"`
}

// Run redrives every id and reports those that failed.
func (c *deadLettersRedriveCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	return c.each(ctx, p, links, c.IDs, "redriven", func(id int64) error {
		return operate.Redrive(ctx, cfg.Pool, cfg.Broker, id, c.Actor, c.Force)
	})
}

// each calls do for every id of a dead letter of the group and joins the errors.
func (g *groupArgument) each(ctx context.Context, p *process, links *links, ids []int64, done string, do func(int64) error) error {
	var faults []error
	for _, id := range ids {
		_, err := g.letter(ctx, links.pool, id)
		if err == nil {
			err = do(id)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		fmt.Fprintf(p.stdout, "%d %s\n", id, done)
	}
	return errors.Join(faults...)
}

type deadLettersDiscardCommand struct {
	groupArgument
	audited
	IDs []int64 `arg:"" name:"id" help:"The dead letters."`
}

// Run discards every id.
func (c *deadLettersDiscardCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	return c.each(ctx, p, links, c.IDs, "discarded", func(id int64) error { return operate.Discard(ctx, cfg.Pool, id, c.Actor, c.Reason) })
}
