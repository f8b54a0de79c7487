package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

var (
	errNotUTF8   = errors.New("the text is not valid UTF-8")
	errNUL       = errors.New("the text contains a NUL character")
	errSurrogate = errors.New("the text contains a lone surrogate")
	errNotJSON   = errors.New("the body is not valid JSON")
)

// checkBody refuses bytes that are not JSON, and JSON with strings that PostgreSQL or another reader would refuse: Go's
// decoder would silently replace them by U+FFFD.
func checkBody(body []byte) error {
	if !utf8.Valid(body) {
		return errNotUTF8
	}
	if !json.Valid(body) {
		return errNotJSON
	}
	return checkEscapes(body)
}

// checkEscapes looks at the \u escapes of valid JSON.
func checkEscapes(body []byte) error {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		if body[i+1] != 'u' {
			i++
			continue
		}
		unit := codeUnit(body[i+2:])
		switch {
		case unit == 0:
			return errNUL
		case unit >= 0xdc00 && unit <= 0xdfff:
			return errSurrogate
		case unit >= 0xd800 && unit <= 0xdbff:
			next := body[i+6:]
			if len(next) < 6 || next[0] != '\\' || next[1] != 'u' || codeUnit(next[2:])&0xfc00 != 0xdc00 {
				return errSurrogate
			}
			i += 6
		}
		i += 5
	}
	return nil
}

func codeUnit(hex []byte) uint64 {
	unit, _ := strconv.ParseUint(string(hex[:4]), 16, 16) // four digits, since the JSON is valid
	return unit
}

// checkText refuses a text that PostgreSQL cannot store.
func checkText(text string) error {
	if !utf8.ValidString(text) {
		return errNotUTF8
	}
	if strings.ContainsRune(text, 0) {
		return errNUL
	}
	return nil
}

// checkURL refuses a path or a query that does not decode to proper text.
func checkURL(u *url.URL) error {
	if err := checkText(u.Path); err != nil {
		return err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the query is malformed")
	}
	for name, values := range query {
		if err := checkText(name + strings.Join(values, "")); err != nil {
			return err
		}
	}
	return nil
}

// duplicateMember returns the place of the first member that an object of valid JSON has a second time, such as
// body.decisions[1].id, or nothing. Names are compared as they are meant: "id" and "\u0069d" are the same.
func duplicateMember(body []byte) string {
	var s memberScan
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{':
			s.open = append(s.open, container{names: map[string]struct{}{}})
			s.atName = true
		case '[':
			s.open = append(s.open, container{})
			s.atName = false
		case '}', ']':
			s.open = s.open[:len(s.open)-1]
		case ',':
			s.next()
		case '"':
			end := textEnd(body, i)
			if s.atName && s.name(body[i:end]) {
				return s.place()
			}
			i = end - 1
		}
	}
	return ""
}

// memberScan is where duplicateMember has come to in a text.
type memberScan struct {
	open   []container // the innermost last
	atName bool        // the next text is the name of a member
}

// container is an object or an array that has begun.
type container struct {
	names map[string]struct{} // of an object's members so far; nil for an array
	last  string              // an object's last name
	index int                 // of an array's element
}

// name takes the name of a member and tells whether the object has had it before.
func (s *memberScan) name(quoted []byte) bool {
	object := &s.open[len(s.open)-1]
	object.last = unquote(quoted)
	_, twice := object.names[object.last]
	object.names[object.last] = struct{}{}
	s.atName = false
	return twice
}

// next passes a comma.
func (s *memberScan) next() {
	inner := &s.open[len(s.open)-1]
	s.atName = inner.names != nil
	inner.index++
}

func (s *memberScan) place() string {
	var b strings.Builder
	b.WriteString("body")
	for _, c := range s.open {
		if c.names == nil {
			b.WriteString("[" + strconv.Itoa(c.index) + "]")
		} else {
			b.WriteString("." + c.last)
		}
	}
	return b.String()
}

// textEnd returns the end of the JSON text that begins at start.
func textEnd(body []byte, start int) int {
	for i := start + 1; ; i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func unquote(quoted []byte) string {
	if !bytes.ContainsRune(quoted, '\\') {
		return string(quoted[1 : len(quoted)-1])
	}
	var name string
	_ = json.Unmarshal(quoted, &name) // it is valid
	return name
}
