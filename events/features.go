package events

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FeatureRule is the version of the rule that Features implements: that of events that come without features. Our own proposals have
// those of policy.FeatureRule.
const FeatureRule = 1

// The prefixes of the features.
const (
	FeatureCategory     = "category:"
	FeatureContains     = "contains:"
	FeatureListID       = "listid:"
	FeatureSender       = "sender:" // an address; from rule 2 on
	FeatureSenderDomain = "sender_domain:"
)

// featureTokens are the words that count when a subject contains them, sorted.
var featureTokens = []string{"conference", "deal", "discount", "event", "interview", "invoice", "meetup", "newsletter",
	"offer", "order", "payment", "promotion", "receipt", "reminder", "sale", "shipping", "webinar"}

// containsFeatures are the features of featureTokens, so that Features allocates no text for them.
var containsFeatures = func() []string {
	list := make([]string, len(featureTokens))
	for i, token := range featureTokens {
		list[i] = FeatureContains + token
	}
	return list
}()

// Features returns the features of a mail by rule 1, sorted and each once:
//
//	category:<c>       the category, as it is
//	contains:<token>   for each of the 17 tokens that is a word of the subject
//	listid:<l>         the List-Id, as it is
//	sender_domain:<d>  the registrable domain of the sender, as it is
//
// An empty field yields no feature. A word is a run of letters, marks and digits between other characters. Words are
// compared under Unicode's simple case folding; a word matches a token if it is the token, or the token and an "s".
// So "SALES!", "pre-order" and "discounts" match, and "Salesforce", "border" and "order66" do not.
func Features(mail MailRef) []string {
	return appendFeatures(nil, &mail, func(prefix, text string) string { return prefix + text })
}

// derive appends the features of a mail to list.
func (d *Decoder) derive(list []string, mail *MailRef) []string {
	return appendFeatures(list, mail, func(prefix, text string) string {
		var room [internBytes]byte
		return d.intern(append(append(room[:0], prefix...), text...))
	})
}

func appendFeatures(list []string, mail *MailRef, join func(prefix, text string) string) []string {
	if mail.Category != "" {
		list = append(list, join(FeatureCategory, mail.Category))
	}
	list = appendContains(list, mail.Subject)
	if mail.ListID != "" {
		list = append(list, join(FeatureListID, mail.ListID))
	}
	if mail.SenderDomain != "" {
		list = append(list, join(FeatureSenderDomain, mail.SenderDomain))
	}
	return list
}

// appendContains appends the contains: features of a subject in the order of their tokens.
func appendContains(list []string, subject string) []string {
	var found [32]bool
	for len(subject) > 0 {
		end := strings.IndexFunc(subject, notInWord)
		if end < 0 {
			end = len(subject)
		}
		if i := tokenOf(subject[:end]); i >= 0 {
			found[i] = true
		}
		_, size := utf8.DecodeRuneInString(subject[end:])
		subject = subject[end+size:]
	}
	for i, feature := range containsFeatures {
		if found[i] {
			list = append(list, feature)
		}
	}
	return list
}

func notInWord(r rune) bool {
	if r < utf8.RuneSelf {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	}
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r)
}

// tokenOf returns the index of the token that word matches, -1 if there is none.
func tokenOf(word string) int {
	if len(word) < len("deal") {
		return -1
	}
	if token, ascii := lowerASCII(word); ascii {
		if i, found := tokenIndex[string(token.b[:token.n])]; found {
			return i
		}
		return -1
	}
	return slices.IndexFunc(featureTokens, func(token string) bool {
		return strings.EqualFold(word, token) || hasPlural(word, token)
	})
}

// tokenIndex finds a token by itself and by its plural, in lower case.
var tokenIndex = func() map[string]int {
	index := map[string]int{}
	for i, token := range featureTokens {
		index[token], index[token+"s"] = i, i
	}
	return index
}()

// lowerWord is a word in lower case, cut where it is longer than any token.
type lowerWord struct {
	b [16]byte
	n int
}

// lowerASCII returns a word in lower case, or false for one with other letters, whose case folding is Unicode's.
func lowerASCII(word string) (lower lowerWord, ascii bool) {
	for i := range len(word) {
		c := word[i]
		if c >= utf8.RuneSelf {
			return lower, false
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i < len(lower.b) {
			lower.b[i] = c
			lower.n++
		}
	}
	return lower, true
}

// hasPlural reports whether word is token and an "s".
func hasPlural(word, token string) bool {
	last, size := utf8.DecodeLastRuneInString(word)
	return strings.EqualFold(string(last), "s") && strings.EqualFold(word[:len(word)-size], token)
}

// FeatureOfWord returns the feature of a word of a subject, "" if it has none.
func FeatureOfWord(word string) string {
	if i := tokenOf(word); i >= 0 {
		return containsFeatures[i]
	}
	return ""
}
