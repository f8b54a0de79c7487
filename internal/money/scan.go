package money

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// sum is an amount in a text.
type sum struct {
	start, end int // of the number with its currency, in bytes
	sign       string
	sure       bool   // the currency is written with it, and means nothing else
	number     number // without its sign
	minus      bool
	decimal    string // resolved; "" is no amount
	code       string
}

// The limits of a search for amounts: the bytes of a text that are looked at, its beginning and its end, and the amounts of it.
const (
	maxScanned = 48 << 10
	maxTail    = 8 << 10
	maxSums    = 160
)

// maxGap is how many spaces may stand between a number and a sign; a code may stand further away, as in columns.
const (
	maxGap     = 2
	maxCodeGap = 24
)

// scan returns the amounts of a text in order, with signs that are not resolved yet.
func scan(text string) []sum {
	var sums []sum
	used := 0 // what stands before it belongs to an earlier amount
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		n := numberAt(text, i)
		i = n.end
		if !standsAlone(text, n) {
			i = skipToken(text, n.end)
			continue
		}
		s, found := withCurrency(text, n, used)
		if !found {
			continue
		}
		if multiplied(text[s.end:]) {
			used, i = s.end, s.end
			continue
		}
		sums = append(sums, s)
		used, i = s.end, s.end
		if len(sums) == maxSums {
			break
		}
	}
	return sums
}

// skipToken returns the end of the word that a number is only part of.
func skipToken(text string, at int) int {
	for at < len(text) && (isDigit(text[at]) || isLetter(text[at]) || strings.IndexByte("-/:.@_", text[at]) >= 0) {
		at++
	}
	return at
}

// standsAlone tells whether a number is no part of a date, a time, a name or an address.
func standsAlone(text string, n number) bool {
	if n.start > 0 {
		switch before := text[n.start-1]; {
		case before == '#', before == '@', before == '_', before == '+', before == '&', before == '*', before == '=':
			return false
		case before == '/' || before == ':' || before == '.' || before == ',':
			if n.start > 1 && isDigit(text[n.start-2]) {
				return false
			}
		case before == '-':
			if n.start > 1 && (isDigit(text[n.start-2]) || isLetter(text[n.start-2])) {
				return false
			}
		}
	}
	if n.end < len(text) {
		switch after := text[n.end]; {
		case after == '%' || after == '@' || after == '_':
			return false
		case after == '/' || after == ':' || after == '-':
			if n.end+1 < len(text) && isDigit(text[n.end+1]) && after != '-' {
				return false
			}
			if after == '-' && n.end+1 < len(text) && (isDigit(text[n.end+1]) || isLetter(text[n.end+1])) && n.plain {
				return false
			}
		}
	}
	return true
}

// withCurrency returns the amount of a number with the currency that stands before or behind it. What ends at or before used
// belongs to another amount.
func withCurrency(text string, n number, used int) (sum, bool) {
	s := sum{start: n.start, end: n.end, number: n}
	bare := strings.TrimSuffix(dash(text[n.end:]), " ")
	s.end += len(bare)
	before, from, near, sure := signBefore(text, n, used)
	after, to, adjacent, sureAfter := signAfter(text, s.end, n)
	if after != unknown && belongsToNext(text, to, n, adjacent, before, after) {
		after = unknown
	}
	if before == unknown && n.start > 0 && (isLetter(text[n.start-1]) || text[n.start-1] >= utf8.RuneSelf && endsInLetter(text[:n.start])) {
		return s, false // part of a name
	}
	switch {
	case before == unknown && after == unknown:
		return s, false
	case before == unknown:
		s.sign, s.end, s.sure = after, to, sureAfter
	case after == unknown || before != after && !clarifies(after, before):
		if before != unknown && after != unknown && !near && adjacent {
			s.sign, s.end, s.sure = after, to, sureAfter
			break
		}
		s.sign, s.start, s.sure = before, from, sure
	default: // both, as in "$5.00 USD"
		s.start, s.end, s.sure = from, to, true
		if s.sign = before; len(after) == 3 && isUpper(after[0]) {
			s.sign = after
		}
	}
	if !s.sure && n.plain {
		return s, false
	}
	s.minus = minusBefore(text, &s, used)
	return s, true
}

