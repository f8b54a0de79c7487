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

// The formats of a date, found anywhere in a text: RFC 5322 and its predecessors, asctime as in mbox, the month first as
// Americans write it, in words or digits, and ISO 8601.
var (
	mailDate    = regexp.MustCompile(`(?i)\b(\d{1,2})[ -]+([a-z]{3})[a-z]*[., -]+(\d{4}|\d{2})[, ]+(\d{1,2})[:.](\d{2})(?:[:.](\d{1,2}))?(?: *([ap])m)?(?: *` + zone + `)?`)
	asctimeDate = regexp.MustCompile(`(?i)\b([a-z]{3}) +(\d{1,2}) +(\d{1,2}):(\d{2})(?::(\d{1,2}))? +(?:` + zone + ` +)?(\d{4})(?: +` + zone + `)?`)
	wordsDate   = regexp.MustCompile(`(?i)\b([a-z]{3})[a-z]*[. ]+(\d{1,2})(?:st|nd|rd|th)?[, ]+(\d{4})[, ]+(?:at +)?(\d{1,2})[:.](\d{2})(?:[:.](\d{1,2}))?(?: *([ap])m)?(?: *` + zone + `)?`)
	digitsDate  = regexp.MustCompile(`(?i)\b(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})[, ]+(\d{1,2}):(\d{2})(?::(\d{1,2}))?(?: *([ap])m)?(?: *` + zone + `)?`)
	isoDate     = regexp.MustCompile(`(?i)\b(\d{4})-(\d{2})-(\d{2})[T ](\d{1,2}):(\d{2})(?::(\d{1,2}))?(?:[.,]\d+)?(?: *` + zone + `)?`)
)

// zone is a zone by its offset, also behind the name of the zone that it is counted from, or by its name.
const zone = `((?:(?:gmt|utc?) *)?[+-] ?\d{1,2}:?\d{2}\b|(?:(?:gmt|utc?) *)?[+-]\d{1,2}\b|[a-z]{1,5}\b)`

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
		return build(m[7], monthOf(m[1]), m[2], m[3], m[4], m[5], "", cmp.Or(m[8], m[6]))
	}
	if m := wordsDate.FindStringSubmatch(text); m != nil {
		return build(m[3], monthOf(m[1]), m[2], m[4], m[5], m[6], m[7], m[8])
	}
	if m := digitsDate.FindStringSubmatch(text); m != nil {
		month, day := number(m[1]), m[2]
		if month > 12 { // the day first, as elsewhere
			month, day = number(m[2]), m[1]
		}
		return build(m[3], month, day, m[4], m[5], m[6], m[7], m[8])
	}
	if m := isoDate.FindStringSubmatch(text); m != nil {
		return build(m[1], number(m[2]), m[3], m[4], m[5], m[6], "", m[7])
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
	if month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
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

// maxOffset is more than the offset of any zone. One with such an offset is unknown.
const maxOffset = 24 * time.Hour

var offsetSigns = strings.NewReplacer(":", "", " ", "")

func zoneOffset(zone string) time.Duration {
	sign := strings.IndexAny(zone, "+-")
	if sign < 0 {
		return time.Duration(zoneHours[strings.ToUpper(zone)]) * time.Hour
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
