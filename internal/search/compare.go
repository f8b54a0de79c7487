package search

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/moment"
	"github.com/applylens/applylens/internal/tokenize"
)

// minPrefix is how much of a word must stand before a star, so that it does not stand for half the language.
const minPrefix = 2

// plain returns the text of a token without the star that may end it, and refuses what Lucene would take for more.
func (p *parser) plain(t token) (text string, prefix bool, err error) {
	chars := t.chars
	last := len(chars) - 1
	if last > 1 && chars[0] == (char{'/', false}) && chars[last] == chars[0] {
		return "", false, p.fault(t, "There are no regular expressions: put the text in quotes to search for it as it is.")
	}
	for i, c := range chars {
		after := i > 0 && inWord(chars[i-1].r)
		before := i < last && inWord(chars[i+1].r)
		switch {
		case c == char{'*', false} && i == last && i > 0:
			prefix, chars = true, chars[:last]
		case c == char{'*', false} && (after || before), c == char{'?', false} && before:
			return "", false, p.fault(t, "A * may stand at the end of a word only, and there is no other wildcard: put the text in quotes to search for it as it is.")
		case (c == char{'~', false} || c == char{'^', false}) && after:
			return "", false, p.fault(t, "There is neither ~ (similar words) nor ^ (weight): put the text in quotes to search for it as it is.")
		}
	}
	if t.chars = chars; prefix && len(chars) < minPrefix {
		return "", false, p.fault(t, fmt.Sprintf("At least %d characters stand before the *.", minPrefix))
	}
	return t.text(), prefix, nil
}

// wordsOf returns the words of a text, of which there must be one, and the last long enough before a star.
func (p *parser) wordsOf(t token, text string, prefix bool) ([]string, error) {
	list := tokenize.Split(text)
	if len(list) == 0 {
		return nil, p.fault(t, "Here are no words to search for: words have letters or digits.")
	}
	end, _ := utf8.DecodeLastRuneInString(text)
	if prefix && (!inWord(end) || utf8.RuneCountInString(list[len(list)-1]) < minPrefix) {
		return nil, p.fault(t, fmt.Sprintf("At least %d characters of a word stand before the *.", minPrefix))
	}
	return list, nil
}

func (p *parser) phrase(c column, t token, text string, prefix bool) (Node, error) {
	list, err := p.wordsOf(t, text, prefix)
	if err != nil {
		return nil, err
	}
	if c.kind == freeKind {
		return anywhere(list, prefix), nil
	}
	return Phrase{c.field, list, prefix}, nil
}

// anywhere looks for words where those that name no field are looked for.
func anywhere(list []string, prefix bool) Node {
	return Or{Phrase{Subject, list, prefix}, Phrase{Body, list, prefix}}
}

// Named returns what holds for mails whose subject or body has the words of a text next to each other; false when the
// text has no words.
func Named(text string) (Node, bool) {
	list := tokenize.Split(text)
	if len(list) == 0 {
		return nil, false
	}
	return anywhere(list, false), true
}

// person compares with the whole address when the text looks like one, and else with each word.
func (p *parser) person(c column, t token, text string, prefix bool) (Node, error) {
	if strings.HasPrefix(text, "*") || strings.HasPrefix(text, "@") {
		return nil, p.fault(t, "An address is compared as a whole, or with a * at its end: for everybody at a domain, use sender_domain:example.com.")
	}
	if strings.Contains(text, "@") {
		return p.value(c, t, domain.Address(text), prefix)
	}
	list, err := p.wordsOf(t, text, prefix)
	if err != nil {
		return nil, err
	}
	all := make(And, len(list))
	for i, word := range list {
		all[i] = Phrase{c.field, []string{word}, prefix && i == len(list)-1}
	}
	return all, nil
}

func (p *parser) value(c column, t token, text string, prefix bool) (Node, error) {
	if text == "" {
		return nil, p.fault(t, fmt.Sprintf("The value is empty: to find mail without this field, use NOT %s:*.", c.field))
	}
	if c.field == SenderDomain {
		if strings.HasPrefix(text, "*") {
			return nil, p.fault(t, "A sender's domain is the registrable one, such as example.com, and compared as a whole, or with a * at its end.")
		}
		if prefix {
			text = text[strings.LastIndexByte(text, '@')+1:]
		} else {
			text = domain.Of(text)
		}
	}
	return Value{c.field, tokenize.Lower(text), prefix}, nil
}

func (p *parser) identity(c column, t token) (Node, error) {
	id, err := events.ParseUUID(t.text())
	if err != nil {
		return nil, p.fault(t, "An id is a UUID such as 0199c0de-0000-7000-8000-000000000000.")
	}
	return Value{Field: c.field, Text: id.String()}, nil
}

