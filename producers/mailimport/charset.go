package mailimport

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
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
	if escaped := escapedSet(raw); escaped != nil {
		return escaped(raw)
	}
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

// aliases are names of character sets that occur in mail, but are listed by neither WHATWG nor IANA, and are no form of one that is.
var aliases = map[string]string{"cp932": "shift_jis", "ms932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "utf8mb4": "utf-8",
	"latin-1": "iso-8859-1"}

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
	if e, err := ianaindex.MIME.Encoding(label); err == nil && e != nil { // it has names of sets that it cannot decode
		return e
	}
	if name := usual(label); name != label {
		return encodingOf(name)
	}
	return nil
}

// setForms are how senders write names of character sets, beside those that are listed.
var setForms = []struct {
	form *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`^(?:x-)?(?:windows|win|cp|ms|microsoft-cp|ansi)?[-_ ]?(125[0-8])$`), "windows-$1"},
	{regexp.MustCompile(`^(?:x-)?(?:iso)?[-_ ]?8859[-_ ]?(\d{1,2})(?:[-_:].*)?$`), "iso-8859-$1"},
	{regexp.MustCompile(`^(?:x-)?(?:ibm|cp|dos)[-_ ]?(437|850|852|855|858|860|862|863|865|866)$`), "ibm$1"},
	{regexp.MustCompile(`^.*big[-_ ]?5.*$`), "big5"},
	{regexp.MustCompile(`^.*gb[-_ ]?18030.*$`), "gb18030"},
	{regexp.MustCompile(`^.*(?:gb[-_ ]?2312|gbk).*$`), "gbk"},
	{regexp.MustCompile(`^.*(?:shift[-_ ]?jis|sjis|windows-?31j).*$`), "shift_jis"},
	{regexp.MustCompile(`^.*euc[-_ ]?jp.*$`), "euc-jp"},
	{regexp.MustCompile(`^.*(?:euc[-_ ]?kr|ks[-_ ]?c[-_ ]?5601|ks[-_ ]?x[-_ ]?1001|\buhc\b).*$`), "euc-kr"},
	{regexp.MustCompile(`^.*2022[-_ ]?jp.*$`), "iso-2022-jp"},
	{regexp.MustCompile(`^(?:x-)?koi8[-_ ]?r?$`), "koi8-r"},
	{regexp.MustCompile(`^(?:x-)?koi8[-_ ]?u$`), "koi8-u"},
	{regexp.MustCompile(`^(?:x-)?utf[-_ ]?16[-_ ]?([bl]e)$`), "utf-16$1"},
}

// usual returns the name by which a character set is listed.
func usual(label string) string {
	for _, f := range setForms {
		if f.form.MatchString(label) {
			return f.form.ReplaceAllString(label, f.name)
		}
	}
	return label
}

// escapedSet returns what decodes text of seven bits that switches between sets by escape sequences, whatever set it declares; nil
// for all other text.
func escapedSet(raw []byte) func(raw []byte) string {
	at := bytes.Index(raw, []byte("\x1b$"))
	switch {
	case at < 0 || countHigh(raw) > 0:
		return nil
	case bytes.HasPrefix(raw[at:], []byte("\x1b$)C")):
		return decodeKorean
	case bytes.HasPrefix(raw[at:], []byte("\x1b$@")), bytes.HasPrefix(raw[at:], []byte("\x1b$B")), bytes.HasPrefix(raw[at:], []byte("\x1b$(D")):
		return func(raw []byte) string { return decodeWith(japanese.ISO2022JP, raw) }
	}
	return nil
}

// decodeKorean decodes ISO-2022-KR (RFC 1557): between SO and SI are the pairs of EUC-KR without their eighth bits.
func decodeKorean(raw []byte) string {
	raw = bytes.ReplaceAll(raw, []byte("\x1b$)C"), nil)
	plain := make([]byte, 0, len(raw))
	shifted := false
	for _, b := range raw {
		switch {
		case b == '\x0e', b == '\x0f':
			shifted = b == '\x0e'
		case b == '\n':
			shifted = false
			plain = append(plain, b)
		case shifted && b > ' ':
			plain = append(plain, b|0x80)
		default:
			plain = append(plain, b)
		}
	}
	return decodeWith(korean.EUCKR, plain)
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
