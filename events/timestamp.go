package events

import "time"

// Times are RFC 3339 with upper-case letters, at most nine fractional digits and any offset. Leap seconds are refused.
// In UTC, a time must be within the years 1000 to 9999.
var (
	minTime = time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	maxTime = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
	// minActionTime is the earliest time of a proposal or a decision.
	minActionTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// clockSkew is how far proposed_at and decided_at may be ahead of recorded_at.
const clockSkew = 5 * time.Minute

func validTime(t time.Time) bool {
	seconds := t.Unix()
	return seconds >= minTime && seconds <= maxTime
}

// parseTime reads a time as UTC; it returns false for anything that the comment above does not allow.
func parseTime(text []byte) (time.Time, bool) {
	const layout = "0000-00-00T00:00:00"
	if len(text) <= len(layout) {
		return time.Time{}, false
	}
	for i, c := range []byte(layout) {
		if got := text[i]; got != c && (c != '0' || got < '0' || got > '9') {
			return time.Time{}, false
		}
	}
	year, month, day := twoDigits(text[0:])*100+twoDigits(text[2:]), twoDigits(text[5:]), twoDigits(text[8:])
	hour, minute, second := twoDigits(text[11:]), twoDigits(text[14:]), twoDigits(text[17:])
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	nanos, rest, ok := parseFraction(text[len(layout):])
	if !ok {
		return time.Time{}, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second-offset, nanos, time.UTC)
	return t, year >= 1000 && validTime(t)
}

func twoDigits(text []byte) int { return int(text[0]-'0')*10 + int(text[1]-'0') }

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// parseFraction reads an optional fraction of a second, and returns the rest.
func parseFraction(text []byte) (nanos int, rest []byte, ok bool) {
	if text[0] != '.' {
		return 0, text, true
	}
	i := 1
	for ; i < len(text) && i <= 9 && text[i]-'0' <= 9; i++ {
		nanos = nanos*10 + int(text[i]-'0')
	}
	for n := i; n <= 9; n++ {
		nanos *= 10
	}
	return nanos, text[i:], i > 1
}

// parseOffset reads "Z" or "+01:00" and returns the seconds that local time is ahead of UTC.
func parseOffset(text []byte) (seconds int, ok bool) {
	if len(text) == 1 && text[0] == 'Z' {
		return 0, true
	}
	if len(text) != 6 || text[3] != ':' || (text[0] != '+' && text[0] != '-') {
		return 0, false
	}
	for _, i := range []int{1, 2, 4, 5} {
		if text[i]-'0' > 9 {
			return 0, false
		}
	}
	hours, minutes := twoDigits(text[1:]), twoDigits(text[4:])
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	seconds = hours*3600 + minutes*60
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}
