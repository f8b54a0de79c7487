package events

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner pulls values out of one JSON text. The first failure stays in err and moves the scanner to the end, so that
// every later call returns at once with a zero value.
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

// want refuses the next value for not being what it should.
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

// members is where the reading of an object stands.
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

// member returns the next field that the shape knows and stands before its value, or fieldNone after the object. It
// skips unknown members and nulls of optional ones, and refuses a field that is repeated or missing.
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
			s.fail(ReasonSchema, "is there twice")
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

// nextName stands before the next member's name, or returns false after the end of the object.
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

// element stands before the next element, or returns false after the array; n counts the elements read so far, of
// which there may be limit.
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

// plain tells which bytes stand for themselves within a string: ASCII but the quote, the backslash and control codes.
var plain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// plainFrom returns the first place from i on where a byte does not stand for itself, the end when there is none. It
// looks at eight bytes at a time: a subtraction borrows into the top bit of each byte that is below the other.
func (s *scanner) plainFrom(i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s.data); i += 8 {
		x := binary.LittleEndian.Uint64(s.data[i:])
		quote, backslash := x^ones*'"', x^ones*'\\'
		special := (x | (x-ones*' ')&^x | (quote-ones)&^quote | (backslash-ones)&^backslash) & tops
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(s.data) && plain[s.data[i]] {
		i++
	}
	return i
}

// text reads a string. The bytes are valid UTF-8 without NUL, and the scanner's until the next call.
func (s *scanner) text() []byte {
	if s.peek() != '"' {
		s.want("a string")
		return nil
	}
	s.at++
	start, ascii := s.at, true
	for i := s.plainFrom(start); i < len(s.data); i = s.plainFrom(i + 1) {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			return s.checked(s.data[start:i], ascii)
		case c == '\\':
			s.at = i
			return s.escaped(start)
		case c >= utf8.RuneSelf:
			ascii = false
		default:
			s.at = i
			s.malformed("control character in a string")
			return nil
		}
	}
	s.malformed("string without end")
	return nil
}

func (s *scanner) checked(text []byte, ascii bool) []byte {
	if !ascii && !utf8.Valid(text) {
		s.malformed("invalid UTF-8 before")
		return nil
	}
	return text
}

// escaped reads the rest of a string that began at start and has its first backslash here.
func (s *scanner) escaped(start int) []byte {
	s.scratch = append(s.scratch[:0], s.data[start:s.at]...)
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.checked(s.scratch, false)
		case c == '\\':
			s.escape()
		case c < ' ':
			s.malformed("control character in a string")
		default:
			s.scratch = append(s.scratch, c)
			s.at++
		}
	}
	s.malformed("string without end")
	return nil
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence into scratch.
func (s *scanner) escape() {
	if s.at+1 >= len(s.data) {
		s.malformed("string without end")
		return
	}
	c := s.data[s.at+1]
	if plain := escapes[c]; plain != 0 {
		s.scratch = append(s.scratch, plain)
		s.at += 2
		return
	}
	r, ok := s.unicode(s.at)
	if !ok {
		s.malformed("unknown escape")
		return
	}
	if r == 0 {
		s.malformed("NUL")
		return
	}
	s.at += 6
	if utf16.IsSurrogate(r) {
		low, _ := s.unicode(s.at)
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			s.malformed("lone surrogate")
			return
		}
		s.at += 6
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
}

