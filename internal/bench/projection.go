package bench

import "github.com/applylens/applylens/events"

// projection is a group that can be measured.
type projection struct {
	group, table string
	folds        []events.Type // the types in the streams that it folds
	rows         func() rows
	own          Target // events of its own a second
	clean        Target // speed on the clean stream, as a multiple of that on own events
	totalsSQL    string
	totals       []string // names of the sums
}

var projections = []projection{
	{
		group: "weights", table: "weight_counts", folds: []events.Type{events.TypeActionApproved, events.TypeActionRejected},
		rows: func() rows { return weightRows{} }, own: Target{80_000, 120_000}, clean: Target{0.65, 0.8},
		totalsSQL: weightsSQL, totals: []string{"rows", "approvals", "rejections", digestName},
	},
	{
		group: "policystats", table: "policy_days",
		folds: []events.Type{events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected},
		rows:  func() rows { return dayRows{} }, own: Target{60_000, 120_000}, clean: Target{0.55, 0.7},
		totalsSQL: policystatsSQL, totals: []string{"rows", "fired", "approved", "rejected", digestName},
	},
}

// digestName names the sum of the digests of all rows.
const digestName = "as the digest of all rows"

// The targets of a rebuild: events a second and microseconds of processor time for each.
var (
	rebuildTarget = Target{250_000, 500_000}
	rebuildCPU    = Target{3, 2.5}
)

// The targets of a fold by stream: microseconds of processor time for each event, and the peak in MiB.
var (
	cpuTargets    = map[string]Target{Own: {6, 4}, Clean: {10, 7}, Repeats: {13, 9}, Mixed: {13, 9}}
	peakTarget    = Target{160, 128}
	repeatsTarget = Target{0.8, 0.9} // speed on streams with repeats, as a multiple of that on the clean stream
)
