// Package tokenize splits texts into the words that search compares. It is the only tokenizer: the mailbox fold, queries and
// the documents of every search engine use it, so that all engines find the same mails.
//
// A word is a letter or digit and the letters, digits and marks that follow it. Each ideograph and kana is a word, since
// their languages put no spaces between words: several of them are searched as a phrase. Words are compared in Unicode's
// normal form C under full case folding, and only their first 64 characters count. There is no stemming and there are no
// stop words.
package tokenize

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxLength is the number of characters at which a word is cut.
const MaxLength = 64

// Word is one word of a text: its normal form, and the bytes of the text where it stands.
type Word struct {
	Text       string
	Start, End int
}

// All returns the words of a text in their order.
func All(text string) iter.Seq[Word] {
	return func(yield func(Word) bool) {
		for at := 0; ; {
			start, end := bounds(text, at)
			if start == end || !yield(Word{cut(normal(text[start:end])), start, end}) {
				return
			}
			at = end
		}
	}
}

// Split returns the words of a text.
func Split(text string) []string {
	var list []string
	for word := range All(text) {
		list = append(list, word.Text)
	}
	return list
}

// Join returns the words of a text with one space between two of them. It is what a text is to search: texts with the
// same words are the same.
func Join(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for word := range All(text) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word.Text)
	}
	return b.String()
}

// Lower returns a value that is compared as a whole, such as a category or an address, in the form in which such values
// are compared: normal form C, in lower case.
func Lower(value string) string { return strings.ToLower(norm.NFC.String(value)) }

// bounds finds the first word at or after from; both results are the text's length when there is none.
func bounds(text string, from int) (start, end int) {
	start = from
	var first rune
	size := 0
	for start < len(text) {
		if first, size = utf8.DecodeRuneInString(text[start:]); begins(first) {
			break
		}
		start += size
	}
	if start == len(text) {
		return start, start
	}
	alone := standsAlone(first)
	for end = start + size; end < len(text); end += size {
		var r rune
		r, size = utf8.DecodeRuneInString(text[end:])
		if !continues(r, alone) {
			break
		}
	}
	return start, end
}

// begins tells whether a word can begin with r.
func begins(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

// continues tells whether r belongs to the word before it; alone is whether that is an ideograph.
func continues(r rune, alone bool) bool {
	if begins(r) {
		return !alone && !standsAlone(r)
	}
	return r >= utf8.RuneSelf && unicode.IsMark(r)
}

// standsAlone tells whether r is a word by itself.
func standsAlone(r rune) bool {
	const first = '\u2e80' // nothing before it is an ideograph or kana
	return r >= first && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}

// normal returns the form in which a word is compared.
func normal(word string) string {
	ascii, lower := true, true
	for i := range len(word) {
		ascii = ascii && word[i] < utf8.RuneSelf
		lower = lower && (word[i] < 'A' || word[i] > 'Z')
	}
	switch {
	case ascii && lower:
		return word
	case ascii:
		return strings.ToLower(word)
	}
	if first, _ := utf8.DecodeRuneInString(word); standsAlone(first) {
		return norm.NFC.String(word)
	}
	// Folding makes Cherokee small letters capital and capital ones small; lower case makes both small.
	return norm.NFC.String(strings.ToLower(cases.Fold().String(norm.NFD.String(word))))
}

func cut(word string) string {
	if len(word) <= MaxLength {
		return word
	}
	count := 0
	for at := range word {
		if count == MaxLength {
			return word[:at]
		}
		count++
	}
	return word
}
