package mailimport

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// encodedWord is an encoded word of RFC 2047, also with spaces or question marks inside, as broken senders write them.
var encodedWord = regexp.MustCompile(`=\?([!->@-~]{1,60})\?([bBqQ])\?(.*?)\?=`)

// decodeHeader returns a header's value with its encoded words decoded. Words next to each other are decoded as one
// when they name the same character set, since many senders cut characters in two; bytes that are neither ASCII nor
// encoded are taken for the given character set. What cannot be decoded stays as it is.
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

// neighbours is what encoded words of one character set say that stand next to each other.
type neighbours struct {
	set   string
	bytes []byte
}

func (n neighbours) text() string { return decodeText(n.bytes, n.set) }

// decodeWord decodes the text of an encoded word as far as it goes.
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
	if len(text)%4 == 1 { // no byte ends there
		text = text[:len(text)-1]
	}
	decoded, _ := base64.RawStdEncoding.DecodeString(text) // nothing else is left in it
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
