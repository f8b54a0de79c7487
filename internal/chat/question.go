package chat

import (
	"regexp"
	"slices"
	"strings"

	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/tokenize"
)

// The parts of a question that are no words of it.
var (
	quoted      = regexp.MustCompile(`"([^"]*)"|“([^”]*)”|„([^“”]*)[“”]|«([^»]*)»`)
	addressText = regexp.MustCompile(`[\p{L}\d._%+-]+@(?:[\p{L}\d-]+\.)+\p{L}{2,}`)
	domainText  = regexp.MustCompile(`\b(?:[\p{L}\d](?:[\p{L}\d-]*[\p{L}\d])?\.)+[a-z]{2,}\b`)
	dateText    = regexp.MustCompile(`\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01]))?\b`)
	noWord      = regexp.MustCompile(addressText.String() + `|` + dateText.String() + `|` + domainText.String())
)

// question is a question in parts. What is quoted, and addresses, are no words: they name mail and say nothing about intents.
type question struct {
	language  string
	phrases   [][]string // quoted
	addresses []string
	domains   []string
	words     []string // all others, as tokenize writes them; a date is one word, with its hyphens
	lead      int      // how many of them are only politeness
}

func readQuestion(text string) *question {
	q := &question{}
	text = quoted.ReplaceAllStringFunc(text, func(part string) string {
		if words := tokenize.Split(part); len(words) > 0 {
			q.phrases = append(q.phrases, words)
		}
		return " "
	})
	at := 0
	for _, place := range noWord.FindAllStringIndex(text, -1) {
		q.words = append(q.words, tokenize.Split(text[at:place[0]])...)
		q.words = append(q.words, q.place(text[place[0]:place[1]]))
		at = place[1]
	}
	q.words = append(q.words, tokenize.Split(text[at:])...)
	q.language = languageOf(q.words)
	q.lead = q.politeness()
	return q
}

// place notes an address or a domain, and returns what stands for it among the words; a date stands for itself.
func (q *question) place(text string) string {
	switch {
	case strings.Contains(text, "@"):
		q.addresses = append(q.addresses, domain.Address(text))
	case dateText.MatchString(text):
		return text
	default:
		q.domains = append(q.domains, domain.Of(text))
	}
	return addressMark
}

// addressMark stands for an address among the words, so that the words around it are not taken for neighbours. Nobody's word: a
// word of a question is in lower case.
const addressMark = "ADDRESS"

// politeness returns how many words at the beginning only wrap what is wanted.
func (q *question) politeness() int {
	at := 0
	for at < len(q.words) {
		longest := 0
		for _, p := range polite {
			longest = max(longest, p.at(q.words[at:]))
		}
		if longest == 0 {
			break
		}
		at += longest
	}
	return at
}

// pattern is a sequence of words.
type pattern []wanted

// wanted is a word of a pattern; a prefix stands for all words that begin so.
type wanted struct {
	text             string
	prefix, optional bool
}

// patterns reads patterns with commas between them. A word that ends in * is a prefix, and one in brackets may be left out.
func patterns(list string) []pattern {
	var all []pattern
	for line := range strings.SplitSeq(list, ",") {
		var p pattern
		for word := range strings.FieldsSeq(line) {
			plain := strings.Trim(word, "[]*")
			p = append(p, wanted{plain, strings.HasSuffix(word, "*"), strings.HasPrefix(word, "[")})
		}
		if len(p) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// at returns how many words the pattern takes from the beginning of words; 0 when it does not stand there.
func (p pattern) at(words []string) int {
	n := 0
	for _, w := range p {
		if n < len(words) && w.matches(words[n]) {
			n++
		} else if !w.optional {
			return 0
		}
	}
	return n
}

func (w wanted) matches(word string) bool {
	return w.text == word || w.prefix && strings.HasPrefix(word, w.text)
}

// has tells whether any of the patterns stands anywhere in the question.
func (q *question) has(list []pattern) bool {
	return slices.ContainsFunc(list, func(p pattern) bool { return find(q.words, p) >= 0 })
}

// starts tells whether the question begins with any of the patterns, politeness left out.
func (q *question) starts(list []pattern) bool {
	return slices.ContainsFunc(list, func(p pattern) bool { return p.at(q.words[q.lead:]) > 0 })
}

// find returns where a pattern stands in words, -1 for nowhere.
func find(words []string, p pattern) int {
	for i := range words {
		if p.at(words[i:]) > 0 {
			return i
		}
	}
	return -1
}

// only tells whether all words of the question are in the set.
func (q *question) only(set map[string]bool) bool {
	return !slices.ContainsFunc(q.words, func(word string) bool { return !set[word] })
}

// named tells whether the question names mail by a quote or an address.
func (q *question) named() bool { return len(q.phrases)+len(q.addresses)+len(q.domains) > 0 }
