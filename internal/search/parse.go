package search

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Parse checks a query and makes a tree of it. A text of nothing but spaces finds every mail. The error is an *Error.
func Parse(text string) (*Query, error) {
	if utf8.RuneCountInString(text) > MaxLength {
		return nil, &Error{MaxLength, "", fmt.Sprintf("A query has at most %d characters.", MaxLength)}
	}
	if strings.TrimSpace(text) == "" {
		return &Query{All{}}, nil
	}
	p := parser{scanner: scanner{text: []rune(text)}, scope: free}
	if err := p.advance(); err != nil {
		return nil, err
	}
	root, err := p.any(1)
	if err != nil {
		return nil, err
	}
	if p.token.kind != endToken {
		return nil, p.fault(p.token, "This parenthesis was never opened.")
	}
	return &Query{root}, nil
}

// MustParse is Parse for a query that is part of the program; it panics when that is refused.
func MustParse(text string) *Query {
	q, err := Parse(text)
	if err != nil {
		panic(fmt.Sprintf("search: query %q: %v", text, err))
	}
	return q
}

// parser reads one query from left to right, never back. OR binds loosest, then AND, which may be left out, then NOT.
type parser struct {
	scanner
	scope column // of what names no field
	token token  // the next one
	nodes int
}

func (p *parser) advance() (err error) {
	p.token, err = p.scan(false, p.scope.ordered())
	return err
}

func (p *parser) any(level int) (Node, error) {
	var list Or
	for {
		n, err := p.all(level)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		if p.token.kind != orToken {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

func (p *parser) all(level int) (Node, error) {
	var list And
	for {
		n, err := p.part(level)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
		switch p.token.kind {
		case andToken:
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		case orToken, closeToken, endToken:
		default:
			continue
		}
		break
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return list, nil
}

// part reads a comparison, a negation or what stands in parentheses.
func (p *parser) part(level int) (Node, error) {
	t := p.token
	if err := p.count(t, level); err != nil {
		return nil, err
	}
	switch t.kind {
	case openToken:
		return p.group(p.scope, level)
	case nameToken:
		return p.named(level)
	case notToken, plusToken:
		if err := p.advance(); err != nil {
			return nil, err
		}
		inner, err := p.part(level + 1)
		if err != nil || t.kind == plusToken {
			return inner, err
		}
		return Not{inner}, nil
	case bareToken, quoteToken, rangeToken:
		return p.compared(p.scope)
	}
	return nil, p.missing(t)
}

// count counts a part of the query.
func (p *parser) count(t token, level int) error {
	if level > MaxLevels {
		return p.fault(t, fmt.Sprintf("A query is nested at most %d levels deep.", MaxLevels))
	}
	if p.nodes++; p.nodes > MaxNodes {
		return p.fault(t, fmt.Sprintf("A query has at most %d parts.", MaxNodes))
	}
	return nil
}

// missing is the error for an operator, a closing parenthesis or an end where something to search for is expected.
func (p *parser) missing(t token) error {
	switch {
	case t.kind != endToken:
		return p.fault(t, "Here something to search for is expected.")
	case p.nodes == 1:
		return p.fault(token{stop: len(p.text)}, "There is nothing to search for: words have letters or digits.")
	}
	return p.fault(t, "The query ends where something to search for is expected.")
}

// group reads what stands in parentheses, in which scope is the field of what names none.
func (p *parser) group(scope column, level int) (Node, error) {
	open, outer := p.token, p.scope
	p.scope = scope
	if err := p.advance(); err != nil {
		return nil, err
	}
	inner, err := p.any(level + 1)
	if err != nil {
		return nil, err
	}
	if p.token.kind != closeToken {
		return nil, p.fault(open, "This parenthesis is never closed.")
	}
	p.scope = outer
	return inner, p.advance()
}

// named reads what follows a field's name.
func (p *parser) named(level int) (Node, error) {
	name := p.token
	c, known := columns[strings.ToLower(name.text())]
	if !known {
		return nil, p.unknown(name)
	}
	if !p.negated(c) {
		return p.valued(name, c, level)
	}
	if err := p.count(name, level+1); err != nil {
		return nil, err
	}
	inner, err := p.valued(name, c, level+1)
	return Not{inner}, err
}

// valued reads a value or a group of values for a field.
func (p *parser) valued(name token, c column, level int) (Node, error) {
	var err error
	if p.token, err = p.scan(true, true); err != nil {
		return nil, err
	}
	switch t := p.token; {
	case t.kind == openToken:
		return p.group(c, level)
	case t.kind == endToken, t.kind == closeToken, t.kind == bareToken && (len(t.chars) == 0 || t.word() != bareToken):
		return nil, p.fault(t, fmt.Sprintf("Here a value for %s is expected.", name.text()))
	}
	return p.compared(c)
}

func (p *parser) unknown(name token) error {
	return p.fault(name, fmt.Sprintf("There is no field %q. Put a text with a colon in quotes; the fields are "+
		"subject, body, sender, to, sender_domain, category, labels, list_id, id, quarantined, risk_score, received_at, expires_at, "+
		"age_days, expired_days, ats.stage, ats.system, ats.company and ats.ghosting_risk.", name.text()))
}

// compared reads one comparison with a field.
func (p *parser) compared(c column) (Node, error) {
	t := p.token
	var n Node
	var err error
	switch {
	case t.kind == rangeToken:
		n, err = p.between(c)
	case isStar(t):
		n = exists(c)
	default:
		n, err = p.equals(c, t)
	}
	if err != nil {
		return nil, err
	}
	return n, p.advance()
}

// isStar tells whether a token asks for anything: * or, as some write it, *:*.
func isStar(t token) bool {
	return t.kind == bareToken && !t.escaped() && (t.text() == "*" || t.text() == "*:*")
}

func exists(c column) Node {
	switch {
	case c.kind == freeKind, c.field == ID, c.field == Quarantined, c.field == ReceivedAt:
		return All{}
	}
	return Exists{c.field}
}

// equals reads a value and, before a number or a time, how it compares.
func (p *parser) equals(c column, t token) (Node, error) {
	switch c.kind {
	case numberKind, ageKind, timeKind:
		return p.measured(c, t)
	case flagKind:
		if text := t.text(); text != "true" && text != "false" {
			return nil, p.fault(t, fmt.Sprintf("%s is true or false.", c.field))
		}
		return Value{Field: c.field, Text: t.text()}, nil
	case idKind:
		return p.identity(c, t)
	}
	text, prefix, err := p.plain(t)
	if err != nil {
		return nil, err
	}
	switch c.kind {
	case valueKind:
		return p.value(c, t, text, prefix)
	case personKind:
		return p.person(c, t, text, prefix)
	}
	return p.phrase(c, t, text, prefix)
}
