package bench

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
)

const (
	// ledgerSQL adds up the outcomes of the records over all partitions.
	ledgerSQL = `
SELECT ARRAY[COALESCE(sum(p.fetched), 0), COALESCE(sum(p.applied), 0), COALESCE(sum(p.repeated), 0), COALESCE(sum(p.dead_lettered), 0)]::bigint[]
FROM positions p JOIN versions v ON v.group_name = p.group_name AND v.version = p.version
WHERE p.group_name = $1 AND v.state = $2`

	// lettersSQL counts the dead letters of a group by reason.
	lettersSQL = `
SELECT reason, count(*) FROM dead_letters WHERE group_name = $1 GROUP BY reason`

	// weightsSQL and policystatsSQL add up the rows of a version. The last number is the sum of the digests of the rows.
	weightsSQL = `
SELECT ARRAY[count(*), COALESCE(sum(approvals), 0), COALESCE(sum(rejections), 0), COALESCE(sum(` + digestOpen + `
       user_id, feature, approvals, rejections, (extract(epoch FROM updated_at) * 1000000)::bigint` + digestClose + `), 0)]::bigint[]
FROM weight_counts WHERE version = (SELECT version FROM versions WHERE group_name = 'weights' AND state = $1)`

	policystatsSQL = `
SELECT ARRAY[count(*), COALESCE(sum(fired), 0), COALESCE(sum(approved), 0), COALESCE(sum(rejected), 0), COALESCE(sum(` + digestOpen + `
       user_id, policy_id, to_char(day, 'YYYY-MM-DD'), fired, approved, rejected, missed, (extract(epoch FROM updated_at) * 1000000)::bigint` + digestClose + `), 0)]::bigint[]
FROM policy_days WHERE version = (SELECT version FROM versions WHERE group_name = 'policystats' AND state = $1)`

	// digestOpen and digestClose enclose the columns of a row. The result equals that of func digest.
	digestOpen  = `('x' || left(encode(sha256(convert_to(concat_ws('|',`
	digestClose = `), 'UTF8')), 'hex'), 10))::bit(40)::bigint`
)

// digest returns a 40-bit hash of the columns of a row. The sum over all rows does not depend on their order.
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

// expectation is what a group must leave in the database after it has folded a log.
type expectation struct {
	records, applied, repeated, deadLettered int64
	letters                                  map[string]int64 // by reason
	totals                                   []int64          // of the projection's totalsSQL
}

// tally computes an expectation from the records of a log while they are written.
type tally struct {
	expectation
	folds []events.Type
	rows  rows
}

func newTally(p *projection) *tally {
	return &tally{expectation: expectation{letters: map[string]int64{}}, folds: p.folds, rows: p.rows()}
}

func (t *tally) add(record *load.Record) {
	t.records++
	fate := record.Fate
	if !slices.Contains(t.folds, record.Event.Type) {
		fate = load.Applied // the group does not even decode it
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

// sealed returns the expectation once all records are counted.
func (t *tally) sealed() expectation {
	t.expectation.totals = t.rows.totals()
	return t.expectation
}

// witness is a source that counts every record in the tallies.
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

// check compares the ledger, the rows and the dead letters of a version with the expectation.
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

// checkLetters compares the dead letters of each reason.
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
