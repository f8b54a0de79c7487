package moment

import (
	"errors"
	"testing"
	"time"
)

// now is a Thursday.
var now = time.Date(2026, 11, 26, 15, 4, 5, 600_000_000, time.UTC)

func TestParse(t *testing.T) {
	f := func(text string, want time.Time, refused error) {
		t.Helper()
		m, err := Parse(text)
		if !errors.Is(err, refused) || err == nil && !m.At(now).Equal(want) {
			t.Errorf("%q: got %v, %v, want %v, %v", text, m.At(now), err, want, refused)
		}
	}
	f("now", now, nil)
	f("now-7d", now.AddDate(0, 0, -7), nil)
	f("now+12h", now.Add(12*time.Hour), nil)
	f("now-90m", now.Add(-90*time.Minute), nil)
	f("now+2w", now.AddDate(0, 0, 14), nil)
	f("2026-01-31T09:00:00+02:00", time.Date(2026, 1, 31, 7, 0, 0, 0, time.UTC), nil)
	f("now-999999999w", time.Time{}, ErrFar)
	f("now-36500d", now.AddDate(0, 0, -36500), nil)
	f("now-36501d", time.Time{}, ErrFar)
	for _, text := range []string{"", "NOW", "now-7y", "now-7", "now - 7d", "now-1234567890m", "2026-01-31", "now/d"} {
		f(text, time.Time{}, ErrForm)
	}
}

func TestParsePeriod(t *testing.T) {
	day := func(year, month, day int) time.Time {
		return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	}
	f := func(text string, begin, next time.Time) {
		t.Helper()
		p, err := ParsePeriod(text)
		gotBegin, gotNext := p.Bounds(now)
		if err != nil || !gotBegin.Equal(begin) || !gotNext.Equal(next) {
			t.Errorf("%q: got %v to %v, %v, want %v to %v", text, gotBegin, gotNext, err, begin, next)
		}
	}
	f("now-7d", now.AddDate(0, 0, -7), now.AddDate(0, 0, -7))
	f("2026-01-31T23:30:00-01:00", time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC))
	f("2026-01-31T23:30:00-01:00/d", day(2026, 2, 1), day(2026, 2, 2))
	f("now/d", day(2026, 11, 26), day(2026, 11, 27))
	f("now-7d/d", day(2026, 11, 19), day(2026, 11, 20))
	f("now/w", day(2026, 11, 23), day(2026, 11, 30))
	f("now-4d/w", day(2026, 11, 16), day(2026, 11, 23)) // a Sunday
	f("now/h", now.Truncate(time.Hour), now.Truncate(time.Hour).Add(time.Hour))
	f("now/m", now.Truncate(time.Minute), now.Truncate(time.Minute).Add(time.Minute))
	f("now/M", day(2026, 11, 1), day(2026, 12, 1))
	f("now/y", day(2026, 1, 1), day(2027, 1, 1))
	f("0001-01-01", day(1, 1, 1), day(1, 1, 2))
	f("2026-02-28", day(2026, 2, 28), day(2026, 3, 1))
	f("2024-02", day(2024, 2, 1), day(2024, 3, 1))
	f("2026", day(2026, 1, 1), day(2027, 1, 1))

	refused := func(text string, want error) {
		t.Helper()
		if _, err := ParsePeriod(text); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"", "/d", "now/s", "now/", "now/ d", "2026-02-30", "2026-13", "26-01-01", "2026-1-1", "2026-01-31/d", "yesterday"} {
		refused(text, ErrForm)
	}
	refused("now-999999999w/d", ErrFar)
}
