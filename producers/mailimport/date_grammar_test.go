package mailimport

import (
	"fmt"
	"math/rand/v2"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// writtenDate is a date as somebody may write it, with what it means.
type writtenDate struct {
	text   string
	local  time.Time // in its zone
	at     time.Time
	form   string
	zone   string
	traits map[string]bool // what is unusual in it
}

// piece is one token of a written date. What may stand before it is a comment or white space; one of them has to if apart is set.
type piece struct {
	text  string
	apart bool
}

// dateWriter writes dates by a grammar: that of RFC 5322 with its obsolete forms, and the other forms of docs/mail.md.
type dateWriter struct{ writer }

// writtenZones are zones and their offsets in minutes.
var writtenZones = map[string]int{
	"+0000": 0, "-0000": 0, "+0200": 120, "-0500": -300, "+0530": 330, "-0930": -570, "+1400": 840, "-1130": -690, "+0545": 345,
	"GMT": 0, "UT": 0, "UTC": 0, "Z": 0, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360, "PST": -480, "PDT": -420,
	"CET": 60, "CEST": 120, "MET": 60, "MEST": 120, "MET DST": 120, "EET": 120, "EEST": 180, "BST": 60, "AST": -240, "ADT": -180, "AKST": -540, "HST": -600,
	"MSK": 180, "JST": 540, "KST": 540, "AEST": 600, "NZDT": 780,
	"+02:00": 120, "-5": -300, "+2": 120, "+05": 300, "+200": 120, "GMT+0200": 120, "GMT+2": 120, "GMT-03:30": -210, "UTC -05:30": -330, "UTC+1": 60, "CEST +0200": 120,
	"EST -0500": -300, "+ 0200": 120,
	"XYZ": 0, "A": 0, "N": 0, "": 0, "+9900": 0, "-1460": 0, "+2400": 0, // unknown
}

var zoneNames = func() []string {
	var names []string
	for name := range writtenZones {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

// write returns one date.
func (w *dateWriter) write() writtenDate {
	w.begin(w.IntN(3) == 0)
	local := time.Unix(w.Int64N(2_775_000_000)-630_000_000, 0).UTC() // of 1950 to 2037
	if w.rarely(10, "leap second") {
		local = local.Truncate(time.Minute).Add(59 * time.Second) // or 60 where it is written
	}
	zone := zoneNames[w.IntN(len(zoneNames))]
	if w.IntN(2) == 0 { // half of them by the letter
		zone = w.one("+0000", "-0000", "+0200", "-0500", "+0530", "GMT")
	}
	form := w.one("RFC 5322", "RFC 5322", "RFC 5322", "asctime", "words", "digits", "dots", "ISO 8601")
	forms := map[string]func(local time.Time, zone string) []piece{
		"RFC 5322": w.mail, "asctime": w.asctime, "words": w.words, "digits": w.digits, "dots": w.dots, "ISO 8601": w.iso,
	}
	pieces := forms[form](local, zone)
	if w.traits["without seconds"] {
		local = local.Truncate(time.Minute)
	}
	return writtenDate{w.join(pieces), local, local.Add(-time.Duration(writtenZones[zone]) * time.Minute), form, zone, w.traits}
}

// join writes the pieces of a date with white space, and sometimes comments, between them.
func (w *dateWriter) join(pieces []piece) string {
	commented, text := w.rarely(4, "comments"), ""
	for i, p := range pieces {
		switch {
		case commented && w.IntN(3) == 0:
			text += w.one("(c)", " (c) ", "(a (b) c)", ` (\)) `, "()", "(1 Jan 1999 00:00:00 +0700)", "\r\n (x; y)\r\n ", "(Thu)")
		case p.apart && i > 0 && w.plain:
			text += " "
		case p.apart && i > 0:
			text += w.one(" ", " ", " ", "  ", "\t", "\r\n ", " \n\t")
		}
		text += p.text
	}
	if w.rarely(6, "comment at the end") {
		text += w.one(" (CEST)", " (Central European Summer Time)", " (added by a server)", " (+0700)")
	}
	if w.rarely(8, "other letters") {
		return w.one(strings.ToLower(text), strings.ToUpper(text))
	}
	return text
}

func apart(text string) piece { return piece{text, true} }
func glued(text string) piece { return piece{text, false} }

// weekday writes a day of the week, at times a wrong one.
func (w *dateWriter) weekday(local time.Time) []piece {
	if w.rarely(4, "without a weekday") {
		return nil
	}
	name := local.Weekday().String()
	if w.rarely(20, "wrong weekday") {
		name = local.AddDate(0, 0, 1).Weekday().String()
	}
	if !w.rarely(8, "long weekday") {
		name = name[:3]
	}
	if w.rarely(10, "weekday without a comma") {
		return []piece{apart(name)}
	}
	return []piece{apart(name), glued(",")}
}

func (w *dateWriter) day(local time.Time) string {
	switch {
	case w.rarely(15, "ordinal"):
		day := local.Day()
		ending := "th"
		if day/10 != 1 && day%10 < 4 {
			ending = []string{"th", "st", "nd", "rd"}[day%10]
		}
		return fmt.Sprint(day) + ending
	case w.IntN(2) == 0:
		return fmt.Sprint(local.Day())
	}
	return local.Format("02")
}

func (w *dateWriter) month(local time.Time) string {
	if w.rarely(8, "long month") {
		return local.Month().String()
	}
	return local.Format("Jan")
}

func (w *dateWriter) year(local time.Time) string {
	switch {
	case local.Year() < 2050 && local.Year() >= 1950 && w.rarely(8, "two digits"):
		return local.Format("06")
	case local.Year() >= 2000 && w.rarely(15, "three digits"): // of a counter since 1900
		return fmt.Sprint(local.Year() - 1900)
	}
	return local.Format("2006")
}

// clock writes a time of day: with a zone behind it unless that is empty.
func (w *dateWriter) clock(local time.Time, zone string) []piece {
	hour, minute, second := local.Format("15"), local.Format("04"), local.Format("05")
	half := ""
	if w.rarely(8, "half of the day") {
		hour, half = local.Format("3"), local.Format("PM")
		if half = w.one(half, strings.ToLower(half)); w.rarely(4, "dots in the half") {
			half = half[:1] + "." + half[1:] + "."
		}
	} else if w.rarely(5, "one digit") {
		hour = fmt.Sprint(local.Hour())
	}
	if w.rarely(10, "one digit of a second") {
		second = fmt.Sprint(local.Second())
	}
	pieces := []piece{apart(hour), glued(":"), glued(minute)}
	if !w.rarely(6, "without seconds") {
		if local.Second() == 59 && w.rarely(3, "60") {
			second = "60"
		}
		if w.rarely(12, "fraction") {
			second += w.one(".5", ".123", ",000001")
		}
		pieces = append(pieces, glued(":"), glued(second))
	}
	if w.rarely(20, "dots") { // which no grammar knows: nothing stands around them
		text := hour + "." + minute
		if len(pieces) > 3 {
			text += "." + second
		}
		pieces = []piece{apart(text)}
	}
	if half != "" {
		pieces = append(pieces, piece{half, w.IntN(2) == 0})
	}
	if zone == "" {
		return pieces
	}
	together := zone[0] == '+' || zone[0] == '-'
	return append(pieces, piece{zone, !together || !w.rarely(10, "zone without a space")})
}

func (w *dateWriter) mail(local time.Time, zone string) []piece {
	pieces := w.weekday(local)
	if w.rarely(8, "dashes") {
		pieces = append(pieces, apart(w.day(local)+"-"+w.month(local)+"-"+w.year(local)))
	} else {
		pieces = append(pieces, apart(w.day(local)), apart(w.month(local)), apart(w.year(local)))
	}
	if w.rarely(15, "comma before the time") {
		pieces = append(pieces, glued(","))
	}
	return append(pieces, w.clock(local, zone)...)
}

func (w *dateWriter) asctime(local time.Time, zone string) []piece {
	pieces := []piece{apart(local.Format("Mon")), apart(w.month(local)), apart(w.one(local.Format("_2"), local.Format("02"), fmt.Sprint(local.Day())))}
	year := apart(local.Format("2006"))
	if zone == "" || w.rarely(3, "zone behind the year") {
		pieces = append(pieces, w.clock(local, "")...)
		if pieces = append(pieces, year); zone != "" {
			pieces = append(pieces, apart(zone))
		}
		return pieces
	}
	return append(append(pieces, w.clock(local, zone)...), year)
}

func (w *dateWriter) words(local time.Time, zone string) []piece {
	pieces := append(w.weekday(local), apart(w.month(local)), apart(w.day(local)))
	if w.IntN(2) == 0 {
		pieces = append(pieces, glued(","))
	}
	pieces = append(pieces, apart(local.Format("2006")))
	if w.IntN(2) == 0 {
		pieces = append(pieces, glued(","))
	}
	if w.rarely(3, "at") {
		pieces = append(pieces, apart("at"))
	}
	return append(pieces, w.clock(local, zone)...)
}

// digits writes a day in digits, with the month first unless only the other order is possible.
func (w *dateWriter) digits(local time.Time, zone string) []piece {
	layout := w.one("1/2/2006", "01/02/2006", "1/2/06")
	if local.Day() > 12 && w.rarely(3, "day first") {
		layout = "2/1/2006"
	}
	return append([]piece{apart(local.Format(layout))}, w.clock(local, zone)...)
}

func (w *dateWriter) dots(local time.Time, zone string) []piece {
	return append([]piece{apart(local.Format(w.one("2.1.2006", "02.01.2006", "2.1.06", "2. 1. 2006")))}, w.clock(local, zone)...)
}

func (w *dateWriter) iso(local time.Time, zone string) []piece {
	day, clock := apart(local.Format(w.one("2006-01-02", "2006-01-02", "2006/1/2"))), w.clock(local, zone)
	if !w.traits["half of the day"] && w.IntN(2) == 0 {
		day.text += "T" + clock[0].text
		clock = clock[1:]
	}
	return append([]piece{day}, clock...)
}

// writtenDates is the corpus of the tests below, the same in each run.
func writtenDates() []writtenDate {
	w := dateWriter{newWriter(1)}
	return corpus(6000, w.write)
}

// TestDatesMeanWhatWasWritten: the writer knows the time of each.
func TestDatesMeanWhatWasWritten(t *testing.T) {
	seen := map[string]int{}
	for _, d := range writtenDates() {
		if got, ok := parseDate(d.text); !ok || !got.Equal(d.at) {
			t.Errorf("%s, %q: got %s, %t, want %s", d.form, d.text, got.Format(time.RFC3339), ok, d.at.Format(time.RFC3339))
		}
		seen[d.form]++
		seen["zone "+d.zone]++
		for trait := range d.traits {
			seen[trait]++
		}
	}
	for what, count := range seen {
		if count < 10 {
			t.Errorf("only %d dates of %s", count, what)
		}
	}
}

// TestDatesAreThoseOfNetMail compares with the dates that net/mail accepts.
func TestDatesAreThoseOfNetMail(t *testing.T) {
	known := comparison[writtenDate, time.Time]{rules: []difference[writtenDate, time.Time]{
		{"net/mail takes a zone that has a name for UTC", func(d writtenDate) bool {
			return !d.at.Equal(d.local) && (d.zone == "+05" || strings.HasPrefix(d.zone, "GMT") || strings.Trim(d.zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZ ") == "")
		}, func(d writtenDate, _ time.Time) time.Time { return d.local }},
		{"net/mail takes 60 minutes and 24 hours for an offset", func(d writtenDate) bool { return d.zone == "-1460" || d.zone == "+2400" },
			func(d writtenDate, _ time.Time) time.Time {
				return d.local.Add(map[string]time.Duration{"-1460": 15, "+2400": -24}[d.zone] * time.Hour)
			}},
		{"net/mail takes the years 50 to 68 for those of this century", laterCentury,
			func(d writtenDate, at time.Time) time.Time { return at.Add(d.local.AddDate(100, 0, 0).Sub(d.local)) }},
	}}
	for _, d := range writtenDates() {
		answer, err := mail.ParseDate(d.text)
		if err != nil {
			continue
		}
		if want, ok := known.expect(d, d.at); ok && !want.Equal(answer.Truncate(time.Second)) {
			t.Errorf("%q: net/mail has %s, want %s", d.text, answer.Format(time.RFC3339), want.Format(time.RFC3339))
		}
	}
	known.check(t, 300)
}

// laterCentury tells whether others take the two digits of a year for one of this century.
func laterCentury(d writtenDate) bool { return d.traits["two digits"] && d.local.Year() <= 1968 }

// pythonDate has year, month, day, hour, minute, second, three numbers that Python does not compute, and the offset of the zone in seconds.
type pythonDate [10]int

// pythonZones are the names that Python knows.
var pythonZones = []string{"UT", "UTC", "GMT", "Z", "AST", "ADT", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"}

// pythonOffset sets the offset of a zone in minutes.
func pythonOffset(p pythonDate, minutes int) pythonDate {
	p[9] = 60 * minutes
	return p
}

var signedNumber = regexp.MustCompile(`^[+-]\d+$`)

var pythonDates = []difference[writtenDate, pythonDate]{
	{"Python has the second 60", func(d writtenDate) bool { return d.traits["60"] }, func(_ writtenDate, p pythonDate) pythonDate {
		p[5] = 60
		return p
	}},
	{"Python takes three digits for a year of the first centuries", func(d writtenDate) bool { return d.traits["three digits"] }, func(_ writtenDate, p pythonDate) pythonDate {
		p[0] -= 1900
		return p
	}},
	{"Python takes the years 50 to 68 for those of this century", laterCentury, func(_ writtenDate, p pythonDate) pythonDate {
		p[0] += 100
		return p
	}},
	{"Python knows no names of zones but those of North America", func(d writtenDate) bool {
		return writtenZones[d.zone] != 0 && d.zone != "EST -0500" && !signedNumber.MatchString(d.zone) && !slices.Contains(pythonZones, d.zone)
	}, func(_ writtenDate, p pythonDate) pythonDate { return pythonOffset(p, 0) }},
	{"Python takes hours alone for minutes", func(d writtenDate) bool {
		return signedNumber.MatchString(d.zone) && len(d.zone) < 4
	}, func(d writtenDate, p pythonDate) pythonDate { return pythonOffset(p, writtenZones[d.zone]/60) }},
	{"Python takes offsets of any number of hours and minutes", func(d writtenDate) bool {
		return d.zone == "+9900" || d.zone == "-1460" || d.zone == "+2400"
	}, func(d writtenDate, p pythonDate) pythonDate {
		return pythonOffset(p, map[string]int{"+9900": 99 * 60, "-1460": -15 * 60, "+2400": 24 * 60}[d.zone])
	}},
	{"Python leaves out the half of the day, and the zone behind it", func(d writtenDate) bool { return d.traits["half of the day"] }, func(_ writtenDate, p pythonDate) pythonDate {
		if p[3] %= 12; p[3] == 0 {
			p[3] = 12
		}
		return pythonOffset(p, 0)
	}},
}

// TestDatesAreThoseOfPython compares with email.utils of Python.
func TestDatesAreThoseOfPython(t *testing.T) {
	const program = `
from email.utils import parsedate_tz
def answer(text):
    return parsedate_tz(text)
`
	known := comparison[writtenDate, pythonDate]{
		beyond: map[string]func(writtenDate) bool{
			"Python has no comments but at the end": func(d writtenDate) bool { return d.traits["comments"] },
			"Python has one word between time and year": func(d writtenDate) bool {
				return d.form == "asctime" && !d.traits["zone behind the year"] && (strings.Contains(d.zone, " ") || d.traits["half of the day"])
			},
		},
		rules: pythonDates,
	}
	known.withPython(t, program, writtenDates(), func(d writtenDate) string { return d.text }, func(d writtenDate) pythonDate {
		l := d.local
		return pythonDate{l.Year(), int(l.Month()), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, 1, -1, int(l.Sub(d.at) / time.Second)}
	})
	known.check(t, 2000)
}

// FuzzDate changes dates, and puts white space, comments and letters of the other case into them.
func FuzzDate(f *testing.F) {
	for _, d := range writtenDates()[:300] {
		f.Add(d.text, uint64(1))
	}
	f.Add(strings.Repeat("(", 1<<20), uint64(2))
	f.Add(strings.Repeat(`(\`, 1<<19)+" 22 Aug 2024 13:17:22", uint64(3))
	f.Add("31 Dec 9999 23:59:59 -1200", uint64(4))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		began := time.Now()
		at, ok := parseDate(text)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d bytes take %s", len(text), took)
		}
		if ok && (at.Year() < 0 || at.Year() > 9999 || at.Location() != time.UTC || at.Nanosecond() != 0) {
			t.Errorf("%q: got %s", text, at)
		}
		if len(text) > maxDate || strings.ContainsAny(text, `()\`) {
			return // another comment could end or begin one
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for _, other := range []string{strings.ToUpper(text), strings.ToLower(text), spread(random, text)} {
			if got, found := parseDate(other); isASCII(text) && (found != ok || !got.Equal(at)) {
				t.Errorf("%q: got %s, %t, and of %q %s, %t", text, at, ok, other, got, found)
			}
		}
	})
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf || r == 0xfffd }) < 0
}

// spread puts white space and comments where there is white space, and around colons.
func spread(random *rand.Rand, text string) string {
	var out strings.Builder
	for i, c := range []byte(text) {
		gap := []string{" ", "\t", "\r\n ", "(c)", " (a (b) c) ", `(\))`, "(1 Jan 1999 00:00:00)"}[random.IntN(7)]
		switch {
		case unicode.IsSpace(rune(c)):
			out.WriteString(gap)
		case c == ':' && i > 0 && i+1 < len(text) && isDigit(text[i-1]) && isDigit(text[i+1]):
			out.WriteString(gap + ":" + gap)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
