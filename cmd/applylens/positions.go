package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/consumers/operate"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/printable"
)

type positionsCommand struct {
	Show   positionsShowCommand   `cmd:"" help:"Show a group's positions, halts and record counts."`
	Adopt  positionsAdoptCommand  `cmd:"" help:"Accept the current state of the log, and resume."`
	Rewind positionsRewindCommand `cmd:"" help:"Read a partition again from an earlier offset; events already applied are deduplicated."`
	Skip   positionsSkipCommand   `cmd:"" help:"Skip records; readable ones become dead letters."`
}

type positionsShowCommand struct {
	groupArgument
	output
	All bool `help:"Show all versions, not only the live one."`
}

// Run prints the positions of the live version.
func (c *positionsShowCommand) Run(ctx context.Context, p *process) error {
	cfg, links, err := c.open(ctx, p.log)
	if err != nil {
		return err
	}
	defer links.close()
	version := 0
	if !c.All {
		versions, err := ledger.Versions(ctx, cfg.Pool, c.Group)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.State == ledger.VersionLive {
				version = v.Version
			}
		}
	}
	positions, err := ledger.Positions(ctx, cfg.Pool, c.Group, version)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, at := range positions {
		state := at.State
		if at.HaltReason != "" {
			state += ": " + at.HaltReason
		}
		rows = append(rows, []string{strconv.Itoa(at.Version), fmt.Sprintf("%s/%d", at.Topic, at.Partition), number(at.NextOffset), state,
			number(at.Applied), number(at.Repeated), number(at.DeadLettered), number(at.Lost), at.Owner})
	}
	if err := c.print(p.stdout, positions, []string{"VERSION", "PARTITION", "NEXT", "STATE", "APPLIED", "REPEATED", "DEAD", "LOST", "OWNER"}, rows); err != nil || c.JSON {
		return err
	}
	for _, at := range positions {
		if at.HaltDetail != "" {
			fmt.Fprintf(p.stdout, "%s/%d: %s\n", at.Topic, at.Partition, printable.Text(at.HaltDetail))
		}
	}
	return nil
}

// partitionArgument names a partition as TOPIC/PARTITION. The topic is for readability; a group has only one.
type partitionArgument struct {
	groupArgument
	audited
	output
}

// operator returns the operator's commands on positions, with their connections.
func (a *partitionArgument) operator(ctx context.Context, p *process) (*operate.Operator, *links, error) {
	cfg, links, err := a.open(ctx, p.log)
	if err != nil {
		return nil, nil, err
	}
	return &operate.Operator{Config: &cfg, Actor: a.Actor, Reason: a.Reason}, links, nil
}

func (a *partitionArgument) report(p *process, moves []operate.Move) error {
	var rows [][]string
	for _, m := range moves {
		rows = append(rows, []string{strconv.Itoa(m.Partition), number(m.From), number(m.To), number(m.Skipped), number(m.Lost), m.Was})
	}
	return a.print(p.stdout, moves, []string{"PARTITION", "FROM", "TO", "SKIPPED", "LOST", "WAS HALTED FOR"}, rows)
}

// parsePartition reads TOPIC/PARTITION, or TOPIC alone as -1 for all partitions.
func parsePartition(text, topic string) (int, error) {
	name, part, found := strings.Cut(text, "/")
	if text == "" || !found && name == topic {
		return -1, nil
	}
	if name != topic {
		return 0, usageError{fmt.Errorf("%q is not a partition of the group's topic %s: write %s/0", text, topic, topic)}
	}
	partition, err := strconv.Atoi(part)
	if err != nil || partition < 0 {
		return 0, usageError{fmt.Errorf("%q is not TOPIC/PARTITION", text)}
	}
	return partition, nil
}

func onePartition(text string, group *consumers.Group) (int, error) {
	partition, err := parsePartition(text, group.Topic)
	if err == nil && partition < 0 {
		err = usageError{fmt.Errorf("name one partition, such as %s/0", events.TopicActions)}
	}
	return partition, err
}

type positionsAdoptCommand struct {
	partitionArgument
	Partition string `arg:"" optional:"" help:"TOPIC/PARTITION; default: all."`
}

// Run accepts the current state of the log.
func (c *positionsAdoptCommand) Run(ctx context.Context, p *process) error {
	operator, links, err := c.operator(ctx, p)
	if err != nil {
		return err
	}
	defer links.close()
	partition, err := parsePartition(c.Partition, operator.Config.Group.Topic)
	if err != nil {
		return err
	}
	moves, err := operator.Adopt(ctx, partition)
	switch {
	case err != nil:
		return err
	case len(moves) == 0 && partition >= 0:
		return fmt.Errorf("%s is not halted: there is nothing to adopt", c.Partition)
	case len(moves) == 0 && !c.JSON:
		fmt.Fprintln(p.stdout, "nothing is halted: only the number of partitions was accepted")
		return nil
	}
	return c.report(p, moves)
}

type positionsRewindCommand struct {
	partitionArgument
	Partition string `arg:"" help:"TOPIC/PARTITION."`
	To        int64  `required:"" help:"The offset to read from."`
}

// Run sets a position back.
func (c *positionsRewindCommand) Run(ctx context.Context, p *process) error {
	operator, links, err := c.operator(ctx, p)
	if err != nil {
		return err
	}
	defer links.close()
	partition, err := onePartition(c.Partition, operator.Config.Group)
	if err != nil {
		return err
	}
	moves, err := operator.Rewind(ctx, partition, c.To)
	if err != nil {
		return err
	}
	return c.report(p, moves)
}

type positionsSkipCommand struct {
	partitionArgument
	Partition string `arg:"" help:"TOPIC/PARTITION."`
	To        int64  `required:"" help:"The first offset to read again."`
	Yes       bool   `help:"Skip. Without it, only show what would be skipped."`
}

// Run skips records.
func (c *positionsSkipCommand) Run(ctx context.Context, p *process) error {
	operator, links, err := c.operator(ctx, p)
	if err != nil {
		return err
	}
	defer links.close()
	partition, err := onePartition(c.Partition, operator.Config.Group)
	if err != nil {
		return err
	}
	if err := operator.CheckSkip(ctx, partition, c.To); err != nil {
		return err
	}
	if !c.Yes {
		fmt.Fprintf(p.stdout, "this would pass over the records of %s below %d; those that can be read become dead letters; repeat with --yes\n", c.Partition, c.To)
		return nil
	}
	moves, err := operator.Skip(ctx, partition, c.To)
	if err != nil {
		return err
	}
	return c.report(p, moves)
}
