package chat

import (
	"time"
)

// Kind is what a question wants.
type Kind string

// The kinds of intents.
const (
	Search     Kind = "search"     // mails
	Count      Kind = "count"      // how many mails there are
	Summary    Kind = "summary"    // what mails say
	Propose    Kind = "propose"    // actions on mails
	Explain    Kind = "explain"    // why actions are proposed
	Remember   Kind = "remember"   // that the person likes something or does not
	Money      Kind = "money"      // receipts, invoices, what was spent
	Networking Kind = "networking" // events
	Status     Kind = "status"     // how applications stand
	Help       Kind = "help"       // what can be asked
	Unknown    Kind = "unknown"    // something that is not done here, or told not to be done
)

// Kinds lists all kinds.
var Kinds = []Kind{Search, Count, Summary, Propose, Explain, Remember, Money, Networking, Status, Help, Unknown}

// Intent is what a question wants, as the rules found it.
type Intent struct {
	Kind     Kind
	Language string // of the question: en, de, fr or es

	// Query finds the mail that is meant, in the language of internal/search; empty finds all. Timed tells that it bounds
	// received_at, or that the question is about all times.
	Query string
	Timed bool

	// Wider finds mail with any of the words that Query has all of; empty when there are not several. Effects use only Query.
	Wider string

	// Words are those that the question is about, for ranking sentences.
	Words []string

	// Keep is what the person says to like or not. A Sender that is only a name has to be looked up in mail that Query finds.
	Keep []Preference
}

// Preference is a feature of mail with the weight that the person gives it.
type Preference struct {
	Feature string // empty when Sender is known by name only
	Sender  string
	Weight  float64
}

// Looks tells whether the intent needs mail.
func (i *Intent) Looks() bool { return i.Kind != Help && i.Kind != Unknown }

// Acts tells whether actions on the mail that Query finds may be proposed, if the person asked for that beside the question.
func (i *Intent) Acts() bool { return i.Looks() && i.Kind != Remember && i.Kind != Explain }

// mostRead is how much of a question is read, in bytes.
const mostRead = 4 << 10

// Read finds the intent of a question when it is now.
func Read(question string, now time.Time) Intent {
	question = cut(question, mostRead)
	if query, ok := typed(question); ok {
		return query
	}
	q := readQuestion(question)
	i := Intent{Kind: q.kind(), Language: q.language}
	if !i.Looks() {
		return i
	}
	f := q.filters(i.Kind, now)
	if i.Kind == Search && f.none() && !q.asksForMail() {
		i.Kind = Help
		return i
	}
	i.Query, i.Wider, i.Timed, i.Words = f.query(true), f.wider(), f.timed(), f.words
	if i.Kind == Remember {
		i.Keep = q.preferences(f)
	}
	return i
}

// cut returns at most so many bytes of a text, whole characters.
func cut(text string, bytes int) string {
	if len(text) <= bytes {
		return text
	}
	for bytes > 0 && text[bytes]&0xc0 == 0x80 {
		bytes--
	}
	return text[:bytes]
}
