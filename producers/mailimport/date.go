package mailimport

import (
	"cmp"
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
		received = withoutComments(received) // which may have a semicolon
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

// The parts of the formats below. A zone is given by its offset, also behind a name, or by its name.
const (
	dayWord   = `(?P<day>\d{1,2})(?:st|nd|rd|th)?`
	monthWord = `(?P<month>[a-z]{3})[a-z]*`
	clock     = `(?P<hour>\d{1,2})[:.](?P<minute>\d{1,2})(?:[:.](?P<second>\d{1,2}))?(?:[.,]\d+)?(?: ?(?P<half>[ap])\.?m\b\.?)?`
	offset    = `(?:[a-z]{1,5} ?)?[+-] ?\d{1,2}:?\d{2}\b|(?:(?:gmt|utc?) ?)?[+-] ?\d{1,2}\b|[a-z]{1,5}(?: dst)?\b`
	behind    = clock + `(?: ?(?P<zone>` + offset + `))?`
	later     = `[, ]+(?:at )?` + behind
)

// formats are those of a date, found anywhere in a text: RFC 5322 and its predecessors, asctime as in mbox, the month first as
// Americans write it, in words or digits, the day first as Germans do, and ISO 8601.
var formats = []*regexp.Regexp{
	regexp.MustCompile(`(?i)\b` + dayWord + `[ ./-]+` + monthWord + `[., /-]+(?P<year>\d{4}|\d{2,3})` + later),
	regexp.MustCompile(`(?i)\b` + monthWord + `[. ]+` + dayWord + `[, ]+` + clock + `(?: ?(?P<before>` + offset + `))? (?P<year>\d{4})\b(?: ?(?P<zone>` + offset + `))?`),
	regexp.MustCompile(`(?i)\b` + monthWord + `[. ]+` + dayWord + `[, ]+(?P<year>\d{4})` + later),
	regexp.MustCompile(`(?i)\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}|\d{2})` + later),
	regexp.MustCompile(`(?i)\b(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\. ?(?P<year>\d{4}|\d{2})` + later),
	regexp.MustCompile(`(?i)\b(?P<year>\d{4})[-/](?P<month>0?[1-9]|1[0-2])[-/](?P<day>\d{1,2})(?:T|[, ]+)` + behind),
}

// maxDate is how many bytes of a text are looked through for a date, without its comments.
const maxDate = 500

// parseDate finds a date in text. Comments are no part of it. A missing or unknown zone means UTC, as in RFC 5322.
func parseDate(text string) (time.Time, bool) {
	text = closeColons.Replace(oneLine(withoutComments(text)))
	for _, format := range formats {
		found := format.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		parts := map[string]string{}
		for i, name := range format.SubexpNames() {
			parts[name] = found[i]
		}
		if at, ok := build(parts); ok {
			return at, true
		}
	}
	return time.Time{}, false
}

var closeColons = strings.NewReplacer(" : ", ":", " :", ":", ": ", ":")

// oneLine returns the beginning of a text with single blanks in place of all that is empty.
func oneLine(text string) string {
	var out strings.Builder
	for word := range strings.FieldsSeq(text) {
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		if out.WriteString(word); out.Len() > maxDate {
			return out.String()[:maxDate]
		}
	}
	return out.String()
}

// withoutComments returns a text with a blank in place of each comment, which may have comments in it. One without an end is text.
func withoutComments(text string) string {
	var out strings.Builder
	depth, open := 0, 0 // of the comments that are open, and where the outermost began
	kept := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			if depth++; depth == 1 {
				open = i
			}
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				out.WriteString(text[kept:open])
				out.WriteByte(' ')
				kept = i + 1
			}
		}
	}
	return out.String() + text[kept:]
}

// build makes a time of the parts that a format has found.
func build(parts map[string]string) (time.Time, bool) {
	year, month, day := number(parts["year"]), monthOf(parts["month"]), number(parts["day"])
	hour, minute, second := number(parts["hour"]), number(parts["minute"]), number(parts["second"])
	if month > 12 { // of digits, with the day first
		month, day = day, month
	}
	switch len(parts["year"]) { // RFC 5322, section 4.3
	case 3:
		year += 1900
	case 2:
		if year += 1900; year < 1950 {
			year += 100
		}
	}
	half := parts["half"]
	if half != "" && hour <= 12 {
		hour %= 12
		if strings.EqualFold(half, "p") {
			hour += 12
		}
	}
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	local := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), 0, time.UTC)
	if local.Day() != day {
		return time.Time{}, false
	}
	at := local.Add(-zoneOffset(cmp.Or(parts["zone"], parts["before"])))
	return at, at.Year() >= 0 && at.Year() <= 9999
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // always digits, or empty
	return n
}

// monthOf returns the number of a month, given in digits or by the beginning of its name; 0 if there is no such month.
func monthOf(name string) int {
	if n := number(name); n > 0 {
		return n
	}
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if at := strings.Index(names, strings.ToLower(name)); at >= 0 && at%3 == 0 {
		return at/3 + 1
	}
	return 0
}

// zoneHours are the zone names of RFC 5322, and others that occur in mail and mean one zone.
var zoneHours = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	"AST": -4, "ADT": -3, "AKST": -9, "AKDT": -8, "HST": -10, "WEST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "MESZ": 2, "MEZ": 1, "EET": 2, "EEST": 3,
	"BST": 1, "IST": 1, "MSK": 3, "MSD": 4, "HKT": 8, "SGT": 8, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13}

// maxOffset is more than the offset of any zone. One with such an offset is unknown.
const maxOffset = 24 * time.Hour

var offsetSigns = strings.NewReplacer(":", "", " ", "")

func zoneOffset(zone string) time.Duration {
	sign := strings.IndexAny(zone, "+-")
	if sign < 0 {
		name, summer := strings.CutSuffix(strings.ToUpper(zone), " DST")
		hours := zoneHours[name]
		if summer {
			hours++
		}
		return time.Duration(hours) * time.Hour
	}
	digits := offsetSigns.Replace(zone[sign+1:])
	if len(digits) < 3 { // hours alone
		digits += "00"
	}
	hours, minutes := number(digits[:len(digits)-2]), number(digits[len(digits)-2:])
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if offset >= maxOffset || minutes > 59 {
		return 0
	}
	if zone[sign] == '-' {
		return -offset
	}
	return offset
}
