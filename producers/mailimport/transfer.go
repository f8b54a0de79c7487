package mailimport

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// decodeTransfer undoes a Content-Transfer-Encoding as far as it goes; an encoding that is not known is none.
func decodeTransfer(content []byte, encoding string) []byte {
	encoding = strings.ToLower(encoding)
	switch {
	case strings.Contains(encoding, "base64"):
		return decodeBase64(content)
	case strings.Contains(encoding, "quoted-printable"):
		return decodeQuotedPrintable(content)
	}
	return content
}

// decodeBase64 decodes up to the first line that is none of base64. What follows is taken as it is: mailing lists append
// their plain footers, and some senders declare an encoding that they do not use.
func decodeBase64(content []byte) []byte {
	var digits, rest []byte
	for len(content) > 0 {
		line, after, _ := bytes.Cut(content, []byte("\n"))
		clean := bytes.Map(func(r rune) rune {
			if isBase64(r) {
				return r
			}
			return -1
		}, line)
		foreign := len(bytes.TrimRight(line, "= \t\r")) - len(clean)
		if 10*foreign > len(line) {
			rest = content
			break
		}
		digits, content = append(digits, clean...), after
	}
	if len(digits)%4 == 1 { // no byte ends there
		digits = digits[:len(digits)-1]
	}
	decoded, _ := base64.RawStdEncoding.AppendDecode(nil, digits) // nothing else is left in them
	if len(decoded) > 0 && len(rest) > 0 {
		decoded = append(decoded, '\n')
	}
	return append(decoded, rest...)
}

// decodeQuotedPrintable leaves what is no valid escape as it is.
func decodeQuotedPrintable(content []byte) []byte {
	out := make([]byte, 0, len(content))
	for i := 0; i < len(content); i++ {
		if content[i] != '=' {
			out = append(out, content[i])
			continue
		}
		end := i + 1 // of the blanks that may stand before the line's end
		for end < len(content) && (content[end] == ' ' || content[end] == '\t' || content[end] == '\r') {
			end++
		}
		switch {
		case i+2 < len(content) && unhex(content[i+1]) >= 0 && unhex(content[i+2]) >= 0:
			out = append(out, byte(unhex(content[i+1])<<4|unhex(content[i+2])))
			i += 2
		case end == len(content) || content[end] == '\n': // the line goes on in the next
			i = end
		default:
			out = append(out, '=')
		}
	}
	return out
}
