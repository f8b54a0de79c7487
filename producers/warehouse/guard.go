package warehouse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Guard defines how much may change at once before a sync is held. Changes of the past hour count too, so that a mass change
// in small pieces is detected.
type Guard struct {
	RemovedShare float64 // The share of a system's applications that may be removed or lose all their addresses. Default: 0.1.
	ChangedShare float64 // The share that may change, and the share of rows that may have an invalid value. Default: 0.5.
	Least        int64   // So many never hold a sync, unless no application of the system would be left. Default: 20.
}

// guardWindow is how far back earlier changes count together with those of a sync.
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
		return errors.New("the guard's least number must not be negative")
	}
	return nil
}

// HoldReason says why a sync is held. The set is closed, since metrics use it.
type HoldReason string

// The reasons. Only a hold for the schema cannot be accepted: there are no readable rows to accept.
const (
	HoldSchema     HoldReason = "schema"     // a column is missing or of another type, or the warehouse rejects the view
	HoldSystem     HoldReason = "system"     // another source owns a system
	HoldLog        HoldReason = "log"        // a change topic was recreated, or records were deleted unread
	HoldEmpty      HoldReason = "empty"      // the source has no rows
	HoldOlder      HoldReason = "older"      // the source is older than rows accepted before
	HoldUnreadable HoldReason = "unreadable" // too many rows have an invalid value
	HoldRemoved    HoldReason = "removed"    // too many applications would be removed
	HoldChanged    HoldReason = "changed"    // too many applications would change
)

// ToDo says what the operator should do.
func (r HoldReason) ToDo() string {
	switch r {
	case HoldSchema:
		return "fix the view or the table that it reads"
	case HoldSystem:
		return "check --warehouse-url; or, if this source replaces the other for good: applylens warehouse sync --accept --take-over SOURCE --reason ..., with the other's name"
	}
	return "fix the warehouse; or, if its data is correct, accept it once with: applylens warehouse sync --accept --reason ..."
}

// Hold says why a sync was held.
type Hold struct {
	Reason HoldReason `json:"reason"`
	Detail string     `json:"detail"`
}

// observation is the result of reading, before anything is written.
type observation struct {
	full    bool             // a full read: applications that were not read are removed
	read    int64            // rows, readable or not
	faults  map[string]int64 // rows with an invalid value, by column
	others  []string         // systems that another source owns, with that source
	systems []systemCounts
	newest  time.Time // synced_at of the newest row
	cursor  time.Time // the same of the rows accepted before
	overlap time.Duration
}

// systemCounts are the differences of one system.
type systemCounts struct {
	system  string
	known   int64              // applications before, including those removed within the window
	added   int64              // new, or back
	changed int64              // known, with different content; this and the next two include the window
	removed int64              // known and removed
	bare    int64              // of those changed, the ones that lose all their addresses
	emptied [columnCount]int64 // of those changed, how often each column becomes empty
}

// judge returns a hold for differences that look like a fault of the warehouse, and nil for acceptable ones.
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
			add(HoldUnreadable, "%s is invalid in %d of %d rows", nameOf(column), n, o.read)
		}
	}
	if len(found) == 0 { // otherwise the differences are only consequences
		for i := range o.systems {
			g.judgeSystem(&o.systems[i], add)
		}
	}
	if o.full && o.changed() > 0 && !o.newest.IsZero() && o.newest.Before(o.cursor.Add(-o.overlap)) {
		add(HoldOlder, "the newest row is from %s, but rows from %s were accepted before", stamp(o.newest), stamp(o.cursor))
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

// changed counts new and changed applications. In a state older than the accepted one, these are suspicious; removals are
// not.
func (o *observation) changed() (n int64) {
	for i := range o.systems {
		n += o.systems[i].added + o.systems[i].changed
	}
	return n
}

func (g *Guard) judgeSystem(c *systemCounts, add func(HoldReason, string, ...any)) {
	tooMany := func(n int64, share float64) bool { return n > g.Least && float64(n) > share*float64(c.known) }
	if gone := c.removed + c.bare; gone > 0 && gone >= c.known || tooMany(gone, g.RemovedShare) {
		text := fmt.Sprintf("%d of %d applications of %s would vanish", c.removed, c.known, shorten(c.system))
		if c.bare > 0 {
			text += fmt.Sprintf(" and %d lose all their addresses", c.bare)
		}
		add(HoldRemoved, "%s", text)
	}
	if tooMany(c.changed, g.ChangedShare) {
		text := fmt.Sprintf("%d of %d applications of %s would change", c.changed, c.known, shorten(c.system))
		if emptied := c.emptiedColumns(); emptied != "" {
			text += ": " + emptied
		}
		add(HoldChanged, "%s", text)
	}
}

// emptiedColumns names the columns that become empty, a hint at the fault of the warehouse.
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

// join combines several holds into one with the reason of the first.
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
