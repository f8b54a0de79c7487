package search

import (
	"slices"
	"unicode"
)

// tokenKind is what a token is to the grammar.
type tokenKind uint8

const (
	endToken   tokenKind = iota
	openToken            // (
	closeToken           // )
	andToken             // AND, &&
	orToken              // OR, ||
	notToken             // NOT, -, !
	plusToken            // +
	nameToken            // a field's name with the colon behind it
	bareToken            // anything without spaces
	quoteToken           // anything between quotes
	rangeToken           // the bracket that opens a range
)

// token is a piece of the query: the characters from start to stop.
type token struct {
	kind        tokenKind
	start, stop int
	chars       []char // what a bare or quoted one says
}

// char is a character of a token's content; a literal one stood behind a backslash or between quotes and has no meaning
// of its own.
type char struct {
	r       rune
	literal bool
}

func (t *token) text() string {
	text := make([]rune, len(t.chars))
	for i, c := range t.chars {
		text[i] = c.r
	}
	return string(text)
}

// escaped tells whether any character is literal.
func (t *token) escaped() bool {
	return slices.ContainsFunc(t.chars, func(c char) bool { return c.literal })
}

// scanner cuts a query into tokens. Runs of punctuation alone are passed over, as between the words of any text.
type scanner struct {
	text []rune
	at   int
}

// scan returns the next token. In a value, nothing but quotes and brackets has a meaning of its own; brackets tells
// whether a range may begin here.
func (s *scanner) scan(value, brackets bool) (token, error) {
	for {
		s.skipSpaces()
		start := s.at
		if start == len(s.text) {
			return token{kind: endToken, start: start, stop: start}, nil
		}
		r := s.text[start]
		switch {
		case r == '(':
			return s.take(openToken, 1), nil
		case r == ')':
			return s.take(closeToken, 1), nil
		case isQuote(r):
			return s.quoted()
		case brackets && (r == '[' || r == '{'):
			return s.take(rangeToken, 1), nil
		case value:
			return s.bare(true), nil
		}
		if t, ok := s.operator(); ok {
			return t, nil
		}
		if t := s.bare(false); t.kind != bareToken || t.meaningful() {
			return t, nil
		}
	}
}

func (s *scanner) skipSpaces() {
	for s.at < len(s.text) && unicode.IsSpace(s.text[s.at]) {
		s.at++
	}
}

func (s *scanner) take(kind tokenKind, length int) token {
	s.at += length
	return token{kind: kind, start: s.at - length, stop: s.at}
}

// operator takes an operator that is written in signs. One that stands alone between spaces is punctuation, but for &&
// and ||.
func (s *scanner) operator() (token, bool) {
	if s.double('&') {
		return s.take(andToken, 2), true
	}
	if s.double('|') {
		return s.take(orToken, 2), true
	}
	signs := s.at
	for signs < len(s.text) && isSign(s.text[signs]) {
		signs++
	}
	if signs == s.at || signs == len(s.text) || unicode.IsSpace(s.text[signs]) || s.text[signs] == ')' {
		return token{}, false
	}
	if s.text[s.at] == '+' {
		return s.take(plusToken, 1), true
	}
	return s.take(notToken, 1), true
}

// negated takes the sign before a value, as in "subject:-word", and tells whether there is one. Numbers have signs of their own.
func (s *scanner) negated(c column) bool {
	s.skipSpaces()
	if s.at+1 >= len(s.text) || s.text[s.at] != '!' && (s.text[s.at] != '-' || c.ordered()) {
		return false
	}
	if next := s.text[s.at+1]; unicode.IsSpace(next) || next == ')' || isSign(next) {
		return false
	}
	s.at++
	return true
}

func isSign(r rune) bool { return r == '-' || r == '+' || r == '!' }

// double tells whether the next two characters are r.
func (s *scanner) double(r rune) bool {
	return s.at+1 < len(s.text) && s.text[s.at] == r && s.text[s.at+1] == r
}

