package moment

import (
	"strings"
	"time"
)

// Period is a stretch of time: that of a date, that in which a moment lies, or a moment alone. All are of UTC.
type Period struct {
	moment Moment
	unit   byte // one of periodUnits, 0 for a moment alone
}

// periodUnits are minute, hour, day, week from Monday, month and year.
const periodUnits = "mhdwMy"

// dates are the forms of dates and the periods that they mean.
var dates = []struct {
	layout string
	unit   byte
}{{"2006-01-02", 'd'}, {"2006-01", 'M'}, {"2006", 'y'}}

// ParsePeriod reads what Parse reads, any of that with "/m", "/h", "/d", "/w", "/M" or "/y" behind it for the minute,
// hour, day, week from Monday, month or year in which it lies, and the dates "2026-01-31", "2026-01" and "2026". The
// error is ErrForm or ErrFar.
func ParsePeriod(text string) (Period, error) {
	for _, form := range dates {
		if begin, err := time.Parse(form.layout, text); err == nil {
			return Period{Moment{fixed: begin}, form.unit}, nil
		}
	}
	var p Period
	if n := len(text); n > 2 && text[n-2] == '/' && strings.IndexByte(periodUnits, text[n-1]) >= 0 {
		text, p.unit = text[:n-2], text[n-1]
	}
	var err error
	p.moment, err = Parse(text)
	return p, err
}

// Bounds returns where the period begins, and where the next one does. Both are the same for a moment alone.
func (p Period) Bounds(now time.Time) (begin, next time.Time) {
	at := p.moment.At(now).UTC()
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	switch p.unit {
	case 'm':
		return at.Truncate(time.Minute), at.Truncate(time.Minute).Add(time.Minute)
	case 'h':
		return at.Truncate(time.Hour), at.Truncate(time.Hour).Add(time.Hour)
	case 'd':
		return day, day.AddDate(0, 0, 1)
	case 'w':
		monday := day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
		return monday, monday.AddDate(0, 0, 7)
	case 'M':
		first := day.AddDate(0, 0, 1-day.Day())
		return first, first.AddDate(0, 1, 0)
	case 'y':
		first := day.AddDate(0, 0, 1-day.YearDay())
		return first, first.AddDate(1, 0, 0)
	}
	return at, at
}