// comparisons are the signs before a number or a time; longer ones come first.
var comparisons = []string{">=", "<=", ">", "<"}

// measured reads a number or a time, alone or behind a sign.
func (p *parser) measured(c column, t token) (Node, error) {
	text, sign := t.text(), ""
	for _, s := range comparisons {
		if strings.HasPrefix(text, s) {
			text, sign = text[len(s):], s
			break
		}
	}
	var low, high *limit
	var err error
	if sign == "" || sign[0] == '>' {
		low, err = p.limit(c, t, text, sign == ">")
	}
	if err == nil && (sign == "" || sign[0] == '<') {
		high, err = p.limit(c, t, text, sign == "<")
	}
	if err != nil {
		return nil, err
	}
	return bounded(c, low, high), nil
}

// between reads a range behind its opening bracket.
func (p *parser) between(c column) (Node, error) {
	open := p.token
	if !c.ordered() {
		return nil, p.fault(open, fmt.Sprintf("Ranges are for numbers and times; %s is a text.", c.field))
	}
	low, err := p.limitOf(c, p.text[open.start] == '{')
	if err != nil {
		return nil, err
	}
	to, err := p.endpoint()
	if err != nil {
		return nil, err
	}
	if to.text() != "TO" {
		return nil, p.fault(to, "Here TO is expected: [a TO b].")
	}
	at := p.at
	high, err := p.limitOf(c, false)
	if err != nil {
		return nil, err
	}
	if p.skipSpaces(); p.at == len(p.text) || p.text[p.at] != ']' && p.text[p.at] != '}' {
		open.stop = at
		return nil, p.fault(open, "This range is never closed by ] or }.")
	}
	if high != nil {
		high.excluded = p.text[p.at] == '}'
	}
	p.at++
	if open.stop = p.at; low != nil && high != nil && low.after(high) {
		return nil, p.fault(open, "This range ends before it begins: the lower end comes first.")
	}
	if low == nil && high == nil {
		return exists(c), nil
	}
	return bounded(c, low, high), nil
}

// limit is one end of a comparison, as a number or as a period.
type limit struct {
	number   float64
	period   moment.Period
	excluded bool
}

// after tells whether one end lies after another, as far as that does not depend on when it is now.
func (l *limit) after(other *limit) bool {
	if l.number != other.number {
		return l.number > other.number
	}
	return l.period.After(other.period)
}

// limitOf reads one end of a range; a star is none.
func (p *parser) limitOf(c column, excluded bool) (*limit, error) {
	t, err := p.endpoint()
	if err != nil || isStar(t) {
		return nil, err
	}
	return p.limit(c, t, t.text(), excluded)
}

var decimal = regexp.MustCompile(`^-?[0-9]{1,15}(?:\.[0-9]{1,15})?$`)

func (p *parser) limit(c column, t token, text string, excluded bool) (*limit, error) {
	if c.kind == timeKind {
		period, err := moment.Parse(text)
		switch {
		case errors.Is(err, moment.ErrFar):
			return nil, p.fault(t, "A relative time lies at most 100 years from now.")
		case err != nil:
			return nil, p.fault(t, "Here a time is expected: a date such as 2026-01-31, RFC 3339 such as 2026-01-31T09:00:00Z, or relative such as now-7d or now/d.")
		}
		return &limit{period: period, excluded: excluded}, nil
	}
	if !decimal.MatchString(text) {
		return nil, p.fault(t, "Here a number is expected, such as 80 or 0.6.")
	}
	number, _ := strconv.ParseFloat(text, 64) // the expression takes nothing that it refuses
	if c.kind == ageKind && (number < -maxDays || number > maxDays) {
		return nil, p.fault(t, "An age is at most 36500 days.")
	}
	return &limit{number: number, excluded: excluded}, nil
}

// maxDays is a hundred years.
const maxDays = 36500

// bounded makes the comparison; one of the limits is there.
func bounded(c column, low, high *limit) Node {
	switch c.kind {
	case timeKind:
		return during{c.field, low.end(), high.end()}
	case ageKind:
		return aged{c.field, low.count(), high.count()}
	}
	return Between[float64]{c.field, low.count(), high.count()}
}

func (l *limit) end() *end {
	if l == nil {
		return nil
	}
	return &end{l.period, l.excluded}
}

func (l *limit) count() *Limit[float64] {
	if l == nil {
		return nil
	}
	return &Limit[float64]{l.number, l.excluded}
}
