package consumers

import (
	"context"
	"slices"
	"strings"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
)

// Version is the copy of a projection that a batch is folded into.
type Version struct {
	Number int
	// Shadow is true for a version that is not live: it must have no effect outside its own rows.
	Shadow bool
	// Fresh tells that nothing of the batch's partitions was folded into this shadow before. Then it has no row of
	// their keys yet, unless the topic has grown since and keys have changed partition.
	Fresh bool
}

// Group is what a projection tells the loop about itself. It is immutable.
type Group struct {
	Name        string        // short: "weights"; the Kafka group id is the deployment's prefix and this
	Topic       string        // without prefix, one of events.Topics
	Folds       []events.Type // the types that have an effect; all others are only counted
	FoldVersion int           // grows when the same events fold to other rows

	// Deduplicated are those of Folds of which an event of another producer is remembered by its effect, since folding it
	// twice is not harmless; user.erased is always one.
	Deduplicated []events.Type

	// Tables are the tables, partitioned by version, that a version consists of. When the group folds user.erased, each
	// has a column user_id.
	Tables []string

	NewBatch func() Batch
}

// forgetful tells whether the group folds events without remembering which: all but erasures do no harm when folded again.
func (g *Group) forgetful() bool {
	return slices.ContainsFunc(g.Folds, func(t events.Type) bool { return !slices.Contains(g.Deduplicated, t) })
}

// Projection names the group's tables for the ledger.
func (g *Group) Projection() ledger.Projection {
	return ledger.Projection{Group: g.Name, FoldVersion: g.FoldVersion, Tables: g.Tables, Effects: len(g.Deduplicated) > 0}
}

// Groups are the groups that a binary knows, in the order in which people are shown them.
type Groups []*Group

// Find returns the group of a name, nil when there is none.
func (g Groups) Find(name string) *Group {
	for _, group := range g {
		if group.Name == name {
			return group
		}
	}
	return nil
}

// Names lists the names of all groups.
func (g Groups) Names() []string {
	names := make([]string, len(g))
	for i, group := range g {
		names[i] = group.Name
	}
	return names
}

// String lists the names as people read them: "weights, policystats or mailbox".
func (g Groups) String() string {
	names := g.Names()
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Batch folds events in memory until the loop writes them in one transaction. The loop calls it from one goroutine.
type Batch interface {
	// Add folds one event, in log order within its key. The event and what it points to are the batch's to keep
	// only until Add returns, except for strings, which are immutable.
	Add(event *events.Event)
	// Size is a rough number of bytes that the batch holds, by which the loop bounds its memory.
	Size() int
	// Write adds the folded effects to version within tx. It may be called again with another transaction when
	// the first did not commit, and must then write the same.
	Write(ctx context.Context, tx *postgres.Tx, version Version) error
	// Reset empties the batch for reuse.
	Reset()
	// Committed is called once after the transaction has committed, for counters; never for a shadow version.
	Committed()
}
