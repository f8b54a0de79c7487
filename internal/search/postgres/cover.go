package postgres

import (
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/keys"
)

// cover is a bound that the index of keys gives for a part of a query: a tsquery, or nothing, because the part may hold for
// all mails or, as a lower bound, for none.
type cover struct {
	query string // empty when all or none is set
	all   bool
	none  bool
	open  bool // holds for a mail without any key
}

var (
	everything = cover{all: true, open: true}
	nothing    = cover{none: true}
)

// index writes tsqueries about the mails of the user with a mark.
type index struct{ mark string }

// tsquery returns a query that holds for all mails for which n does, false when that would be all of the user's mails.
func (x index) tsquery(n search.Node) (string, bool) {
	c := x.cover(n, true)
	if c.all {
		return "", false
	}
	if c.none {
		return "(" + keys.Quote(x.mark) + " & !" + keys.Quote(x.mark) + ")", true
	}
	if c.open {
		// Without a key that must be there, the index would be read whole, for all users.
		return keys.Quote(x.mark) + " & " + c.query, true
	}
	return c.query, true
}

// cover returns an upper bound of n, or a lower one.
func (x index) cover(n search.Node, upper bool) cover {
	switch n := n.(type) {
	case search.And:
		return x.both(n, upper)
	case search.Or:
		return x.either(n, upper)
	case search.Not:
		c := x.cover(n.Inner, !upper)
		c.all, c.none, c.open = c.none, c.all, !c.open
		if c.query != "" {
			c.query = "!" + c.query
		}
		return c
	case search.All:
		return everything
	case search.Phrase:
		if len(n.Words) > 1 && !upper {
			return nothing
		}
		return x.phrase(n)
	case search.Value:
		if kind, ok := kinds[n.Field]; ok {
			return x.key(kind, n.Text, n.Prefix)
		}
		if n.Field == search.Quarantined {
			return x.quarantined(n.Text == "true")
		}
	case search.Exists:
		if !isATS(n.Field) {
			return x.key(keys.Has, string(n.Field), false)
		}
	case search.Between[float64]:
		if upper && n.Field == search.RiskScore {
			return x.key(keys.Has, string(n.Field), false)
		}
	case search.Between[time.Time]:
		if upper && n.Field == search.ExpiresAt {
			return x.key(keys.Has, string(n.Field), false)
		}
	}
	if upper {
		return everything
	}
	return nothing
}

func (x index) both(list search.And, upper bool) cover {
	result := everything
	var parts []string
	for _, n := range list {
		c := x.cover(n, upper)
		if c.none {
			return nothing
		}
		result.open = result.open && c.open
		if !c.all {
			parts = append(parts, c.query)
		}
	}
	return result.of(parts, " & ")
}

func (x index) either(list search.Or, upper bool) cover {
	result := nothing
	var parts []string
	for _, n := range list {
		c := x.cover(n, upper)
		if c.all {
			return everything
		}
		result.open = result.open || c.open
		if !c.none {
			parts = append(parts, c.query)
		}
	}
	return result.of(parts, " | ")
}

// of returns c as it is when there are no parts, and else what they say together.
func (c cover) of(parts []string, operator string) cover {
	if len(parts) > 0 {
		c.query, c.all, c.none = "("+strings.Join(parts, operator)+")", false, false
	}
	return c
}

// phrase returns that all words are there.
func (x index) phrase(n search.Phrase) cover {
	parts := make([]string, len(n.Words))
	for i, word := range n.Words {
		parts[i] = x.key(wordKinds[n.Field], word, n.Prefix && i == len(n.Words)-1).query
	}
	return cover{}.of(parts, " & ")
}

func (x index) quarantined(is bool) cover {
	c := x.key(keys.Is, keys.Quarantined, false)
	if !is {
		c.query, c.open = "!"+c.query, true
	}
	return c
}

func (x index) key(kind keys.Kind, value string, prefix bool) cover {
	query := keys.Quote(keys.Of(x.mark, kind, value))
	if prefix {
		query += ":*"
	}
	return cover{query: query}
}

// kinds are the keys of fields that are compared as a whole, wordKinds those of words.
var (
	kinds = map[search.Field]keys.Kind{
		search.Sender: keys.Sender, search.To: keys.Recipient, search.SenderDomain: keys.SenderDomain, search.Category: keys.Category,
		search.Labels: keys.Label, search.ListID: keys.ListID,
	}
	wordKinds = map[search.Field]keys.Kind{
		search.Subject: keys.SubjectWord, search.Body: keys.BodyWord, search.Sender: keys.SenderWord, search.To: keys.RecipientWord,
	}
)

func isATS(field search.Field) bool { return strings.HasPrefix(string(field), "ats.") }

// isApplication tells whether a comparison is one with the application that a mail belongs to.
func isApplication(leaf search.Node) bool {
	switch n := leaf.(type) {
	case search.Value:
		return isATS(n.Field)
	case search.Exists:
		return isATS(n.Field)
	case search.Between[float64]:
		return isATS(n.Field)
	}
	return false
}

// isIndexed tells whether the index of keys can tell exactly for which mails a comparison holds.
func isIndexed(leaf search.Node) bool {
	switch n := leaf.(type) {
	case search.Phrase:
		return len(n.Words) == 1
	case search.Value:
		return n.Field != search.ID && !isApplication(n)
	case search.Exists:
		return !isApplication(n)
	}
	return false
}

// isTextual tells whether the keys of a mail in their order tell whether a comparison holds.
func isTextual(leaf search.Node) bool {
	_, phrase := leaf.(search.Phrase)
	return phrase || isIndexed(leaf)
}

// every tells whether all comparisons of n are of a kind.
func every(n search.Node, is func(leaf search.Node) bool) bool {
	other := func(part search.Node) bool { return !every(part, is) }
	switch n := n.(type) {
	case search.And:
		return !slices.ContainsFunc(n, other)
	case search.Or:
		return !slices.ContainsFunc(n, other)
	case search.Not:
		return every(n.Inner, is)
	case search.All:
		return true
	}
	return is(n)
}

// conjuncts returns the parts that must all hold for n to hold.
func conjuncts(n search.Node) []search.Node {
	all, ok := n.(search.And)
	if !ok {
		return []search.Node{n}
	}
	var list []search.Node
	for _, part := range all {
		list = append(list, conjuncts(part)...)
	}
	return list
}
