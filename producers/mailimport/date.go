package mailimport

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// undated is the received_at of a message without a plausible time. It sorts last.
var undated = time.Unix(0, 0).UTC()

// maxTransit is how far Date may be from every Received before it counts as wrong.
const maxTransit = 7 * 24 * time.Hour

// earliest is the earliest plausible time of a mail. In mbox files, the Unix epoch means "unknown".
var earliest = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)

// dates are the times in a message. Each may be missing or wrong.
type dates struct {
	date     string   // Date
	received []string // Received, the last hop first
	delivery string   // Delivery-Date
	envelope string   // the mbox "From " line
}

// receivedAt chooses among them: Date, unless it is implausible or more than a week from every Received; then the last
// Received, Delivery-Date, the mbox line; else undated. A time before 1971 or after latest is implausible.
func (d dates) receivedAt(latest time.Time) time.Time {
	plausible := func(text string) (time.Time, bool) {
		t, ok := parseDate(text)
		return t, ok && !t.Before(earliest) && !t.After(latest)
	}
	var hops []time.Time
	for _, received := range d.received {
		if t, ok := plausible(received[strings.LastIndexByte(received, ';')+1:]); ok {
			hops = append(hops, t)
		}
	}
	if t, ok := plausible(d.date); ok && near(t, hops) {
		return t
	}
	if len(hops) > 0 {
		return hops[0]
	}
	for _, text := range []string{d.delivery, d.envelope} {
		if t, ok := plausible(text); ok {
			return t
		}
	}
	return undated
}

func near(t time.Time, hops []time.Time) bool {
	for _, hop := range hops {
		if t.Sub(hop).Abs() <= maxTransit {
			return true
		}
	}
	return len(hops) == 0
}

// The formats of a date, found anywhere in a text: RFC 5322 and its predecessors, asctime as in mbox, and ISO 8601.
var (
	mailDate    = regexp.MustCompile(`(?i)\b(\d{1,2})[ -]+([a-z]{3})[a-z]*[., -]+(\d{4}|\d{2})[, ]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?(?: *([ap])m)? *([+-]\d{4}|[a-z]{1,5}\b)?`)
	asctimeDate = regexp.MustCompile(`(?i)\b([a-z]{3}) +(\d{1,2}) +(\d{1,2}):(\d{2})(?::(\d{2}))? +(?:([+-]\d{4}|[a-z]{1,5}) +)?(\d{4})(?: +([+-]\d{4}))?`)
	isoDate     = regexp.MustCompile(`\b(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2}))?(?:\.\d+)? *(Z|[+-]\d{2}:?\d{2})?`)
)

// parseDate finds a date in text. A missing or unknown zone means UTC, as in RFC 5322.
func parseDate(text string) (time.Time, bool) {
	if len(text) > 500 {
		text = text[:500]
	}
	text = strings.Join(strings.Fields(text), " ")
	if m := mailDate.FindStringSubmatch(text); m != nil {
		return build(m[3], monthOf(m[2]), m[1], m[4], m[5], m[6], m[7], m[8])
	}
	if m := asctimeDate.FindStringSubmatch(text); m != nil {
		return build(m[7], monthOf(m[1]), m[2], m[3], m[4], m[5], "", m[6]+m[8])
	}
	if m := isoDate.FindStringSubmatch(text); m != nil {
		return build(m[1], number(m[2]), m[3], m[4], m[5], m[6], "", strings.Replace(m[7], ":", "", 1))
	}
	return time.Time{}, false
}

func build(yearText string, month int, dayText, hourText, minuteText, secondText, half, zone string) (time.Time, bool) {
	year, day, hour, minute, second := number(yearText), number(dayText), number(hourText), number(minuteText), number(secondText)
	if len(yearText) == 2 { // RFC 5322, section 4.3
		year += 1900
		if year < 1950 {
			year += 100
		}
	}
	if half != "" && hour <= 12 {
		hour %= 12
		if strings.EqualFold(half, "p") {
			hour += 12
		}
	}
	if month == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	local := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), 0, time.UTC)
	if local.Day() != day {
		return time.Time{}, false
	}
	return local.Add(-zoneOffset(zone)), true
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // always digits, or empty
	return n
}

func monthOf(name string) int {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if at := strings.Index(names, strings.ToLower(name)); at >= 0 && at%3 == 0 {
		return at/3 + 1
	}
	return 0
}

// zoneHours are the zone names of RFC 5322, and European ones that occur in old mail.
var zoneHours = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	"CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "BST": 1, "IST": 1}

func zoneOffset(zone string) time.Duration {
	if len(zone) == 5 && (zone[0] == '+' || zone[0] == '-') {
		offset := time.Duration(number(zone[1:3]))*time.Hour + time.Duration(number(zone[3:]))*time.Minute
		if zone[0] == '-' {
			offset = -offset
		}
		return offset
	}
	return time.Duration(zoneHours[strings.ToUpper(zone)]) * time.Hour
}
