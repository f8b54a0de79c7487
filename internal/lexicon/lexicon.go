// Package lexicon finds the phrases of several lists in a text, all in one pass, for rules over the words of mail.
//
// A phrase is one or more whole words. Case and punctuation are ignored, and all numbers are equal: "Save $50!" contains
// the phrase "save $1". The package knows no language; callers bring the lists.
package lexicon

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Lexicon is safe for concurrent use.
type Lexicon struct {
	lists   int
	phrases int
	byFirst map[string][]phrase // by the first word
}

// phrase is one entry of a list.
type phrase struct {
	rest   string // the words after the first, with a space before each and one at the end
	number int    // among all phrases
	list   int
}

// New returns a lexicon of the given lists.
func New(lists ...[]string) *Lexicon {
	l := &Lexicon{lists: len(lists), byFirst: map[string][]phrase{}}
	for list, entries := range lists {
		for _, entry := range entries {
			first, rest, _ := bytes.Cut(normalise(nil, entry), []byte(" "))
			l.byFirst[string(first)] = append(l.byFirst[string(first)], phrase{string(rest), l.phrases, list})
			l.phrases++
		}
	}
	return l
}

// Count returns, for each list, how many of its phrases stand in the text; how often they do does not matter.
func (l *Lexicon) Count(text string) []int {
	counts := make([]int, l.lists)
	seen := make([]bool, l.phrases)
	for words := normalise(make([]byte, 0, len(text)+len(text)/8), text); len(words) > 0; {
		word, after, _ := bytes.Cut(words, []byte(" "))
		for _, p := range l.byFirst[string(word)] {
			if !seen[p.number] && len(after) >= len(p.rest) && string(after[:len(p.rest)]) == p.rest {
				seen[p.number] = true
				counts[p.list]++
			}
		}
		words = after
	}
	return counts
}

// normalise appends the words of a text to words, each followed by one space. Signs of money, "%" and "@" are words of
// their own, a number is "0", and an apostrophe is nothing.
func normalise(words []byte, text string) []byte {
	open := false // a word has been begun
	finish := func() {
		if open {
			words, open = append(words, ' '), false
		}
	}
	for i := 0; i < len(text); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		i += size
		switch {
		case r >= 'a' && r <= 'z':
			words, open = append(words, byte(r)), true
		case r >= 'A' && r <= 'Z':
			words, open = append(words, byte(r)+'a'-'A'), true
		case r >= '0' && r <= '9':
			if !open || words[len(words)-1] != '0' {
				words, open = append(words, '0'), true
			}
		case r == '\'' || r == '’':
		case r == '$' || r == '€' || r == '£' || r == '%' || r == '@':
			finish()
			words = append(utf8.AppendRune(words, r), ' ')
		case r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r)):
			words, open = utf8.AppendRune(words, unicode.ToLower(r)), true
		default:
			finish()
		}
	}
	finish()
	return words
}
