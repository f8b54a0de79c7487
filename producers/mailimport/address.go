package mailimport

import (
	"regexp"
	"strings"

	"github.com/applylens/applylens/events"
)

// Limits of the import that are lower than those of the events.
const (
	maxRecipients  = 200
	maxDisplayName = 200
)

var bareAddress = regexp.MustCompile(`[^\s<>,;:"()\[\]\\@]+@[^\s<>,;:"()\\@]+`)

func isAddress(s string) bool {
	return s != "" && len(s) <= events.MaxAddress && bareAddress.FindString(s) == s
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

func parseAddress(item, charset string) (events.Address, bool) {
	name, found := "", ""
	if open := strings.LastIndexByte(item, '<'); open >= 0 {
		found, _, _ = strings.Cut(item[open+1:], ">")
		found, name = bareAddress.FindString(found), item[:open]
	} else if start := strings.IndexByte(item, '('); start >= 0 { // the obsolete form: address (name)
		name = strings.TrimSuffix(strings.TrimSpace(item[start+1:]), ")")
	}
	if found == "" {
		found = bareAddress.FindString(item)
	}
	found = strings.ToValidUTF8(strings.Trim(found, ". '"), "")
	return events.Address{Name: displayName(name, charset), Address: found}, isAddress(found)
}

// displayName unquotes, decodes and shortens a name.
func displayName(name, charset string) string {
	name = strings.TrimSpace(name)
	if len(name) > 1 && name[0] == '"' && name[len(name)-1] == '"' {
		name = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(name[1 : len(name)-1])
	}
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
