package api

import (
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
