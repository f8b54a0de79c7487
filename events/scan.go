package events

import (
	"math"
	"strconv"
)

// scanner reads values from one JSON text. The first failure is kept in err and moves the scanner to the end, so that
// later calls return a zero value at once. If all is set, that applies only to failures after which no value can be found;
// the others are collected.
type scanner struct {
	data    []byte
	at      int
	depth   int
	outer   field // the field whose object or array is being read
	field   field
	nth     int // of the element that is being read of a field's list, from 1 on; 0 outside of lists
	err     *Error
	scratch []byte // the last string that had escapes
	all     *faults
}

func (s *scanner) reset(data []byte) {
	*s = scanner{data: data, scratch: s.scratch[:0], all: s.all}
}

// fail refuses the value of the field. It was read, or else reading ends.
func (s *scanner) fail(reason Reason, detail string) {
	if s.refuse(reason, detail) {
		s.all.spoil(s.place())
	}
}

// refuse is fail for a fault that lets the value of the field be used. It tells whether reading goes on.
func (s *scanner) refuse(reason Reason, detail string) bool {
	if s.all != nil && reason != ReasonMalformed {
		s.all.add(&Error{Reason: reason, Field: s.place(), Detail: detail})
		return true
	}
	if s.err == nil {
		s.err = &Error{Reason: reason, Field: s.place(), Detail: detail}
	}
	s.at = len(s.data)
	return false
}

// place is the path of the field, with the index of the element if all faults are collected.
func (s *scanner) place() string {
	path := fieldPath(s.outer, s.field)
	if s.all == nil {
		return path
	}
	return elementPath(path, s.nth)
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

// note is malformed for a fault behind which reading can go on, if all faults are collected.
func (s *scanner) note(what string) {
	detail := what + " at byte " + strconv.Itoa(s.at)
	if s.all == nil {
		s.fail(ReasonMalformed, detail)
		return
	}
	s.all.add(&Error{Reason: ReasonMalformed, Field: s.place(), Detail: detail})
}

// want refuses the next value because it has the wrong type.
func (s *scanner) want(what string) {
	switch c := s.peek(); {
	case c == '"', c == '{', c == '[', c == '-', c >= '0' && c <= '9', c == 't', c == 'f', c == 'n':
		if s.fail(ReasonSchema, "is not "+what); s.err == nil {
			s.skip()
		}
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
		s.note("more than one value")
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

// object enters an object of the given shape. What is no object has no members.
func (s *scanner) object(shape *shape) members {
	m := members{shape: shape, outer: s.outer}
	if s.peek() != '{' {
		s.want("an object")
		return members{}
	}
	s.enter()
	s.outer = s.field
	return m
}

// member returns the next field of the shape, with the scanner before its value, or fieldNone after the object. It skips
// unknown members and nulls of optional ones, and refuses duplicate and missing fields.
func (s *scanner) member(m *members) field {
	for m.shape != nil && s.nextName(m) {
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
			s.refuse(ReasonSchema, "is present twice")
			s.skip()
			continue
		}
		m.seen |= 1 << f
		if s.peek() == 'n' && m.shape.optional.has(f) {
			s.literal("null")
			continue
		}
		return f
	}
	if s.err == nil && m.shape != nil {
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
	missing := m.shape.required &^ m.seen
	if missing == 0 {
		return
	}
	object, outer := s.field, s.outer
	for ; missing != 0 && s.err == nil; missing = missing.rest() {
		s.outer, s.field = object, missing.first()
		s.fail(ReasonSchema, "is missing")
	}
	if s.err == nil {
		s.field, s.outer = object, outer
	}
}

// element enters an array, or moves to its next element. It returns false at the end of the array, and for what is none. n is
// the number of elements read so far; an array may have limit elements.
func (s *scanner) element(n, limit int) bool {
	if n == 0 {
		return s.firstElement()
	}
	switch c := s.peek(); {
	case s.err != nil:
	case c == ']':
		s.leave()
		s.nth = 0
	case c != ',':
		s.malformed("no comma or bracket")
	case n >= limit:
		s.nth = 0
		if s.refuse(ReasonSchema, "has more than "+strconv.Itoa(limit)+" elements") {
			s.skipElements()
		}
	default:
		s.at++
		s.nth = n + 1
		return true
	}
	return false
}

func (s *scanner) firstElement() bool {
	if s.peek() != '[' {
		s.want("an array")
		return false
	}
	s.enter()
	if s.peek() == ']' {
		s.leave()
		return false
	}
	s.nth = 1
	return s.err == nil
}

// skipElements skips the rest of an array, which is before a comma.
func (s *scanner) skipElements() {
	for s.peek() == ',' {
		s.at++
		s.skip()
	}
	if s.peek() != ']' {
		s.malformed("no comma or bracket")
		return
	}
	s.leave()
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
		s.skipArray()
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

func (s *scanner) skipArray() {
	nth := s.nth
	for n := 0; s.element(n, math.MaxInt); n++ {
		s.skip()
	}
	s.nth = nth
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
