package events

import (
	"encoding/binary"
	"math/bits"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes that need no decoding within a string: ASCII except the quote, the backslash and control codes.
var plain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// plainFrom returns the index of the first byte from i on that is not plain, or the end. It tests eight bytes at a time:
// a subtraction borrows into the top bit of each byte that is below the subtrahend.
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

// text reads a string. The result is UTF-8 without NUL, and valid until the next call. It is nil, unlike an empty string, for
// what is refused.
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
			s.badText("control character in a string")
			return nil
		}
	}
	s.malformed("string without end")
	return nil
}

func (s *scanner) checked(text []byte, ascii bool) []byte {
	if !ascii && !utf8.Valid(text) {
		s.note("invalid UTF-8 before")
		s.spoilText()
		return nil
	}
	return text
}

// badText refuses a string in the middle. If all faults are collected, the scanner is behind the string then.
func (s *scanner) badText(what string) {
	s.note(what)
	for s.at < len(s.data) && s.data[s.at] != '"' {
		if s.data[s.at] == '\\' {
			s.at++
		}
		s.at++
	}
	if s.at >= len(s.data) {
		s.malformed("string without end")
		return
	}
	s.at++
	s.spoilText()
}

// spoilText marks the value of the field as unreadable after a text was refused, unless it was the name of a member, or
// within one that nobody knows.
func (s *scanner) spoilText() {
	if s.all != nil && s.field != fieldNone && s.peek() != ':' {
		s.all.spoil(s.place())
	}
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
			if !s.escape() {
				return nil
			}
		case c < ' ':
			s.badText("control character in a string")
			return nil
		default:
			s.scratch = append(s.scratch, c)
			s.at++
		}
	}
	s.malformed("string without end")
	return nil
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence into scratch, or returns false after refusing the string.
func (s *scanner) escape() bool {
	if s.at+1 >= len(s.data) {
		s.malformed("string without end")
		return false
	}
	c := s.data[s.at+1]
	if plain := escapes[c]; plain != 0 {
		s.scratch = append(s.scratch, plain)
		s.at += 2
		return true
	}
	r, ok := s.unicode(s.at)
	if !ok {
		s.badText("unknown escape")
		return false
	}
	if r == 0 {
		s.badText("NUL")
		return false
	}
	s.at += 6
	if utf16.IsSurrogate(r) {
		low, _ := s.unicode(s.at)
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			s.badText("lone surrogate")
			return false
		}
		s.at += 6
	}
	s.scratch = utf8.AppendRune(s.scratch, r)
	return true
}

// unicode reads the UTF-16 unit of the \uXXXX at an index, without moving.
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

func (s *scanner) uuid() UUID {
	text := s.text()
	u, err := ParseUUID(text)
	if err != nil && text != nil {
		s.fail(ReasonSchema, "is not a UUID")
	}
	return u
}

func (s *scanner) time() time.Time {
	text := s.text()
	t, ok := parseTime(text)
	if !ok && text != nil {
		s.fail(ReasonSchema, "is not an RFC 3339 time")
	}
	return t
}
