package warehouse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Guard tells how much may change at once before a sync is held. What came in the hour before counts too, so that a
// mass change in small pieces is noticed.
type Guard struct {
	RemovedShare float64 // Default: 0.1. Of a system's applications, how many may vanish or lose all their addresses.
	ChangedShare float64 // Default: 0.5. How many may change; and of all rows, how many may have something that is not as it should be.
	Least        int64   // Default: 20. So many never hold a sync, unless no application of the system would be left.
}

// guardWindow is how far back changes count as one with those of a sync.
const guardWindow = time.Hour

func (g *Guard) validate() error {
	for share, fallback := range map[*float64]float64{&g.RemovedShare: 0.1, &g.ChangedShare: 0.5} {
		if *share == 0 {
			*share = fallback
		}
		if *share < 0 || *share > 1 {
			return errors.New("the guard's shares must be above 0 and at most 1")
		}
	}
	if g.Least == 0 {
		g.Least = 20
	}
	if g.Least < 0 {
		return errors.New("the guard's least number is negative")
	}
	return nil
}

// HoldReason says why a sync is held. The set is closed: it names metrics.
type HoldReason string

// The reasons. Only a hold for the schema cannot be accepted: there is nothing that could be taken over.
const (
	HoldSchema     HoldReason = "schema"     // a column is missing or of another type, or the warehouse refuses the view
	HoldSystem     HoldReason = "system"     // another source writes a system
	HoldLog        HoldReason = "log"        // a change topic is not what it was: records are gone, or it was made anew
	HoldEmpty      HoldReason = "empty"      // the source has no rows
	HoldOlder      HoldReason = "older"      // the source is older than what was taken over
	HoldUnreadable HoldReason = "unreadable" // too many rows have something that is not as it should be
	HoldRemoved    HoldReason = "removed"    // too many applications would vanish
	HoldChanged    HoldReason = "changed"    // too many applications would change
)

// ToDo tells what helps.
func (r HoldReason) ToDo() string {
	if r == HoldSchema {
		return "mend the view or the table that it reads"
	}
	return "mend the warehouse; or, when it is right as it is, accept it once with: applylens warehouse sync --accept --reason ..."
}

// Hold is a sync that was not taken over.
type Hold struct {
	Reason HoldReason `json:"reason"`
	Detail string     `json:"detail"`
}

// observation is what a sync has found, before anything is written.
type observation struct {
	full    bool             // everything was read: what was not found is gone
	read    int64            // rows, readable or not
	faults  map[string]int64 // by column, rows with something that could not be taken over
	others  []string         // systems that another source writes, in words
	systems []systemCounts
	newest  time.Time // synced_at of the newest row
	cursor  time.Time // the same of what was taken over before
	overlap time.Duration
}

// systemCounts are the differences of one system.
type systemCounts struct {
	system  string
	known   int64              // applications before, those that have vanished within the window included
	added   int64              // new, or back
	changed int64              // known with other content; like the next two with those of the window
	removed int64              // known and gone
	bare    int64              // of the changed, those that lose all their addresses
	emptied [columnCount]int64 // of the changed, by column, how often it becomes empty
}

// judge holds what looks like a fault of the warehouse. It returns nil for what may be taken over.
func (g *Guard) judge(o *observation) *Hold {
	var found []Hold
	add := func(reason HoldReason, format string, args ...any) {
		found = append(found, Hold{reason, fmt.Sprintf(format, args...)})
	}
	if len(o.others) > 0 {
		add(HoldSystem, "%s", strings.Join(o.others, "; "))
	}
	if known := o.known(); o.full && o.read == 0 && known > 0 {
		add(HoldEmpty, "the source has no rows, but %d applications are known", known)
	}
	for _, column := range slices.Sorted(maps.Keys(o.faults)) {
		if n := o.faults[column]; n > g.Least && float64(n) > g.ChangedShare*float64(o.read) {
			add(HoldUnreadable, "%s is not as it should be in %d of %d rows", nameOf(column), n, o.read)
		}
	}
	if len(found) == 0 { // otherwise the differences are only what follows from it
		for i := range o.systems {
			g.judgeSystem(&o.systems[i], add)
		}
	}
	if o.full && o.changed() > 0 && !o.newest.IsZero() && o.newest.Before(o.cursor.Add(-o.overlap)) {
		add(HoldOlder, "the newest row is of %s, but rows of %s were taken over before", stamp(o.newest), stamp(o.cursor))
	}
	return join(found)
}

// known counts the applications of the systems that differ.
func (o *observation) known() (n int64) {
	for i := range o.systems {
		n += o.systems[i].known
	}
	return n
}

// changed counts the applications that are new or other than before. Something new in a state that is older than what was
// taken over cannot be right; that something is gone can.
func (o *observation) changed() (n int64) {
	for i := range o.systems {
		n += o.systems[i].added + o.systems[i].changed
	}
	return n
}

func (g *Guard) judgeSystem(c *systemCounts, add func(HoldReason, string, ...any)) {
	tooMany := func(n int64, share float64) bool { return n > g.Least && float64(n) > share*float64(c.known) }
	if gone := c.removed + c.bare; gone > 0 && gone >= c.known || tooMany(gone, g.RemovedShare) {
		text := fmt.Sprintf("%d of %d applications of %s would vanish", c.removed, c.known, printable(c.system))
		if c.bare > 0 {
			text += fmt.Sprintf(" and %d lose all their addresses", c.bare)
		}
		add(HoldRemoved, "%s", text)
	}
	if tooMany(c.changed, g.ChangedShare) {
		text := fmt.Sprintf("%d of %d applications of %s would change", c.changed, c.known, printable(c.system))
		if emptied := c.emptiedColumns(); emptied != "" {
			text += ": " + emptied
		}
		add(HoldChanged, "%s", text)
	}
}

// emptiedColumns tells which columns become empty, a hint at what happened to the warehouse.
func (c *systemCounts) emptiedColumns() string {
	var parts []string
	for column, n := range c.emptied {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s becomes empty in %d", columnNames[column], n))
		}
	}
	return strings.Join(parts, ", ")
}

func nameOf(column string) string {
	if column == "" {
		return "the row"
	}
	return "column " + column
}

// join makes one hold of several: the reason is that of the first.
func join(holds []Hold) *Hold {
	if len(holds) == 0 {
		return nil
	}
	details := make([]string, len(holds))
	for i, h := range holds {
		details[i] = h.Detail
	}
	return &Hold{holds[0].Reason, strings.Join(details, "; ")}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
