package mailimport

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
)

// Limits of the import that are lower than those of the events.
const (
	maxRecipients  = 200
	maxDisplayName = 200
)

var (
	bareAddress = regexp.MustCompile(`[^\s<>,;:"()\[\]\\@]+@[^\s<>,;:"()\\@]+`)

	// quotedAddress has a local part in quotes, as RFC 5321 has it.
	quotedAddress = regexp.MustCompile(`^"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])+"@[^\s<>,;:"()\\@]+$`)

	// spokenAddress is how archives of lists hide addresses.
	spokenAddress = regexp.MustCompile(`^([^\s<>,;:"()\[\]\\@]+) at ([^\s<>,;:"()\\@]+\.[^\s<>,;:"()\\@]+)$`)
)

func isAddress(s string) bool {
	return s != "" && len(s) <= events.MaxAddress && strings.IndexFunc(s, unicode.IsControl) < 0 && (bareAddress.FindString(s) == s || quotedAddress.MatchString(s))
}

// parseAddresses reads an address header before its encoded words are decoded, since a decoded name may contain commas.
// Invalid items are used if they resemble an address.
func parseAddresses(header, charset string) []events.Address {
	var list []events.Address
	for _, item := range splitAddresses(header) {
		if address, ok := parseAddress(item, charset); ok && len(list) < maxRecipients {
			list = append(list, address)
		}
	}
	return list
}

// parseAddress reads a mailbox by the grammar of RFC 5322, with obsolete forms and what else is unambiguous. Whatever stands in
// quotes, in a comment or before the brackets is no part of the address.
func parseAddress(item, charset string) (events.Address, bool) {
	m, closed := takeApart(item)
	if !closed {
		return looseAddress(item, charset)
	}
	name, found := m.phrase, addressOf(m.angled, charset)
	if found == "" {
		found, name = bareOf(m.phrase, charset), m.comment
	} else if strings.TrimSpace(name) == "" {
		name = m.comment
	}
	return events.Address{Name: displayName(name, charset), Address: found}, isAddress(found)
}

// mailbox is one item of a list taken apart: what stands outside brackets and comments, the last brackets and the last comment.
type mailbox struct{ phrase, angled, comment string }

// takeApart returns false if a quote, a comment or a bracket has no end.
func takeApart(item string) (m mailbox, closed bool) {
	var phrase strings.Builder
	quoted, comment, angled, start := false, 0, false, 0
	for i := 0; i < len(item); i++ {
		c := item[i]
		keep := comment == 0 && !angled
		switch {
		case c == '\\' && (quoted || comment > 0) && i+1 < len(item):
			if keep {
				phrase.WriteByte(c)
			}
			i++
			c = item[i]
		case quoted:
			quoted = c != '"'
		case c == '"' && comment == 0:
			quoted = true
		case c == '(' && !angled:
			if comment++; comment == 1 {
				start = i + 1
			}
			keep = false
		case c == ')' && comment > 0:
			if comment--; comment == 0 {
				m.comment = escapes.Replace(item[start:i])
				phrase.WriteByte(' ')
			}
		case comment > 0:
		case c == '<' && !angled:
			angled, start, keep = true, i+1, false
		case c == '>' && angled:
			angled = false
			m.angled = item[start:i]
		}
		if keep {
			phrase.WriteByte(c)
		}
	}
	m.phrase = phrase.String()
	return m, !quoted && comment == 0 && !angled
}

// bareOf returns the address among the words of a phrase.
func bareOf(phrase, charset string) string {
	if whole := addressOf(phrase, charset); whole != "" {
		return whole
	}
	if spoken := spokenAddress.FindStringSubmatch(strings.TrimSpace(phrase)); spoken != nil {
		return spoken[1] + "@" + spoken[2]
	}
	for _, word := range strings.Fields(quotedText.ReplaceAllString(phrase, " ")) {
		if found := addressOf(word, charset); found != "" {
			return found
		}
	}
	return ""
}

// addressOf returns an address without what senders put around it; empty if the text is none. Bytes that are not ASCII are
// read in the character set: to leave any out would make another address.
func addressOf(text, charset string) string {
	text = strings.Trim(text, " \t\r\n'.")
	if strings.HasPrefix(text, "@") { // an obsolete route: "@a,@b:x@y"
		if _, after, found := strings.Cut(text, ":"); found {
			text = after
		}
	}
	if !utf8.ValidString(text) {
		if charset == "" {
			return "" // a guess would be one at another address
		}
		text = decodeText([]byte(text), charset)
	}
	if strings.Contains(text, replacement) {
		return ""
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return ""
	}
	local, domain := strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])
	if plain := unquote(local); plain != local && isAddress(plain+"@"+domain) && !strings.Contains(plain, "@") {
		local = plain // the quotes are not needed
	}
	if whole := local + "@" + domain; isAddress(whole) {
		return whole
	}
	return ""
}

// looseAddress reads an item in which something has no end: the last brackets, or else what resembles an address first.
func looseAddress(item, charset string) (events.Address, bool) {
	name, found := "", ""
	if open := strings.LastIndexByte(item, '<'); open >= 0 {
		found, _, _ = strings.Cut(item[open+1:], ">")
		found, name = bareAddress.FindString(found), item[:open]
	}
	if found == "" {
		found = bareAddress.FindString(item)
	}
	found = addressOf(found, charset)
	return events.Address{Name: displayName(name, charset), Address: found}, isAddress(found)
}

// escapes takes back what is escaped in quotes and comments.
var escapes = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\(`, `(`, `\)`, `)`)

// unquote returns the text of a quoted string, and any other text as it is.
func unquote(text string) string {
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		return escapes.Replace(text[1 : len(text)-1])
	}
	return text
}

// displayName unquotes, decodes and shortens a name.
func displayName(name, charset string) string {
	name = unquote(strings.TrimSpace(name))
	return events.CleanText(strings.Join(strings.Fields(decodeHeader(name, charset)), " "), maxDisplayName)
}

// splitAddresses splits a list at commas and semicolons outside quotes, comments, brackets and encoded words. The name of a
// group is dropped. An unclosed quote, comment or bracket is treated as text.
func splitAddresses(header string) []string {
	items, closed := split(header, true)
	if !closed {
		items, _ = split(header, false)
	}
	return items
}

func split(header string, strict bool) (items []string, closed bool) {
	start, quoted, comment, angled := 0, false, 0, false
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && strict && comment == 0:
			quoted = !quoted
		case quoted:
		case c == '=' && strings.HasPrefix(header[i:], "=?"):
			if word := encodedWord.FindStringIndex(header[i:min(len(header), i+200)]); word != nil && word[0] == 0 {
				i += word[1] - 1
			}
		case c == '(' && strict:
			comment++
		case c == ')':
			comment = max(comment-1, 0)
		case comment > 0:
		case strict && (c == '<' || c == '>'):
			angled = c == '<'
		case angled:
		case strict && c == ':' && !strings.Contains(header[start:i], "@"): // "group: a@b, c@d;"
			start = i + 1
		case c == ',' || c == ';':
			items = append(items, header[start:i])
			start = i + 1
		}
	}
	return append(items, header[start:]), !quoted && comment == 0 && !angled
}
