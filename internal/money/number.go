package money

import "strings"

// number is a number as it stands in a text.
type number struct {
	start, end int    // in bytes
	text       string // the token with its separators
	plain      bool   // neither decimals nor separators
}

// maxToken bounds the bytes of a number, maxWhole the digits before its decimals.
const (
	maxToken = 40
	maxWhole = 12
)

// separatorAt returns the size of the separator of digits that begins at i, 0 for none.
func separatorAt(text string, i int) int {
	switch text[i] {
	case '.', ',', '\'', ' ':
		return 1
	case 0xc2: // no-break space
		if strings.HasPrefix(text[i:], "\u00a0") {
			return 2
		}
	case 0xe2: // apostrophe, narrow and thin space
		if rest := text[i:]; strings.HasPrefix(rest, "\u2019") || strings.HasPrefix(rest, "\u202f") || strings.HasPrefix(rest, "\u2009") {
			return 3
		}
	}
	return 0
}

func isDigit(b byte) bool  { return b >= '0' && b <= '9' }
func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// digitsFrom counts the digits at i.
func digitsFrom(text string, i int) int {
	n := 0
	for i+n < len(text) && isDigit(text[i+n]) {
		n++
	}
	return n
}

// numberAt reads the number whose first digit is at start. A space is part of it only between a group of digits and one of
// exactly three.
func numberAt(text string, start int) number {
	end := start + digitsFrom(text, start)
	first := end - start
	groups := 0
	for end < len(text) && end-start < maxToken {
		size := separatorAt(text, end)
		if size == 0 || end+size >= len(text) || !isDigit(text[end+size]) {
			break
		}
		next := digitsFrom(text, end+size)
		if isSpace := text[end] == ' ' || size > 1 && text[end:end+size] != "\u2019"; isSpace {
			afterDecimals := strings.ContainsAny(text[start:end], ".,")
			if next != 3 || first > 3 || afterDecimals {
				break
			}
		}
		end += size + next
		groups++
	}
	return number{start, end, text[start:end], groups == 0}
}

// parse returns the decimal of a number in a currency, or "" if it is no amount.
func (n number) parse(code string) string {
	marks, whole := n.separators()
	if whole == "" {
		return ""
	}
	fraction := ""
	groups := marks
	if i := len(marks) - 1; i >= 0 && n.decimalsAt(marks, code) {
		fraction, groups = n.text[marks[i].end:], marks[:i]
	}
	if !n.grouped(groups, len(groups) < len(marks)) {
		return ""
	}
	return checked(whole[:len(whole)-len(fraction)], fraction, code)
}

// decimalsAt tells whether decimals follow the last separator: a point or comma that stands nowhere else in the number, with one or two
// digits behind it. Three digits are a group, unless the currency has three decimals.
func (n number) decimalsAt(marks []mark, code string) bool {
	last := marks[len(marks)-1]
	if last.kind != '.' && last.kind != ',' || count(marks, last.kind) > 1 {
		return false
	}
	switch behind := len(n.text) - last.end; behind {
	case 1, 2:
		return true
	case 3:
		return digits(code) == 3 && (last.kind == '.' || len(marks) > 1 || code == "TND")
	}
	return false
}

// mark is a separator within a number.
type mark struct {
	kind       byte // its first byte; an apostrophe of any form is '\''
	start, end int
}

// separators returns the separators of the number, and its digits.
func (n number) separators() (marks []mark, digits string) {
	var all [maxToken]byte
	count := 0
	for i := 0; i < len(n.text); {
		if isDigit(n.text[i]) {
			if count == len(all) {
				return marks, ""
			}
			all[count] = n.text[i]
			count++
			i++
			continue
		}
		size, kind := separatorAt(n.text, i), n.text[i]
		if size > 1 {
			kind = ' '
			if n.text[i:i+size] == "\u2019" {
				kind = '\''
			}
		}
		if size == 0 {
			return marks, ""
		}
		marks = append(marks, mark{kind, i, i + size})
		i += size
	}
	return marks, string(all[:count])
}

func count(marks []mark, kind byte) (n int) {
	for _, m := range marks {
		if m.kind == kind {
			n++
		}
	}
	return n
}

// grouped tells whether separators divide the digits before the decimals as people do: into groups of three, or in India of two but for the
// last.
func (n number) grouped(groups []mark, decimals bool) bool {
	if len(groups) == 0 {
		return true
	}
	if count(groups, groups[0].kind) != len(groups) || groups[0].start > 3 || n.text[0] == '0' {
		return false
	}
	end := len(n.text)
	if decimals {
		marks, _ := n.separators()
		end = marks[len(marks)-1].start
	}
	three, indian := true, groups[0].kind == ',' && groups[0].start <= 2
	for i, g := range groups {
		next := end
		if i+1 < len(groups) {
			next = groups[i+1].start
		}
		size, last := next-g.end, i+1 == len(groups)
		three = three && size == 3
		indian = indian && (last && size == 3 || !last && size == 2)
	}
	return three || indian
}

// checked joins the digits of an amount, or returns "" for one that nobody pays.
func checked(whole, fraction, code string) string {
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole) > maxWhole {
		return ""
	}
	if digits(code) == 0 && strings.Trim(fraction, "0") == "" {
		return whole
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
