package mailimport

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

const replacement = "\uFFFD"

// decodeText converts text from the declared character set to UTF-8. The declaration is used unless the bytes contradict
// it: valid UTF-8 is never text of a single-byte set, and a set in which every tenth byte is invalid is wrong. Without a
// usable declaration the set is guessed.
func decodeText(raw []byte, label string) string {
	if text, ok := decodeMarked(raw); ok {
		return text
	}
	label = strings.ToLower(strings.Trim(label, " \"'"))
	if label == "utf-7" || label == "unicode-1-1-utf-7" {
		return decodeUTF7(raw)
	}
	declared := encodingOf(label)
	if _, single := declared.(*charmap.Charmap); (single || declared == nil) && utf8.Valid(raw) {
		return string(raw)
	}
	if declared != nil {
		if text, err := declared.NewDecoder().Bytes(raw); err == nil && !garbled(text, raw) {
			return string(text)
		}
	}
	if utf8.Valid(raw) || mostlyUTF8(raw) {
		return strings.ToValidUTF8(string(raw), replacement)
	}
	return decodeWith(guess(raw), raw)
}

func decodeWith(e encoding.Encoding, raw []byte) string {
	text, err := e.NewDecoder().Bytes(raw)
	if err != nil {
		return strings.ToValidUTF8(string(raw), replacement)
	}
	return string(text)
}

// decodeMarked decodes text that begins with a byte order mark.
func decodeMarked(raw []byte) (string, bool) {
	switch {
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")) && utf8.Valid(raw):
		return string(raw[3:]), true
	case bytes.HasPrefix(raw, []byte("\xff\xfe")), bytes.HasPrefix(raw, []byte("\xfe\xff")):
		return decodeWith(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), raw), true
	}
	return "", false
}

// aliases are names of character sets that occur in mail, but are listed by neither WHATWG nor IANA.
var aliases = map[string]string{"cp932": "shift_jis", "ms932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "ks_c_5601": "euc-kr",
	"cp950": "big5", "utf8mb4": "utf-8", "8859-1": "iso-8859-1", "latin-1": "iso-8859-1", "cp-850": "ibm850", "cp850": "ibm850"}

// encodingOf returns nil for UTF-8, for unknown sets, and for ASCII, since eight-bit text declared as ASCII can be in any
// set.
func encodingOf(label string) encoding.Encoding {
	label = strings.TrimPrefix(label, "charset=")
	if alias, ok := aliases[label]; ok {
		label = alias
	}
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968":
		return nil
	}
	if e, err := htmlindex.Get(label); err == nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(label); err == nil {
		return e
	}
	return nil
}

// garbled reports whether decoding failed at more than a tenth of the non-ASCII bytes.
func garbled(text, raw []byte) bool {
	failed := bytes.Count(text, []byte(replacement))
	return failed > 0 && 10*failed > countHigh(raw)
}

func countHigh(raw []byte) int {
	n := 0
	for _, b := range raw {
		if b >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// mostlyUTF8 reports whether raw has more multi-byte characters than invalid bytes.
func mostlyUTF8(raw []byte) bool {
	good, bad := 0, 0
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if size > 1 {
			good++
		} else if r == utf8.RuneError {
			bad++
		}
		raw = raw[size:]
	}
	return good > bad
}

// decodeUTF7 decodes RFC 2152. Invalid shifted runs stay as they are.
func decodeUTF7(raw []byte) string {
	var out strings.Builder
	for len(raw) > 0 {
		plus := bytes.IndexByte(raw, '+')
		if plus < 0 {
			break
		}
		out.WriteString(strings.ToValidUTF8(string(raw[:plus]), replacement))
		raw = raw[plus+1:]
		end := bytes.IndexFunc(raw, func(r rune) bool { return !isBase64(r) })
		if end < 0 {
			end = len(raw)
		}
		out.WriteString(shifted(raw[:end]))
		raw = raw[end:]
		if len(raw) > 0 && raw[0] == '-' {
			raw = raw[1:]
		}
	}
	out.WriteString(strings.ToValidUTF8(string(raw), replacement))
	return out.String()
}

// shifted decodes a run of UTF-7 between "+" and "-": UTF-16 in base64; an empty run is a plus sign.
func shifted(run []byte) string {
	if len(run) == 0 {
		return "+"
	}
	units, err := base64.RawStdEncoding.DecodeString(string(run))
	if err != nil {
		return "+" + string(run)
	}
	var text []uint16
	for i := 0; i+1 < len(units); i += 2 {
		text = append(text, uint16(units[i])<<8|uint16(units[i+1]))
	}
	return string(utf16.Decode(text))
}

func isBase64(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '/'
}
