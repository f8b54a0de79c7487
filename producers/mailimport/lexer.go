package mailimport

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The kinds of tokens of an address header. Each of the specials < > @ , ; : is its own kind.
const (
	spaceToken   = ' '
	atomToken    = 'a' // also of letters that no atom has: dots, brackets, backslashes
	quotedToken  = '"'
	commentToken = '('
	literalToken = '[' // the address of a host in place of its name
	strayToken   = '?' // the beginning of a quoted string or a comment that has no end, or the end of one that has no beginning
)

// token is a piece of an address header, as it is written.
type token struct {
	kind byte
	text string
}

// maxUnclosed is how many comments of a header may have no end. What is behind more of them is left out: each takes a search.
const maxUnclosed = 100

// lexer takes an address header apart into tokens.
type lexer struct {
	text     string
	words    bool // encoded words are atoms, whatever is in them
	unclosed int  // comments without an end
	noQuotes bool // those that are left have no end
}

// lex returns the tokens of a header. Together they are its text, unless that is nonsense. Encoded words may be atoms, whatever is in
// them.
func lex(header string, words bool) []token {
	l := lexer{text: header, words: words}
	var tokens []token
	behindAt := false
	for l.text != "" && l.unclosed <= maxUnclosed {
		t := token{l.kind(behindAt), ""}
		n := l.length(t.kind)
		if n == 0 {
			t.kind, n = strayToken, 1
		}
		t.text, l.text = l.text[:n], l.text[n:]
		if t.kind != spaceToken && t.kind != commentToken {
			behindAt = t.kind == '@'
		}
		tokens = append(tokens, t)
	}
	return tokens
}

// kind returns the kind of the next token.
func (l *lexer) kind(behindAt bool) byte {
	switch c := l.text[0]; {
	case strings.IndexByte(`"(<>@,;:`, c) >= 0:
		return c
	case c == ')':
		return strayToken
	case blank(l.text[:min(len(l.text), utf8.UTFMax)]) > 0:
		return spaceToken
	case c == '[' && behindAt && strings.IndexByte(l.text, ']') > 0:
		return literalToken
	}
	return atomToken
}

// length returns how many bytes the next token has, which is of this kind; 0 if it has no end.
func (l *lexer) length(kind byte) int {
	switch kind {
	case spaceToken:
		return blank(l.text)
	case quotedToken:
		return l.quoted()
	case commentToken:
		return l.comment()
	case literalToken:
		return strings.IndexByte(l.text, ']') + 1
	case atomToken:
		return l.atom()
	}
	return 1
}

// blank returns how many bytes of white space a text begins with, also of that beyond ASCII.
func blank(text string) int { return len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace)) }

func (l *lexer) quoted() int {
	for i := 1; i < len(l.text) && !l.noQuotes; i++ {
		switch l.text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	l.noQuotes = true
	return 0
}

func (l *lexer) comment() int {
	depth := 0
	for i := 0; i < len(l.text); i++ {
		switch l.text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	l.unclosed++
	return 0
}

// atom ends before a special or white space.
func (l *lexer) atom() int {
	for i := 0; i < len(l.text); i++ {
		if l.words && strings.HasPrefix(l.text[i:], "=?") {
			if n := len(wholeWord.FindString(l.text[i:min(len(l.text), i+maxWord)])); n > 0 {
				i += n - 1
				continue
			}
		}
		if strings.IndexByte(`"()<>@,;:`, l.text[i]) >= 0 || blank(l.text[i:min(len(l.text), i+utf8.UTFMax)]) > 0 {
			return i
		}
	}
	return len(l.text)
}

// maxWord is how many bytes an encoded word may have.
const maxWord = 200

// wholeWord matches an encoded word at the beginning of a text, also one with spaces and specials in it.
var wholeWord = regexp.MustCompile(`^=\?[!->@-~]{1,60}\?[bBqQ]\?[^?]*\?=`)
