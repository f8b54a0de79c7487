package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/tokenize"
)

// Snippet returns about length characters of a text on one line: around the first word that n looks for in a subject
// or body, or else from its beginning.
func Snippet(text string, n Node, length int) string {
	sought := map[string]bool{}
	seek(n, sought)
	from := 0
	for word := range tokenize.All(text) {
		if found(word.Text, sought) {
			from = word.Start
			break
		}
	}
	from = back(text, from, length/3)
	return line(text[from:], length, from > 0)
}

// seek collects the words that a node looks for; true marks those that may be the beginning of a word.
func seek(n Node, sought map[string]bool) {
	switch n := n.(type) {
	case And:
		for _, part := range n {
			seek(part, sought)
		}
	case Or:
		for _, part := range n {
			seek(part, sought)
		}
	case Phrase:
		if n.Field == Subject || n.Field == Body {
			for i, word := range n.Words {
				sought[word] = sought[word] || n.Prefix && i == len(n.Words)-1
			}
		}
	}
}

func found(word string, sought map[string]bool) bool {
	if _, is := sought[word]; is {
		return true
	}
	for part, prefix := range sought {
		if prefix && strings.HasPrefix(word, part) {
			return true
		}
	}
	return false
}

// back moves a place in a text back by a number of bytes, or less, to where a new word begins.
func back(text string, from, bytes int) int {
	at := from - bytes
	if at <= 0 {
		return 0
	}
	if space := strings.IndexFunc(text[at:from], unicode.IsSpace); space >= 0 {
		at += space
	}
	for !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}

// line writes the beginning of a text with one space for any space, and dots where something is left out.
func line(text string, length int, cut bool) string {
	var b strings.Builder
	if cut {
		b.WriteString("… ")
	}
	count, space := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) {
			space = count > 0
			continue
		}
		if count >= length {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
			count++
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}
