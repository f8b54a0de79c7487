package bench

import (
	"time"

	"github.com/applylens/applylens/events"
)

// rows are the rows that a table must have.
type rows interface {
	add(*events.Action, events.Type)
	totals() []int64
}

// weightRows are the rows of weight_counts.
type weightRows map[weightKey]*weightRow

type weightKey struct{ user, feature string }

type weightRow struct{ approvals, rejections, updatedAt int64 }

func (w weightRows) add(action *events.Action, kind events.Type) {
	features := action.Features
	if !action.HasFeatures {
		features = events.Features(action.Mail)
	}
	for _, feature := range features {
		row := rowOf(w, weightKey{action.UserID, feature})
		if kind == events.TypeActionApproved {
			row.approvals++
		} else {
			row.rejections++
		}
		row.updatedAt = max(row.updatedAt, action.RecordedAt.UnixMicro())
	}
}

func (w weightRows) totals() []int64 {
	sums := []int64{int64(len(w)), 0, 0, 0}
	for key, row := range w {
		sums[1] += row.approvals
		sums[2] += row.rejections
		sums[3] += digest(key.user, key.feature, row.approvals, row.rejections, row.updatedAt)
	}
	return sums
}

// dayRows are the rows of policy_days.
type dayRows map[dayKey]*dayRow

type dayKey struct {
	user   string
	policy int64
	day    string
}

type dayRow struct{ fired, approved, rejected, updatedAt int64 }

func (d dayRows) add(action *events.Action, kind events.Type) {
	row := rowOf(d, dayKey{action.UserID, action.PolicyID, action.ProposedAt.UTC().Format(time.DateOnly)})
	switch kind {
	case events.TypeActionProposed:
		row.fired++
	case events.TypeActionApproved:
		row.approved++
	case events.TypeActionRejected:
		row.rejected++
	}
	row.updatedAt = max(row.updatedAt, action.RecordedAt.UnixMicro())
}

func (d dayRows) totals() []int64 {
	sums := []int64{int64(len(d)), 0, 0, 0, 0}
	for key, row := range d {
		sums[1] += row.fired
		sums[2] += row.approved
		sums[3] += row.rejected
		sums[4] += digest(key.user, key.policy, key.day, row.fired, row.approved, row.rejected, 0, row.updatedAt)
	}
	return sums
}

// rowOf returns the row of a key and adds it when it is missing.
func rowOf[K comparable, R any](rows map[K]*R, key K) *R {
	row := rows[key]
	if row == nil {
		row = new(R)
		rows[key] = row
	}
	return row
}
