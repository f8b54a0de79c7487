package warehouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
)

// readAll loads the rows of the source.
func (s *session) readAll(ctx context.Context, source Source, full bool) (err error) {
	var since time.Time
	if !full && !s.before.cursor.IsZero() {
		since = s.before.cursor.Add(-s.Overlap)
	}
	expected, err := s.expected(ctx, since.IsZero())
	if err != nil {
		return err
	}
	rows, err := source.Open(ctx, since)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.source, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	at, err := locate(rows.Columns())
	if err != nil {
		return err
	}
	return s.readRows(ctx, rows, &decoder{at: at}, expected)
}

// readRows loads all rows. Unreadable rows are reported.
func (s *session) readRows(ctx context.Context, rows Rows, d *decoder, expected int64) error {
	for {
		values, err := rows.Next(ctx)
		var broken *RowError
		switch {
		case errors.Is(err, io.EOF):
			s.reportRest()
			return s.flush(ctx)
		case errors.As(err, &broken):
			s.read++
			s.report(&application{}, []Fault{{"", broken.Detail}}, true)
			continue
		case err != nil:
			return fmt.Errorf("read %s: %w", s.source, err)
		}
		if err := s.take(ctx, d, values); err != nil {
			return err
		}
		if s.read%chunkRows == 0 {
			s.progress(rows, expected)
		}
	}
}

// expected estimates the number of rows of a full read from earlier ones.
func (s *session) expected(ctx context.Context, all bool) (count int64, err error) {
	if !all {
		return 0, nil
	}
	if err := s.conn.QueryRow(ctx, selectKnown, s.source).Scan(&count); err != nil {
		return 0, fmt.Errorf("count known applications: %w", err)
	}
	return count, nil
}

func (s *session) progress(rows Rows, expected int64) {
	done, total := rows.Progress()
	if total == 0 {
		done, total = s.read, max(expected, s.read)
		if expected == 0 {
			total = 0
		}
	}
	s.Progress.Update(done, total)
}

// parse decodes one row. It returns false if even the key cannot be read.
func (s *session) parse(d *decoder, values []any) (application, bool) {
	s.read++
	a, faults, hasKey := d.decode(values)
	if hasKey && !a.broken {
		if err := a.valid(); err != nil {
			a.broken, faults = true, append(faults, Fault{"", err.Error()})
		}
	}
	s.report(&a, faults, a.broken || !hasKey)
	if a.syncedAt.After(s.newest) {
		s.newest = a.syncedAt
	}
	return a, hasKey
}

// take adds one row.
func (s *session) take(ctx context.Context, d *decoder, values []any) error {
	a, hasKey := s.parse(d, values)
	if !hasKey {
		return nil
	}
	s.loaded = append(s.loaded, a)
	if len(s.loaded) < chunkRows {
		return nil
	}
	return s.flush(ctx)
}

// report counts faults, and logs the first ones.
func (s *session) report(a *application, faults []Fault, skipped bool) {
	if skipped {
		s.broken++
		s.Metrics.rows.WithLabelValues("broken").Inc()
	}
	seen := map[string]bool{}
	for _, f := range faults {
		if !seen[f.Column] {
			s.faults[f.Column]++
		}
		seen[f.Column] = true
		if s.reports++; s.reports > mostReports {
			continue
		}
		s.Log.Warn("invalid row in the warehouse", "source", s.source, "system", shorten(a.system),
			"application_id", shorten(a.id), "column", f.Column, "problem", f.Problem, "skipped", skipped)
	}
}

// reportRest logs how many faulty rows there were in total.
func (s *session) reportRest() {
	if s.reports > mostReports {
		s.Log.Warn("more invalid rows in the warehouse", "source", s.source, "rows_by_column", s.faults)
	}
}

// flush copies the collected rows to the temporary table.
func (s *session) flush(ctx context.Context) error {
	_, err := s.conn.CopyFrom(ctx, pgx.Identifier{"warehouse_read"}, readColumns,
		pgx.CopyFromSlice(len(s.loaded), func(i int) ([]any, error) { return s.loaded[i].columns(), nil }))
	if err != nil {
		return fmt.Errorf("copy %d rows: %w", len(s.loaded), err)
	}
	s.loaded = s.loaded[:0]
	return nil
}

// columns are the values of readColumns.
func (a *application) columns() []any {
	addresses := a.addresses
	if addresses == nil {
		addresses = []string{}
	}
	return []any{a.system, a.id, addresses, a.company, a.stage, nullZero(a.lastStageChange), nullZero(a.interviewDate), nullZero(a.syncedAt),
		a.removed, a.broken, a.hash(), a.filled()}
}
