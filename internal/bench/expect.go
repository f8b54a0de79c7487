package bench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
)

const (
	// ledgerSQL adds up what became of the records in the version of a state.
	ledgerSQL = `
SELECT ARRAY[COALESCE(sum(p.fetched), 0), COALESCE(sum(p.applied), 0), COALESCE(sum(p.repeated), 0), COALESCE(sum(p.dead_lettered), 0)]::bigint[]
FROM positions p JOIN versions v ON v.group_name = p.group_name AND v.version = p.version
WHERE p.group_name = $1 AND v.state = $2`

	// lettersSQL counts the dead letters of a group by reason.
	lettersSQL = `
SELECT reason, count(*) FROM dead_letters WHERE group_name = $1 GROUP BY reason`

	// weightsSQL and policystatsSQL add up the rows of a version; the last number is the digest of all rows.
	weightsSQL = `
SELECT ARRAY[count(*), COALESCE(sum(approvals), 0), COALESCE(sum(rejections), 0), COALESCE(sum(` + digestOpen + `
       user_id, feature, approvals, rejections, (extract(epoch FROM updated_at) * 1000000)::bigint` + digestClose + `), 0)]::bigint[]
FROM weight_counts WHERE version = (SELECT version FROM versions WHERE group_name = 'weights' AND state = $1)`

	policystatsSQL = `
SELECT ARRAY[count(*), COALESCE(sum(fired), 0), COALESCE(sum(approved), 0), COALESCE(sum(rejected), 0), COALESCE(sum(` + digestOpen + `
       user_id, policy_id, to_char(day, 'YYYY-MM-DD'), fired, approved, rejected, missed, (extract(epoch FROM updated_at) * 1000000)::bigint` + digestClose + `), 0)]::bigint[]
FROM policy_days WHERE version = (SELECT version FROM versions WHERE group_name = 'policystats' AND state = $1)`

	// digestOpen and digestClose enclose the columns of a row; they do what digest does.
	digestOpen  = `('x' || left(encode(sha256(convert_to(concat_ws('|',`
	digestClose = `), 'UTF8')), 'hex'), 10))::bit(40)::bigint`
)

// digest is a 40-bit hash of the columns of a row. The sum over all rows depends on no order.
func digest(columns ...any) int64 {
	text := make([]string, len(columns))
	for i, column := range columns {
		text[i] = fmt.Sprint(column)
	}
	sum := sha256.Sum256([]byte(strings.Join(text, "|")))
	number := int64(0)
	for _, b := range sum[:5] {
		number = number<<8 | int64(b)
	}
	return number
}

// expectation is what a group must make of a log.
type expectation struct {
	records, applied, repeated, deadLettered int64
	letters                                  map[string]int64 // by reason
	totals                                   []int64          // of the projection's totalsSQL
}

// tally learns from the records of a log, as they are written, what a group must make of it.
type tally struct {
	expectation
	folds []events.Type
	rows  rows
}

// rows are what a table must hold.
type rows interface {
	add(*events.Action, events.Type)
	totals() []int64
}

func newTally(p *projection) *tally {
	return &tally{expectation: expectation{letters: map[string]int64{}}, folds: p.folds, rows: p.rows()}
}

func (t *tally) add(record *load.Record) {
	t.records++
	fate := record.Fate
	if !slices.Contains(t.folds, record.Event.Type) {
		fate = load.Applied // it has no effect, whatever it holds
	} else if fate == load.Applied {
		t.rows.add(record.Event.Action, record.Event.Type)
	}
	switch fate {
	case load.Applied:
		t.applied++
	case load.Repeated:
		t.repeated++
	case load.Refused:
		t.deadLettered++
		t.letters[record.Reason]++
	}
}

// sealed returns the expectation when all records are known, without the rows.
func (t *tally) sealed() expectation {
	t.expectation.totals = t.rows.totals()
	return t.expectation
}

// witness passes on what a source makes, and lets tallies learn of it.
type witness struct {
	load.Source
	tallies []*tally
}

func (w *witness) Next() (load.Record, error) {
	record, err := w.Source.Next()
	if err == nil {
		for _, t := range w.tallies {
			t.add(&record)
		}
	}
	return record, err
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

// rowOf returns the row of a key, a new one when there is none.
func rowOf[K comparable, R any](rows map[K]*R, key K) *R {
	row := rows[key]
	if row == nil {
		row = new(R)
		rows[key] = row
	}
	return row
}

// check holds what a version contains against what was written.
func (s *stage) check(ctx context.Context, report *Report, what string, p projection, state string) error {
	want := s.expected[p.group]
	var ledger, totals []int64
	if err := s.pool.QueryRow(ctx, ledgerSQL, p.group, state).Scan(&ledger); err != nil {
		return fmt.Errorf("read the ledger of %s: %w", p.group, err)
	}
	if err := s.pool.QueryRow(ctx, p.totalsSQL, state).Scan(&totals); err != nil {
		return fmt.Errorf("add up %s: %w", p.table, err)
	}
	for i, want := range []int64{want.records, want.applied, want.repeated, want.deadLettered} {
		report.expect(what, []string{"records in the ledger", "applied", "repeated", "dead-lettered"}[i], ledger[i], want)
	}
	for i, want := range want.totals {
		report.expect(what, p.totals[i], totals[i], want)
	}
	return s.checkLetters(ctx, report, what, p.group, want.letters)
}

// checkLetters counts the dead letters of each reason.
func (s *stage) checkLetters(ctx context.Context, report *Report, what, group string, want map[string]int64) error {
	rows, err := s.pool.Query(ctx, lettersSQL, group)
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	got := map[string]int64{}
	var reason string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&reason, &count}, func() error { got[reason] = count; return nil })
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	for reason := range want {
		report.expect(what, "dead letters "+reason, got[reason], want[reason])
		delete(got, reason)
	}
	for reason, count := range got {
		report.expect(what, "dead letters "+reason, count, 0)
	}
	return nil
}
