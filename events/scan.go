package events

import (
	"math"
	"strconv"
)

// scanner reads values from one JSON text. The first failure is kept in err and moves the scanner to the end, so that
// later calls return a zero value at once.
type scanner struct {
	data    []byte
	at      int
	depth   int
	outer   field // the field whose object or array is being read
	field   field
	err     *Error
	scratch []byte // the last string that had escapes
}

func (s *scanner) reset(data []byte) {
	*s = scanner{data: data, scratch: s.scratch[:0]}
}

func (s *scanner) fail(reason Reason, detail string) {
	if s.err == nil {
		s.err = &Error{Reason: reason, Field: fieldPath(s.outer, s.field), Detail: detail}
	}
	s.at = len(s.data)
}

func fieldPath(outer, inner field) string {
	if outer == fieldNone || inner == fieldNone {
		return fieldNames[outer] + fieldNames[inner]
	}
	return fieldNames[outer] + "." + fieldNames[inner]
}

func (s *scanner) malformed(what string) {
	s.fail(ReasonMalformed, what+" at byte "+strconv.Itoa(s.at))
}

// want refuses the next value because it has the wrong type.
func (s *scanner) want(what string) {
	switch c := s.peek(); {
	case c == '"', c == '{', c == '[', c == '-', c >= '0' && c <= '9', c == 't', c == 'f', c == 'n':
		s.fail(ReasonSchema, "is not "+what)
	default:
		s.malformed("no JSON value")
	}
}

// peek skips white space and returns the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	for s.at < len(s.data) {
		c := s.data[s.at]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			return c
		}
		s.at++
	}
	return 0
}

func (s *scanner) enter() {
	s.at++
	if s.depth++; s.depth > MaxDepth {
		s.malformed("too many levels")
	}
}

func (s *scanner) leave() {
	s.at++
	s.depth--
}

// end refuses anything after the value.
func (s *scanner) end() {
	s.outer, s.field = fieldNone, fieldNone
	if s.peek(); s.at < len(s.data) {
		s.malformed("more than one value")
	}
}

// members is the state of reading an object.
type members struct {
	shape *shape
	seen  fieldSet
	last  field
	outer field
	some  bool
}

// object enters an object of the given shape.
func (s *scanner) object(shape *shape) members {
	m := members{shape: shape, outer: s.outer}
	if s.peek() != '{' {
		s.want("an object")
		return m
	}
	s.enter()
	s.outer = s.field
	return m
}

// member returns the next field of the shape, with the scanner before its value, or fieldNone after the object. It skips
// unknown members and nulls of optional ones, and refuses duplicate and missing fields.
func (s *scanner) member(m *members) field {
	for s.nextName(m) {
		name := s.text()
		if s.peek() != ':' {
			s.malformed("no colon")
			break
		}
		s.at++
		f := fieldAfter(m.last, name)
		if !m.shape.knows(f) {
			s.field = fieldNone
			s.skip()
			continue
		}
		s.field, m.last = f, f
		if m.seen.has(f) {
			s.fail(ReasonSchema, "is present twice")
			break
		}
		m.seen |= 1 << f
		if s.peek() == 'n' && m.shape.optional.has(f) {
			s.literal("null")
			continue
		}
		return f
	}
	if s.err == nil {
		s.complete(m)
	}
	return fieldNone
}

// nextName moves to the next member's name, or returns false at the end of the object.
func (s *scanner) nextName(m *members) bool {
	c := s.peek()
	if c == ',' && m.some {
		s.at++
		c = s.peek()
	} else if c == '}' {
		s.leave()
		return false
	} else if m.some {
		s.malformed("no comma or brace")
		return false
	}
	m.some = true
	if c != '"' {
		s.malformed("no member name")
	}
	return s.err == nil
}

func (s *scanner) complete(m *members) {
	s.field, s.outer = s.outer, m.outer
	if missing := m.shape.required &^ m.seen; missing != 0 {
		s.outer, s.field = s.field, missing.first()
		s.fail(ReasonSchema, "is missing")
	}
}

// array enters an array.
func (s *scanner) array() {
	if s.peek() != '[' {
		s.want("an array")
		return
	}
	s.enter()
}

// element moves to the next element, or returns false at the end of the array. n is the number of elements read so far;
// an array may have limit elements.
func (s *scanner) element(n, limit int) bool {
	c := s.peek()
	switch {
	case s.err != nil:
		return false
	case c == ']':
		s.leave()
		return false
	case n == 0:
		return true
	case c != ',':
		s.malformed("no comma or bracket")
	case n >= limit:
		s.fail(ReasonSchema, "has more than "+strconv.Itoa(limit)+" elements")
	default:
		s.at++
		return true
	}
	return false
}

func (s *scanner) literal(want string) {
	if end := s.at + len(want); end <= len(s.data) && string(s.data[s.at:end]) == want {
		s.at = end
		return
	}
	s.malformed("no JSON value")
}

func (s *scanner) boolean() bool {
	switch s.peek() {
	case 't':
		s.literal("true")
		return s.err == nil
	case 'f':
		s.literal("false")
	default:
		s.want("a boolean")
	}
	return false
}

// skip skips any value.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '"':
		s.text()
	case '{':
		s.skipObject()
	case '[':
		s.array()
		for n := 0; s.element(n, math.MaxInt); n++ {
			s.skip()
		}
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

func (s *scanner) skipObject() {
	var m members
	s.enter()
	for s.nextName(&m) {
		s.text()
		if s.peek() != ':' {
			s.malformed("no colon")
			return
		}
		s.at++
		s.skip()
	}
}
