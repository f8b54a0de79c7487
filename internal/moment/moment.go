// Package moment parses times as people write them in conditions and queries: absolute, or relative to now, and the periods
// that dates and rounded times mean. It reads no clock; callers pass the time.
package moment

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The limits of a text: how far it may move from where it begins, and in how many steps.
const (
	maxSpan  = 100 * 365 * 24 * time.Hour
	maxSteps = 10
)

// The reasons for which a text is refused.
var (
	ErrForm = errors.New("neither a date, nor an RFC 3339 time, nor a relative one")
	ErrFar  = errors.New("more than 100 years from where it begins")
)

// Period is a stretch of time: that of a date, that in which a moment lies, or a moment alone. All are of UTC.
type Period struct {
	from  time.Time
	now   bool // it begins with now
	unit  byte // of the date that it begins with; 0 for a moment alone
	steps []step
}

// step moves a moment by a number of units or, without one, to the beginning of the unit in which it lies.
type step struct {
	count int
	unit  byte
}

// spans are the units, by their letters, and about how long they are: minute, hour, day, week from Monday, month and year.
var spans = map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'M': 30 * 24 * time.Hour, 'y': 365 * 24 * time.Hour}

var (
	beginning = regexp.MustCompile(`^(?:now|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})|\d{4}(?:-\d{2}){0,2})`)
	nextStep  = regexp.MustCompile(`^(?:([+-]\d{1,9})|/)([mhdwMy])`)
)

// dates are the forms of dates and the periods that they mean.
var dates = []struct {
	layout string
	unit   byte
}{{"2006-01-02", 'd'}, {"2006-01", 'M'}, {"2006", 'y'}}

// Parse reads "now", an RFC 3339 time or one of the dates "2026-01-31", "2026-01" and "2026", and behind it any of the steps
// "+7d" and "-7d", by minutes, hours, days, weeks, months ("M") or years ("y"), and "/d", which goes to the beginning of the
// unit: "now-7d", "now/d+1h", "2026-01-31/w", or "2026-01-31||-1M" as Elasticsearch writes it. What ends with such a unit, and
// a date alone, mean all of it. The error is ErrForm or ErrFar.
func Parse(text string) (Period, error) {
	var p Period
	begin := beginning.FindString(text)
	if begin == "" {
		return p, ErrForm
	}
	if err := p.begin(begin); err != nil {
		return p, err
	}
	rest := text[len(begin):]
	if begin != "now" {
		rest = strings.TrimPrefix(rest, "||")
	}
	far := time.Duration(0)
	for rest != "" {
		found := nextStep.FindStringSubmatch(rest)
		if found == nil || len(p.steps) == maxSteps {
			return p, ErrForm
		}
		count, _ := strconv.Atoi(found[1]) // at most nine digits; none is 0, and 0 of a unit moves nothing
		if rest = rest[len(found[0]):]; found[1] != "" && count == 0 {
			continue
		}
		unit := found[2][0]
		if size := max(count, -count); size > int(maxSpan/spans[unit]) {
			return p, ErrFar
		} else if far += time.Duration(size) * spans[unit]; far > maxSpan {
			return p, ErrFar
		}
		p.steps = append(p.steps, step{count, unit})
	}
	return p, nil
}

func (p *Period) begin(text string) (err error) {
	if text == "now" {
		p.now = true
		return nil
	}
	for _, form := range dates {
		if p.from, err = time.Parse(form.layout, text); err == nil {
			p.unit = form.unit
			return nil
		}
	}
	if p.from, err = time.Parse(time.RFC3339, text); err != nil {
		return ErrForm
	}
	return nil
}

// Bounds returns where the period begins, and where the next one does. Both are the same for a moment alone.
func (p Period) Bounds(now time.Time) (begin, next time.Time) {
	at, unit := p.from, p.unit
	if p.now {
		at = now
	}
	at = at.UTC()
	for _, s := range p.steps {
		if s.count == 0 {
			at, unit = floor(at, s.unit), s.unit
		} else {
			at, unit = move(at, s.count, s.unit), 0
		}
	}
	if unit == 0 {
		return at, at
	}
	return at, move(at, 1, unit)
}

// After tells whether a period begins after another one has ended, whenever it is now; false when that depends.
func (p Period) After(other Period) bool {
	if p.now != other.now {
		return false
	}
	for month := time.January; month <= time.December; month++ { // whose lengths differ
		now := time.Date(2001, month, 1, 12, 0, 0, 0, time.UTC)
		begin, _ := p.Bounds(now)
		last, next := other.Bounds(now)
		if !begin.After(last) || begin.Before(next) {
			return false
		}
	}
	return true
}

// floor returns the beginning of the unit in which a time lies.
func floor(at time.Time, unit byte) time.Time {
	day := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	switch unit {
	case 'm':
		return at.Truncate(time.Minute)
	case 'h':
		return at.Truncate(time.Hour)
	case 'w':
		return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
	case 'M':
		return day.AddDate(0, 0, 1-day.Day())
	case 'y':
		return day.AddDate(0, 0, 1-day.YearDay())
	}
	return day
}

// move returns a time so many units later. A day that the month does not have is its last one.
func move(at time.Time, count int, unit byte) time.Time {
	switch unit {
	case 'm', 'h':
		return at.Add(time.Duration(count) * spans[unit])
	case 'd':
		return at.AddDate(0, 0, count)
	case 'w':
		return at.AddDate(0, 0, 7*count)
	case 'y':
		count *= 12
	}
	moved := at.AddDate(0, count, 0)
	if moved.Day() != at.Day() {
		moved = moved.AddDate(0, 0, -moved.Day())
	}
	return moved
}