// clarifies tells whether a code behind a number is of the sign before it.
func clarifies(code, sign string) bool {
	switch sign {
	case dollar:
		return strings.HasSuffix(code, "D") || code == "MXN" || code == "ARS" || code == "CLP" || code == "COP" || code == "UYU" || code == "BRL"
	case crown:
		return code == "SEK" || code == "NOK" || code == "DKK" || code == "ISK"
	case rupee:
		return code == "INR" || code == "PKR" || code == "LKR" || code == "NPR"
	case yen:
		return code == "JPY" || code == "CNY"
	}
	return false
}

// dash returns what stands for no decimals: ",-" or ".–".
func dash(rest string) string {
	for _, form := range []string{",--", ",-", ".-", ",–", ".–", ".—", ",—"} {
		if strings.HasPrefix(rest, form) {
			return form
		}
	}
	return ""
}

// signBefore returns the sign or code before a number and where it begins; near is whether nothing stands between.
func signBefore(text string, n number, used int) (sign string, from int, near, sure bool) {
	end := n.start
	if minus := minusLength(text[used:end]); minus > 0 { // "$-5"
		end -= minus
	}
	gap := 0
	for end > used && gap < maxCodeGap {
		size := spaceBefore(text[used:end])
		if size == 0 && gap < maxCodeGap-2 && end-1 > used && (text[end-1] == ':' || text[end-1] == ')') && codeEndsAt(text[used:end]) {
			size, gap = 1, max(gap, maxGap) // "(EUR): 5.00"
		}
		if size == 0 {
			break
		}
		end -= size
		gap++
	}
	if end <= used {
		return unknown, 0, false, false
	}
	for _, s := range signs {
		if gap <= maxGap && strings.HasSuffix(text[used:end], s.text) {
			from = end - len(s.text)
			if s.code != dollar {
				return s.code, from, gap == 0, true
			}
			word := wordBefore(text[used:from])
			if code, known := dollars[word]; known {
				return code, from - len(word), gap == 0, true
			}
			return dollar, from, gap == 0, true
		}
	}
	word := wordBefore(text[used:end])
	if word == "S/" && gap <= maxGap {
		return "PEN", end - 2, gap == 0, true
	}
	code, sure, found := codeOf(word)
	if !found || gap > maxGap && (n.plain || len(word) < 3) {
		return unknown, 0, false, false
	}
	return code, end - len(word), gap == 0, sure
}

// codeEndsAt tells whether a code stands right before a closing bracket or colon.
func codeEndsAt(text string) bool {
	text = strings.TrimRight(text, ":) ")
	word := wordBefore(text)
	_, _, found := codeOf(word)
	return found && len(word) == 3
}

// wordBefore returns the letters at the end of a text, with a point behind them, if no letter or digit stands before it.
func wordBefore(text string) string {
	end := len(text)
	from := end
	if strings.HasSuffix(text, "S/") {
		from = end - 2
	} else {
		if from > 0 && text[from-1] == '.' {
			from--
		}
		for from > 0 && end-from < 8 {
			r, size := utf8.DecodeLastRuneInString(text[:from])
			if !unicode.IsLetter(r) && (r != '.' || from == end) {
				break
			}
			from -= size
		}
	}
	if from > 0 {
		if r, _ := utf8.DecodeLastRuneInString(text[:from]); unicode.IsLetter(r) || unicode.IsDigit(r) {
			return ""
		}
	}
	return text[from:end]
}

// signAfter returns the sign or code behind a number and where it ends; adjacent is whether nothing stands between.
func signAfter(text string, at int, n number) (sign string, to int, adjacent, sure bool) {
	from := at
	for gap := 0; at < len(text) && gap < maxGap; gap++ {
		size := spaceAt(text[at:])
		if size == 0 {
			break
		}
		at += size
	}
	rest := text[at:]
	for _, s := range signs {
		if strings.HasPrefix(rest, s.text) {
			return s.code, at + len(s.text), at == from, true
		}
	}
	end := 0
	for end < len(rest) && end < 8 {
		r, size := utf8.DecodeRuneInString(rest[end:])
		if !unicode.IsLetter(r) {
			break
		}
		end += size
	}
	word := rest[:end]
	if end < len(rest) && (isDigit(rest[end]) || rest[end] == '$' && word != "USD" && word != "CAD") {
		return unknown, 0, false, false
	}
	if word == "R" || word == "Fr" || word == "KR" {
		return unknown, 0, false, false // these stand before numbers
	}
	code, sure, found := codeOf(word)
	if !found {
		return unknown, 0, false, false
	}
	return code, at + end, at == from, sure
}

