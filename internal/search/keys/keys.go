// Package keys makes the keys by which the PostgreSQL engine finds mails: one for each word and for each value that is
// compared as a whole. The mailbox fold stores them in mails.search_words in the order of the text. An inverted index holds
// them as a set; whether words stand next to each other is decided by the stored text.
//
// Every key begins with a mark of the mail's user, so that the cost of a search does not depend on the mail of others. The
// mark is a hash, which users may share: it never replaces comparing user_id.
//
// Keys are stored: what this package writes is part of the mailbox's fold version.
package keys

import (
	"hash/fnv"
	"strings"

	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/tokenize"
)

// Kind tells what a key stands for.
type Kind byte

// The kinds of words, and of values in the form of tokenize.Lower.
const (
	SubjectWord   Kind = 's'
	BodyWord      Kind = 'b'
	SenderWord    Kind = 'n'
	RecipientWord Kind = 'r'
	Sender        Kind = 'f'
	Recipient     Kind = 't'
	SenderDomain  Kind = 'd'
	Category      Kind = 'c'
	Label         Kind = 'l'
	ListID        Kind = 'i'
	Is            Kind = 'q' // the value is Quarantined
	Has           Kind = 'h' // the value is the name of a field that the mail has
)

// Quarantined is the value of Is.
const Quarantined = "quarantined"

// Mail is what the keys of a mail are made of.
type Mail struct {
	UserID                               string
	Subject, Text                        string
	Sender, SenderName, SenderDomain     string
	Recipients, Labels                   []string
	Category, ListID                     string
	Quarantined, HasRiskScore, HasExpiry bool
}

// Mark returns the key that every mail of a user has, and that begins all their other keys.
func Mark(userID string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(userID)) // a hash takes all
	sum := hash.Sum64()
	var mark [4]byte
	for i := range mark {
		mark[i] = digits[sum>>(40+6*i)&63]
	}
	return string(mark[:])
}

// Of returns the key of a value for the user with a mark.
func Of(mark string, kind Kind, value string) string {
	return mark + string(rune(kind)) + spaces.Replace(value)
}

// spaces keeps the space for what stands between keys.
var spaces = strings.NewReplacer(" ", "\x1f")

// Quote writes a key as PostgreSQL reads it in a tsquery.
func Quote(key string) string { return "'" + quotes.Replace(key) + "'" }

var quotes = strings.NewReplacer(`\`, `\\`, `'`, `''`)

// maxBytes bounds the keys of a mail, since PostgreSQL allows at most 1 MiB. Only thousands of long addresses reach it; the
// last of those recipients are not found.
const maxBytes = 1_000_000

// list writes keys with single spaces between them.
type list struct {
	strings.Builder
	mark string
}

// Join returns the keys of a mail with single spaces between them, those of words in the order of the text.
func (m *Mail) Join() string {
	l := list{mark: Mark(m.UserID)}
	l.Grow(64 + 3*(len(m.Subject)+len(m.Text)))
	l.WriteString(l.mark)
	l.values(m)
	l.text(SubjectWord, "subject", m.Subject)
	l.text(BodyWord, "body", m.Text)
	for _, recipient := range m.Recipients {
		l.value(Recipient, "to", recipient)
		l.address(RecipientWord, recipient)
	}
	return l.String()
}

func (l *list) values(m *Mail) {
	l.value(Sender, "sender", m.Sender)
	l.words(SenderWord, m.SenderName)
	l.address(SenderWord, m.Sender)
	l.value(SenderDomain, "sender_domain", m.SenderDomain)
	l.value(Category, "category", m.Category)
	l.value(ListID, "list_id", m.ListID)
	for _, label := range m.Labels {
		l.value(Label, "labels", label)
	}
	if m.Quarantined {
		l.add(Is, Quarantined)
	}
	if m.HasRiskScore {
		l.add(Has, "risk_score")
	}
	if m.HasExpiry {
		l.add(Has, "expires_at")
	}
}

// value adds a value, and that the mail has the field, unless the value is empty.
func (l *list) value(kind Kind, field, value string) {
	if value != "" {
		l.add(kind, tokenize.Lower(value))
		l.add(Has, field)
	}
}

// text adds the words of a text, and that the mail has the field, unless the text is empty.
func (l *list) text(kind Kind, field, text string) {
	if text != "" {
		l.add(Has, field)
		l.words(kind, text)
	}
}

// address adds the words of an address, also as people write its domain.
func (l *list) address(kind Kind, text string) {
	for _, form := range domain.Forms(text) {
		l.words(kind, form)
	}
}

func (l *list) words(kind Kind, text string) {
	for word := range tokenize.All(text) {
		l.add(kind, word.Text)
	}
}

func (l *list) add(kind Kind, value string) {
	if l.Len()+len(l.mark)+len(value)+2 > maxBytes {
		return
	}
	l.WriteByte(' ')
	l.WriteString(l.mark)
	l.WriteByte(byte(kind))
	_, _ = spaces.WriteString(l, value) // a strings.Builder takes all
}
