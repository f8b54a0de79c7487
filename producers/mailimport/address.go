package mailimport

import (
	"regexp"
	"slices"
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
	// bareAddress has a local part without quotes.
	bareAddress = regexp.MustCompile(`^[^\s\pZ<>,;:"()\[\]\\@]+@` + host + `$`)

	// quotedAddress has a local part in quotes, as RFC 5321 has it.
	quotedAddress = regexp.MustCompile(`^"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])+"@` + host + `$`)
)

// host is the name of a host, or its address in brackets.
const host = `(?:[^\s\pZ<>,;:"()\[\]\\@]+|\[[0-9A-Za-z.:-]+\])`

func isAddress(s string) bool {
	return s != "" && len(s) <= events.MaxAddress && strings.IndexFunc(s, unicode.IsControl) < 0 && (bareAddress.MatchString(s) || quotedAddress.MatchString(s))
}

// parseAddresses reads an address header by the grammar of RFC 5322, with obsolete forms and what else is unambiguous, before its
// encoded words are decoded: what stands in quotes, in a comment, in an encoded word or before brackets is no part of an address.
// Programs do not agree on quotes and commas within encoded words, so that an address must be one both with and without them.
func parseAddresses(header, charset string) []events.Address {
	list := readAddresses(lex(header, true), charset)
	if strings.Contains(header, "=?") {
		plain := readAddresses(lex(header, false), charset)
		list = slices.DeleteFunc(list, func(a events.Address) bool {
			return !slices.ContainsFunc(plain, func(b events.Address) bool { return a.Address == b.Address })
		})
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

func readAddresses(tokens []token, charset string) (list []events.Address) {
	for _, m := range mailboxes(tokens) {
		if address, ok := m.address(charset); ok && len(list) < maxRecipients {
			list = append(list, address)
		}
	}
	return list
}

// mailbox is one item of a list, taken apart.
type mailbox struct {
	phrase   strings.Builder // what stands outside brackets and comments, as it is written
	outside  []token         // the same without white space, behind the name of a group, with its comments
	brackets []token         // what stands in the last brackets; nil if there are none
	comment  string          // the last one
}

// mailboxes splits a list at commas and semicolons.
func mailboxes(tokens []token) []*mailbox {
	var list []*mailbox
	m := &mailbox{}
	groups := lastOf(tokens, ';') // the name of a group ends before it
	for i := 0; i < len(tokens); i++ {
		switch t := tokens[i]; t.kind {
		case ',', ';':
			list = append(list, m)
			m = &mailbox{}
		case ':':
			m.outside = nil
			if m.phrase.WriteString(t.text); i < groups {
				m = &mailbox{}
			}
		case '<':
			n, closed := bracketed(tokens[i+1:])
			m.bracket(tokens[i+1 : i+1+n])
			if i += n; closed {
				i++
			}
		case '>':
		default:
			m.add(t)
		}
	}
	return append(list, m)
}

func lastOf(tokens []token, kind byte) int {
	for i := len(tokens) - 1; i >= 0; i-- {
		if tokens[i].kind == kind {
			return i
		}
	}
	return -1
}

// bracketed returns how many tokens stand before the bracket that closes. Without one, what the brackets hold ends with the item.
func bracketed(tokens []token) (n int, closed bool) {
	end := len(tokens)
	for i, t := range tokens {
		switch t.kind {
		case '>':
			return i, true
		case '<':
			return min(i, end), false
		case ',', ';':
			end = min(end, i)
		}
	}
	return end, false
}

// add adds a token that stands outside brackets.
func (m *mailbox) add(t token) {
	switch t.kind {
	case commentToken:
		m.note(t)
		m.phrase.WriteByte(' ')
	default:
		m.phrase.WriteString(t.text)
	}
	if t.kind != spaceToken {
		m.outside = append(m.outside, t)
	}
}

func (m *mailbox) bracket(tokens []token) {
	m.brackets = []token{}
	for _, t := range tokens {
		switch t.kind {
		case commentToken:
			m.note(t)
			m.brackets = append(m.brackets, t)
		case spaceToken:
		default:
			m.brackets = append(m.brackets, t)
		}
	}
}

// note keeps what a comment says.
func (m *mailbox) note(t token) {
	if !isAt(t) {
		m.comment = escapes.Replace(t.text[1 : len(t.text)-1])
	}
}

// address returns the address in the brackets. What stands before them is its name, whatever it looks like, unless they are empty.
func (m *mailbox) address(charset string) (events.Address, bool) {
	if len(m.brackets) > 0 {
		name := m.phrase.String()
		if strings.TrimSpace(name) == "" {
			name = m.comment
		}
		found := wholeAddress(m.brackets, charset)
		return events.Address{Name: displayName(name, charset), Address: found}, found != ""
	}
	found := anyAddress(m.outside, charset)
	return events.Address{Name: displayName(m.comment, charset), Address: found}, found != ""
}

// wholeAddress returns the address that the tokens in brackets are, behind an obsolete route ("@a,@b:x@y") or a scheme.
func wholeAddress(tokens []token, charset string) string {
	if spoken := spokenAddress(tokens); spoken != "" {
		return spoken
	}
	tokens = withoutCommentTokens(tokens)
	if colon := lastOf(tokens, ':'); colon >= 0 && (tokens[0].kind == '@' || colon == 1 && strings.EqualFold(tokens[0].text, "mailto")) {
		tokens = tokens[colon+1:]
	}
	at := lastOf(tokens, '@')
	if at < 0 {
		return ""
	}
	found, from, to := addressAt(tokens, at, charset)
	if from > 0 || to < len(tokens) {
		return ""
	}
	return found
}

// anyAddress returns the first address among tokens without brackets.
func anyAddress(tokens []token, charset string) string {
	if spoken := spokenAddress(tokens); spoken != "" {
		return spoken
	}
	tokens = withoutCommentTokens(tokens)
	for at, t := range tokens {
		if t.kind != '@' {
			continue
		}
		if found, _, _ := addressAt(tokens, at, charset); found != "" {
			return found
		}
	}
	return ""
}

func withoutCommentTokens(tokens []token) []token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t token) bool { return t.kind == commentToken })
}

