// Package printable makes text that others wrote safe to show in a terminal, a table or a log: subjects, names, reasons and
// errors may contain escape sequences, line breaks, or marks that reverse the direction of what follows.
//
// Everything that reaches a terminal as text passes Text or Error; JSON keeps its values and passes JSON.
package printable

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The joiners change only how the letters beside them are drawn. Several scripts, and emoji, need them.
const (
	zeroWidthNonJoiner = '\u200C'
	zeroWidthJoiner    = '\u200D'
)

// Text returns text on one line, of printable characters only: white space becomes a space, and everything else that does
// not print becomes U+FFFD, one for each character or invalid byte.
func Text(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case plain(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return utf8.RuneError
	}, text)
}

func plain(r rune) bool {
	return unicode.IsPrint(r) || r == zeroWidthNonJoiner || r == zeroWidthJoiner
}

// Error returns an error's text on one line. Lines that repeat, as those of a database that was tried twice at the same
// address, are left out.
func Error(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(Text(line))
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "; ")
	return strings.ReplaceAll(text, ":; ", ": ")
}

// JSON returns encoded JSON with the same values, in which every character that does not print is escaped. It leaves white
// space between values as it is. Valid JSON has such characters in strings only.
func JSON(encoded []byte) []byte {
	var safe []byte // nil while everything was printable
	kept := 0
	for at := 0; at < len(encoded); {
		r, size := utf8.DecodeRune(encoded[at:])
		if r < utf8.RuneSelf && r != 0x7F || r != utf8.RuneError && plain(r) {
			at += size
			continue
		}
		safe = append(safe, encoded[kept:at]...)
		if high, low := surrogates(r); low != 0 {
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		} else {
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		at += size
		kept = at
	}
	if safe == nil {
		return encoded
	}
	return append(safe, encoded[kept:]...)
}

// surrogates returns the two halves of a character beyond U+FFFF in UTF-16, or the character and 0.
func surrogates(r rune) (high, low rune) {
	if r <= 0xFFFF {
		return r, 0
	}
	r -= 0x10000
	return 0xD800 + r>>10, 0xDC00 + r&0x3FF
}

// JSONWriter returns a writer that passes each Write, which must be whole JSON values, through JSON.
func JSONWriter(out io.Writer) io.Writer { return jsonWriter{out} }

type jsonWriter struct{ out io.Writer }

func (w jsonWriter) Write(encoded []byte) (int, error) {
	if _, err := w.out.Write(JSON(encoded)); err != nil {
		return 0, err
	}
	return len(encoded), nil
}