// belongsToNext tells whether a sign behind a number is that of the next number: it stands right before one, or at the same distance
// from one with decimals while the first has none. A number that has a sign before it has another one only for clarity.
func belongsToNext(text string, to int, n number, adjacent bool, before, after string) bool {
	at, gap := to, 0
	for at < len(text) && gap < maxGap {
		size := spaceAt(text[at:])
		if size == 0 {
			break
		}
		at += size
		gap++
	}
	if at >= len(text) || !isDigit(text[at]) {
		return false
	}
	if before != unknown {
		return !clarifies(after, before)
	}
	if adjacent {
		return false
	}
	next := numberAt(text, at)
	if sign, _, _, _ := signAfter(text, next.end, next); sign != unknown && gap > 0 {
		return false
	}
	return gap == 0 || n.plain && !next.plain
}

func endsInLetter(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(text)
	return unicode.IsLetter(r)
}

func spaceBefore(text string) int {
	switch {
	case strings.HasSuffix(text, " "), strings.HasSuffix(text, "\t"):
		return 1
	case strings.HasSuffix(text, "\u00a0"):
		return 2
	case strings.HasSuffix(text, "\u202f"), strings.HasSuffix(text, "\u2009"):
		return 3
	}
	return 0
}

func spaceAt(text string) int {
	switch {
	case text == "":
		return 0
	case text[0] == ' ' || text[0] == '\t':
		return 1
	case strings.HasPrefix(text, "\u00a0"):
		return 2
	case strings.HasPrefix(text, "\u202f"), strings.HasPrefix(text, "\u2009"):
		return 3
	}
	return 0
}

// minusLength returns the size of the minus at the end of a text.
func minusLength(text string) int {
	switch {
	case strings.HasSuffix(text, "-"):
		return 1
	case strings.HasSuffix(text, "\u2212"), strings.HasSuffix(text, "\u2013"):
		return 3
	}
	return 0
}

// minusBefore tells whether an amount is negative: a minus stands before its number or its sign, and does not join it to something before.
func minusBefore(text string, s *sum, used int) bool {
	for _, at := range []int{s.number.start, s.start} {
		size := minusLength(text[used:at])
		if size == 0 {
			continue
		}
		start := at - size
		if start == 0 || text[start-1] == '\n' || text[start-1] == ' ' || text[start-1] == '\t' || text[start-1] == ':' || text[start-1] == '(' || at != s.start {
			return used == 0 || start-used > 2 || strings.Contains(text[used:start], "\n")
		}
		if spaceBefore(text[:start]) > 0 {
			return true
		}
	}
	return false
}

// magnitudes are what stands behind numbers that are larger than they look, and of which no receipt is.
var magnitudes = []string{"million", "billion", "trillion", "thousand", "bn", "mn", "mio", "mrd", "milliard", "millionen", "milliarden", "millones", "mil millones", "milioni", "miliardi", "miljoen", "miljard", "milhões", "bilhões",
	"miljoner", "millioner", "crore", "lakh", "k", "m", "b", "tsd", "tn"}

// multiplied tells whether a magnitude follows an amount.
func multiplied(rest string) bool {
	if rest == "" {
		return false
	}
	trimmed := strings.TrimLeft(rest[:min(len(rest), 16)], " \u00a0")
	spaced := len(trimmed) < min(len(rest), 16)
	for _, m := range magnitudes {
		if len(trimmed) < len(m) || !strings.EqualFold(trimmed[:len(m)], m) {
			continue
		}
		if len(m) == 1 && spaced && m != "m" {
			continue
		}
		after, _ := utf8.DecodeRuneInString(trimmed[len(m):])
		if !unicode.IsLetter(after) && !unicode.IsDigit(after) && (len(m) > 1 || !spaced) {
			return true
		}
	}
	return false
}

// resolve gives each amount its currency and its decimal, and leaves out what is none.
func (r region) resolveAll(sums []sum) []sum {
	kept := sums[:0]
	meant := map[string]string{}
	for _, s := range sums {
		code, known := meant[s.sign]
		if !known {
			code = r.resolve(s.sign)
			meant[s.sign] = code
		}
		if code == unknown {
			continue
		}
		if s.decimal, s.code = s.number.parse(code), code; s.decimal != "" {
			kept = append(kept, s)
		}
	}
	return kept
}
