package moment

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/doctable"
)

// now is a Thursday.
var now = time.Date(2026, 11, 26, 15, 4, 5, 600_000_000, time.UTC)

func TestParse(t *testing.T) {
	day := func(year, month, day int) time.Time {
		return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	}
	f := func(text string, begin, next time.Time) {
		t.Helper()
		p, err := Parse(text)
		gotBegin, gotNext := p.Bounds(now)
		if err != nil || !gotBegin.Equal(begin) || !gotNext.Equal(next) {
			t.Errorf("%q: got %v to %v, %v, want %v to %v", text, gotBegin, gotNext, err, begin, next)
		}
	}
	alone := func(text string, want time.Time) { t.Helper(); f(text, want, want) }
	alone("now", now)
	alone("now-7d", now.AddDate(0, 0, -7))
	alone("now+12h", now.Add(12*time.Hour))
	alone("now-90m", now.Add(-90*time.Minute))
	alone("now+2w", now.AddDate(0, 0, 14))
	alone("now-36500d", now.AddDate(0, 0, -36500))
	alone("now-1d-2h", now.Add(-26*time.Hour))
	alone("now+0d", now)
	alone("now/d+1h", day(2026, 11, 26).Add(time.Hour))
	alone("now/M-1d+9h", day(2026, 10, 31).Add(9*time.Hour))
	alone("now-1M", time.Date(2026, 10, 26, 15, 4, 5, 600_000_000, time.UTC))
	alone("now-1y", time.Date(2025, 11, 26, 15, 4, 5, 600_000_000, time.UTC))
	alone("2026-03-31-1M", day(2026, 2, 28))
	alone("2024-02-29+1y", day(2025, 2, 28))
	alone("2024-02-29-4y", day(2020, 2, 29))
	alone("2026-01-31+1M", day(2026, 2, 28))
	alone("2026-12-31||-1M", day(2026, 11, 30))
	alone("2026-01-31T09:00:00+02:00", time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC))
	alone("2026-01-31T23:30:00-01:00", time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC))
	alone("2026-01-31T23:30:00.5Z-30m", time.Date(2026, 1, 31, 23, 0, 0, 500_000_000, time.UTC))
	f("2026-01-31T23:30:00-01:00/d", day(2026, 2, 1), day(2026, 2, 2))
	f("now/d", day(2026, 11, 26), day(2026, 11, 27))
	f("now-7d/d", day(2026, 11, 19), day(2026, 11, 20))
	f("now/w", day(2026, 11, 23), day(2026, 11, 30))
	f("now-4d/w", day(2026, 11, 16), day(2026, 11, 23)) // a Sunday
	f("now/h", now.Truncate(time.Hour), now.Truncate(time.Hour).Add(time.Hour))
	f("now/m", now.Truncate(time.Minute), now.Truncate(time.Minute).Add(time.Minute))
	f("now/M", day(2026, 11, 1), day(2026, 12, 1))
	f("now-1M/M", day(2026, 10, 1), day(2026, 11, 1))
	f("now/y", day(2026, 1, 1), day(2027, 1, 1))
	f("now/y-1d/M", day(2025, 12, 1), day(2026, 1, 1))
	f("0001-01-01", day(1, 1, 1), day(1, 1, 2))
	alone("0001-01-01T00:00:00Z", day(1, 1, 1))
	f("2026-02-28", day(2026, 2, 28), day(2026, 3, 1))
	f("2002-07-29/d", day(2002, 7, 29), day(2002, 7, 30))
	f("2002-07-29/w", day(2002, 7, 29), day(2002, 8, 5))
	f("2002-07-29||/M", day(2002, 7, 1), day(2002, 8, 1))
	f("2024-02", day(2024, 2, 1), day(2024, 3, 1))
	f("2024-02/y", day(2024, 1, 1), day(2025, 1, 1))
	f("2026", day(2026, 1, 1), day(2027, 1, 1))

	refused := func(text string, want error) {
		t.Helper()
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{
		"", "/d", "NOW", "now-7", "now - 7d", "now-1234567890m", "now/s", "now/", "now/ d", "now||/d", "now-d", "nowadays", "2026-02-30", "2026-13", "26-01-01", "2026-1-1", "yesterday",
		"2026-01-31 /d", "2026-01-31||now", "2026-01-31T25:00:00Z", "2026-01-31T09:00:00", "now" + strings.Repeat("/d", maxSteps+1),
	} {
		refused(text, ErrForm)
	}
	refused("now-999999999w/d", ErrFar)
	refused("now-36501d", ErrFar)
	refused("now-101y", ErrFar)
	refused("now-60y-60y", ErrFar)
	refused("now-60y+60y", ErrFar)
	refused("2026-01-31+999999999M", ErrFar)
}

// TestFormsOfTimes holds the table of docs/search.md to the code.
func TestFormsOfTimes(t *testing.T) {
	now := now.Truncate(time.Second)
	for _, row := range doctable.Rows(t, "../../docs/search.md", "time", "begins", "ends before") {
		for _, text := range doctable.Codes(row[0]) {
			p, err := Parse(text)
			begin, next := p.Bounds(now)
			end := ""
			if next.After(begin) {
				end = next.Format(time.RFC3339)
			}
			if err != nil || begin.Format(time.RFC3339) != row[1] || end != row[2] {
				t.Errorf("%s: %s to %q (%v), the table has %s to %q", text, begin.Format(time.RFC3339), end, err, row[1], row[2])
			}
		}
	}
}
