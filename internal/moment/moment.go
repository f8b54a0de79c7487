// Package moment parses times as people write them in conditions and queries: absolute, or relative to now. It reads no
// clock; callers pass the time.
package moment

import (
	"errors"
	"regexp"
	"strconv"
	"time"
)

// maxSpan is the furthest that a relative time may lie from now.
const maxSpan = 100 * 365 * 24 * time.Hour

// The reasons for which a text is refused.
var (
	ErrForm = errors.New("neither an RFC 3339 time nor a relative one")
	ErrFar  = errors.New("more than 100 years from now")
)

// Moment is an absolute time, or one relative to now.
type Moment struct {
	fixed    time.Time
	offset   time.Duration
	relative bool
}

// At returns the time that is meant when it is now.
func (m Moment) At(now time.Time) time.Time {
	if m.relative {
		return now.Add(m.offset)
	}
	return m.fixed
}

// Parse reads an RFC 3339 time, "now", or a distance from now in minutes, hours, days or weeks such as "now-7d" and
// "now+12h". The error is ErrForm or ErrFar.
func Parse(text string) (Moment, error) {
	if parts := relativeTime.FindStringSubmatch(text); parts != nil {
		return relative(parts)
	}
	fixed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Moment{}, ErrForm
	}
	return Moment{fixed: fixed}, nil
}

var relativeTime = regexp.MustCompile(`^now(?:([+-])([0-9]{1,9})([mhdw]))?$`)

var units = map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

func relative(parts []string) (Moment, error) {
	if parts[1] == "" {
		return Moment{relative: true}, nil
	}
	count, _ := strconv.ParseInt(parts[2], 10, 64) // at most nine digits
	unit := units[parts[3]]
	if count > int64(maxSpan/unit) {
		return Moment{}, ErrFar
	}
	offset := time.Duration(count) * unit
	if parts[1] == "-" {
		offset = -offset
	}
	return Moment{offset: offset, relative: true}, nil
}