// bare takes characters up to a space, a parenthesis, a quote or a double operator; or, unless it is a value, up to the
// colon behind what may be a field's name.
func (s *scanner) bare(value bool) token {
	t := token{kind: bareToken, start: s.at}
	for s.at < len(s.text) && !s.stops() {
		r := s.text[s.at]
		if r == ':' && !value && isName(t.chars) {
			s.at++
			t.kind = nameToken
			break
		}
		if r == '\\' && s.at+1 < len(s.text) {
			s.at++
			t.chars = append(t.chars, char{s.text[s.at], true})
		} else {
			t.chars = append(t.chars, char{r, false})
		}
		s.at++
	}
	t.stop = s.at
	if t.kind == bareToken && !value {
		t.kind = t.word()
	}
	return t
}

func (s *scanner) stops() bool {
	r := s.text[s.at]
	return unicode.IsSpace(r) || r == '(' || r == ')' || isQuote(r) || s.double('&') || s.double('|')
}

// isQuote tells whether a character begins or ends a phrase: as typed, or as programs replace what is typed.
func isQuote(r rune) bool { return r == '"' || r == '“' || r == '”' || r == '„' || r == '‟' }

// isName tells whether characters look like the name of a field.
func isName(chars []char) bool {
	return len(chars) > 0 && !slices.ContainsFunc(chars, func(c char) bool {
		return c.literal || !(c.r == '_' || c.r == '.' || c.r >= 'a' && c.r <= 'z' || c.r >= 'A' && c.r <= 'Z')
	})
}

// word tells an operator that is written as a word from other words.
func (t *token) word() tokenKind {
	if t.escaped() {
		return bareToken
	}
	switch t.text() {
	case "AND":
		return andToken
	case "OR":
		return orToken
	case "NOT":
		return notToken
	}
	return bareToken
}

// meaningful tells whether a bare token holds more than punctuation. A star says that anything will do.
func (t *token) meaningful() bool {
	return slices.ContainsFunc(t.chars, func(c char) bool { return inWord(c.r) || c.r == '*' && !c.literal })
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }

// quoted takes what stands between two quotes.
func (s *scanner) quoted() (token, error) {
	t := token{kind: quoteToken, start: s.at}
	straight := s.text[s.at] == '"'
	for s.at++; s.at < len(s.text); s.at++ {
		r := s.text[s.at]
		if r == '"' || !straight && isQuote(r) {
			s.at++
			t.stop = s.at
			return t, s.trailing(t)
		}
		if r == '\\' && s.at+1 < len(s.text) {
			s.at++
			r = s.text[s.at]
		}
		t.chars = append(t.chars, char{r, true})
	}
	t.stop = s.at
	return t, s.fault(t, "This quote is never closed.")
}

// trailing refuses what Lucene allows behind a phrase and means something else than the phrase alone.
func (s *scanner) trailing(t token) error {
	if s.at < len(s.text) && (s.text[s.at] == '*' || s.text[s.at] == '~' || s.text[s.at] == '^') {
		t.stop++
		return s.fault(t, "A phrase in quotes takes no *, ~ or ^ behind it.")
	}
	return nil
}

// endpoint takes one end of a range.
func (s *scanner) endpoint() (token, error) {
	s.skipSpaces()
	if s.at < len(s.text) && isQuote(s.text[s.at]) {
		return s.quoted()
	}
	t := token{kind: bareToken, start: s.at}
	for s.at < len(s.text) && !unicode.IsSpace(s.text[s.at]) && s.text[s.at] != ']' && s.text[s.at] != '}' {
		t.chars = append(t.chars, char{s.text[s.at], false})
		s.at++
	}
	t.stop = s.at
	if len(t.chars) == 0 {
		return t, s.fault(t, "Here one end of a range is expected: [a TO b], with * for an open end.")
	}
	return t, nil
}

// fault is an error at a token.
func (s *scanner) fault(t token, detail string) *Error {
	const shown = 40 // characters of a long token
	return &Error{t.start, string(s.text[t.start:min(t.stop, t.start+shown)]), detail}
}
