package mailimport

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// encodedWord matches an encoded word of RFC 2047, also with spaces or question marks inside, as broken senders write.
var encodedWord = regexp.MustCompile(`=\?([!->@-~]{1,60})\?([bBqQ])\?(.*?)\?=`)

// decodeHeader returns a header's value with its encoded words decoded. Adjacent words of the same character set are
// decoded together, since many senders split characters between them. Bytes that are neither ASCII nor encoded are read
// in the given character set. Invalid words stay as they are.
func decodeHeader(value, label string) string {
	var out strings.Builder
	var words neighbours
	for {
		at := encodedWord.FindStringSubmatchIndex(value)
		if at == nil {
			break
		}
		between := value[:at[0]]
		set, _, _ := strings.Cut(strings.ToLower(value[at[2]:at[3]]), "*") // a language may follow the set
		if strings.TrimSpace(between) != "" || words.set != set {
			out.WriteString(words.text())
			if strings.TrimSpace(between) != "" || words.set == "" {
				out.WriteString(decodeText([]byte(between), label))
			}
			words = neighbours{set: set}
		}
		words.bytes = append(words.bytes, decodeWord(value[at[4]:at[5]], value[at[6]:at[7]])...)
		value = value[at[1]:]
	}
	out.WriteString(words.text())
	out.WriteString(decodeText([]byte(value), label))
	return out.String()
}

// neighbours is the content of adjacent encoded words of one character set.
type neighbours struct {
	set   string
	bytes []byte
}

func (n neighbours) text() string { return decodeText(n.bytes, n.set) }

// decodeWord decodes the valid part of an encoded word.
func decodeWord(encoding, text string) []byte {
	if strings.EqualFold(encoding, "q") {
		return decodeQ(text)
	}
	text = strings.TrimRight(strings.Map(func(r rune) rune {
		if isBase64(r) {
			return r
		}
		return -1
	}, text), "=")
	if len(text)%4 == 1 { // a single digit encodes no byte
		text = text[:len(text)-1]
	}
	decoded, _ := base64.RawStdEncoding.DecodeString(text) // cannot fail: only digits are left
	return decoded
}

func decodeQ(text string) []byte {
	var out []byte
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(text) && unhex(text[i+1]) >= 0 && unhex(text[i+2]) >= 0:
			out = append(out, byte(unhex(text[i+1])<<4|unhex(text[i+2])))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
