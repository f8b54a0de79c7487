package mailimport

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// decodeTransfer decodes the valid part of a Content-Transfer-Encoding. An unknown encoding is ignored.
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

// decodeBase64 decodes up to the first line that is not base64. The rest is kept as it is: mailing lists append plain
// footers, and some senders declare an encoding that they do not use.
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
	if len(digits)%4 == 1 { // a single digit encodes no byte
		digits = digits[:len(digits)-1]
	}
	decoded, _ := base64.RawStdEncoding.AppendDecode(nil, digits) // cannot fail: only digits are left
	if len(decoded) > 0 && len(rest) > 0 {
		decoded = append(decoded, '\n')
	}
	return append(decoded, rest...)
}

// decodeQuotedPrintable keeps invalid escapes as they are.
func decodeQuotedPrintable(content []byte) []byte {
	out := make([]byte, 0, len(content))
	for i := 0; i < len(content); i++ {
		if content[i] != '=' {
			out = append(out, content[i])
			continue
		}
		end := i + 1 // after optional blanks before the line ending
		for end < len(content) && (content[end] == ' ' || content[end] == '\t' || content[end] == '\r') {
			end++
		}
		switch {
		case i+2 < len(content) && unhex(content[i+1]) >= 0 && unhex(content[i+2]) >= 0:
			out = append(out, byte(unhex(content[i+1])<<4|unhex(content[i+2])))
			i += 2
		case end == len(content) || content[end] == '\n': // a soft line break
			i = end
		default:
			out = append(out, '=')
		}
	}
	return out
}