// spokenAddress returns an address as archives of lists hide it: "ann at example.org", also with brackets around the word.
func spokenAddress(tokens []token) string {
	var words []token
	for _, t := range tokens {
		if t.kind != commentToken || isAt(t) {
			words = append(words, t)
		}
	}
	if len(words) != 3 || words[0].kind != atomToken || !isAt(words[1]) || words[2].kind != atomToken {
		return ""
	}
	host := strings.TrimRight(words[2].text, ".")
	if found := words[0].text + "@" + host; strings.Contains(host, ".") && utf8.ValidString(found) && isAddress(found) {
		return found
	}
	return ""
}

func isAt(t token) bool {
	return strings.EqualFold(strings.Trim(t.text, "[( )]"), "at") && t.kind != quotedToken
}

// addressAt returns the address around an at sign, and where it begins and ends: words before it and a host behind it, with dots
// between, which may have white space and comments around them. It is empty if that is none.
func addressAt(tokens []token, at int, charset string) (found string, from, to int) {
	from, to = at-1, at+2
	for from > 0 && isWord(tokens[from]) && isWord(tokens[from-1]) && dotBetween(tokens[from-1], tokens[from]) {
		from--
	}
	for to < len(tokens) && tokens[to-1].kind == atomToken && tokens[to].kind == atomToken && dotBetween(tokens[to-1], tokens[to]) {
		to++
	}
	if from < 0 || to > len(tokens) || from > 0 && tokens[from-1].kind == '@' || to < len(tokens) && tokens[to].kind == '@' {
		return "", from, to
	}
	var before, behind strings.Builder
	for _, t := range tokens[from:at] {
		if !isWord(t) || t.kind == atomToken && strings.ContainsAny(t.text, `[]\`) {
			return "", from, to
		}
		before.WriteString(unescaped(t))
	}
	for _, t := range tokens[at+1 : to] {
		behind.WriteString(strings.Join(strings.Fields(t.text), ""))
	}
	local, host := before.String(), strings.TrimRight(behind.String(), ".")
	if inside, quoted := strings.CutSuffix(host, "'"); quoted { // 'x@y.example', as some programs have it
		local, host = strings.TrimPrefix(local, "'"), inside
	}
	local, known := decoded(local, charset)
	host, same := decoded(host, charset)
	if !known || !same {
		return "", from, to
	}
	if whole := local + "@" + host; isAddress(whole) {
		return whole, from, to
	}
	if whole := quoteEscapes.Replace(local); isAddress(`"` + whole + `"@` + host) {
		return `"` + whole + `"@` + host, from, to
	}
	return "", from, to
}

func isWord(t token) bool { return t.kind == atomToken || t.kind == quotedToken }

// dotBetween tells whether a dot joins two words.
func dotBetween(left, right token) bool {
	return left.kind == atomToken && strings.HasSuffix(left.text, ".") || right.kind == atomToken && strings.HasPrefix(right.text, ".")
}

// unescaped returns what a word means.
func unescaped(t token) string {
	if t.kind != quotedToken {
		return t.text
	}
	return escape.ReplaceAllString(t.text[1:len(t.text)-1], "$1")
}

var (
	escape       = regexp.MustCompile(`(?s)\\(.)`)
	quoteEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// decoded returns a part of an address that is not in UTF-8 by the character set; false if that is unknown or wrong: to guess, or to
// leave bytes out, would make another address.
func decoded(part, charset string) (string, bool) {
	if utf8.ValidString(part) {
		return part, !strings.Contains(part, replacement)
	}
	if charset == "" {
		return "", false
	}
	part = decodeText([]byte(part), charset)
	return part, !strings.Contains(part, replacement)
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