// unicode reads the UTF-16 unit of the \uXXXX at a place, without moving.
func (s *scanner) unicode(at int) (rune, bool) {
	if at+6 > len(s.data) || s.data[at] != '\\' || s.data[at+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s.data[at+2 : at+6] {
		digit := hexDigit(c)
		if digit > 15 {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}

// number reads a number literal; integral tells that it has neither fraction nor exponent.
func (s *scanner) number() (literal []byte, integral bool) {
	c := s.peek()
	if c != '-' && (c < '0' || c > '9') {
		s.want("a number")
		return nil, false
	}
	start := s.at
	if c == '-' {
		s.at++
	}
	if s.at < len(s.data) && s.data[s.at] == '0' {
		s.at++
	} else {
		s.digits()
	}
	integral = true
	if s.at < len(s.data) && s.data[s.at] == '.' {
		integral = false
		s.at++
		s.digits()
	}
	if s.at < len(s.data) && s.data[s.at]|0x20 == 'e' {
		integral = false
		s.at++
		if s.at < len(s.data) && (s.data[s.at] == '+' || s.data[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
	if s.err != nil {
		return nil, false
	}
	return s.data[start:s.at], integral
}

// digits reads at least one digit.
func (s *scanner) digits() {
	start := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	if s.at == start {
		s.malformed("no digit")
	}
}

// tens are the powers of ten by which decimal divides: those within the 53 bits that a float64 holds exactly.
var tens = [16]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimal reads a literal of at most 15 digits without sign and exponent, such as 0.82; a quotient of two exact
// numbers is rounded once and so is what strconv.ParseFloat returns.
func decimal(literal []byte) (x float64, ok bool) {
	if len(literal) > 16 {
		return 0, false
	}
	var digits int64
	scale := 0
	for i, c := range literal {
		switch {
		case c == '.':
			scale = len(literal) - 1 - i
		case c-'0' > 9:
			return 0, false
		default:
			digits = digits*10 + int64(c-'0')
		}
	}
	return float64(digits) / tens[scale], digits < 1e15
}

func (s *scanner) float() float64 {
	literal, _ := s.number()
	if s.err != nil {
		return 0
	}
	if x, ok := decimal(literal); ok {
		return x
	}
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		s.fail(ReasonSchema, "is out of range")
	}
	return f
}

// integer reads a number without fractional part; 1.0 and 1e2 are integers, as JSON Schema has it.
func (s *scanner) integer() int64 {
	literal, integral := s.number()
	if s.err != nil {
		return 0
	}
	if !integral {
		if literal = expand(literal); literal == nil {
			s.fail(ReasonSchema, "is not an integer within 64 bits")
			return 0
		}
	}
	if len(literal) < 19 && literal[0] != '-' {
		var n int64
		for _, c := range literal {
			n = n*10 + int64(c-'0')
		}
		return n
	}
	n, err := strconv.ParseInt(string(literal), 10, 64)
	if err != nil {
		s.fail(ReasonSchema, "is not an integer within 64 bits")
	}
	return n
}

// expand writes a literal with fraction or exponent as plain digits; nil when it is no integer or a very long one.
func expand(literal []byte) []byte {
	const most = 19 // digits of the greatest int64
	mantissa, exponent := literal, 0
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		mantissa = literal[:i]
		exponent, _ = strconv.Atoi(string(literal[i+1:])) // the greatest or the least int when it is out of range
		exponent = min(max(exponent, math.MinInt32), math.MaxInt32)
	}
	whole, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(whole, []byte("."))
	digits := bytes.TrimLeft(slices.Concat(whole, fraction), "0")
	significant := bytes.TrimRight(digits, "0")
	zeros := exponent - len(fraction) + len(digits) - len(significant)
	switch {
	case len(significant) == 0:
		return []byte("0")
	case zeros < 0 || len(significant)+zeros > most:
		return nil
	}
	plain := append(significant, bytes.Repeat([]byte("0"), zeros)...)
	if negative {
		plain = slices.Insert(plain, 0, '-')
	}
	return plain
}

func (s *scanner) uuid() UUID {
	u, err := ParseUUID(s.text())
	if err != nil {
		s.fail(ReasonSchema, "is not a UUID")
	}
	return u
}

func (s *scanner) time() time.Time {
	t, ok := parseTime(s.text())
	if !ok {
		s.fail(ReasonSchema, "is not an RFC 3339 time")
	}
	return t
}

// skip reads over any value.
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
