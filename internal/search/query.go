package search

import (
	"math"
	"time"

	"github.com/applylens/applylens/internal/moment"
)

// Query is a checked query. It is immutable and safe for concurrent use.
type Query struct{ root Node }

// At returns what the query means when it is now.
func (q *Query) At(now time.Time) Node { return resolve(q.root, now) }

type (
	// during is a comparison of a time with periods, which may be relative to now. An end that is included takes in its
	// whole period.
	during struct {
		field     Field
		low, high *end
	}
	end struct {
		period   moment.Period
		excluded bool
	}

	// aged is a comparison of the whole days since a time.
	aged struct {
		field     Field
		low, high *Limit[float64]
	}
)

func (during) node() {}
func (aged) node()   {}

func resolve(n Node, now time.Time) Node {
	switch n := n.(type) {
	case And:
		return And(resolveAll(n, now))
	case Or:
		return Or(resolveAll(n, now))
	case Not:
		return Not{resolve(n.Inner, now)}
	case during:
		return n.between(now)
	case aged:
		return n.between(now)
	}
	return n
}

func resolveAll(list []Node, now time.Time) []Node {
	resolved := make([]Node, len(list))
	for i, n := range list {
		resolved[i] = resolve(n, now)
	}
	return resolved
}

func (d during) between(now time.Time) Node {
	b := Between[time.Time]{Field: d.field}
	if d.low != nil {
		begin, next := d.low.period.Bounds(now)
		switch {
		case !d.low.excluded:
			b.Low = &Limit[time.Time]{Value: begin}
		case begin.Equal(next):
			b.Low = &Limit[time.Time]{Value: begin, Excluded: true}
		default:
			b.Low = &Limit[time.Time]{Value: next}
		}
	}
	if d.high != nil {
		begin, next := d.high.period.Bounds(now)
		switch {
		case d.high.excluded:
			b.High = &Limit[time.Time]{Value: begin, Excluded: true}
		case begin.Equal(next):
			b.High = &Limit[time.Time]{Value: begin}
		default:
			b.High = &Limit[time.Time]{Value: next, Excluded: true}
		}
	}
	return b
}

// between turns days into times: a mail is n days old from the moment on that lies n times 24 hours back.
func (a aged) between(now time.Time) Node {
	b := Between[time.Time]{Field: a.field}
	if a.low != nil {
		days := math.Ceil(a.low.Value)
		if a.low.Excluded {
			days = math.Floor(a.low.Value) + 1
		}
		b.High = &Limit[time.Time]{Value: before(now, days)}
	}
	if a.high != nil {
		days := math.Floor(a.high.Value)
		if a.high.Excluded {
			days = math.Ceil(a.high.Value) - 1
		}
		b.Low = &Limit[time.Time]{Value: before(now, days+1), Excluded: true}
	}
	return b
}

func before(now time.Time, days float64) time.Time {
	return now.Add(-time.Duration(days) * 24 * time.Hour)
}
