package chat

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

// notQuarantined keeps quarantined mail out of answers and prompts unless the person asks for it.
const notQuarantined = "NOT quarantined:true"

// The bounds of what is taken over from a question.
const (
	mostWords  = 12
	mostNames  = 4
	mostLength = search.MaxLength - 100 // of the query; the rest is left to a window of time
)

// word is a word of the question; used ones are understood.
type word struct {
	text string
	used bool
}

// filters are what a question says about the mail that it means. Every text in them is a word of tokenize, an address, or of this
// package: nothing else can come into a query.
type filters struct {
	language    string
	left        []word
	clauses     []string // of received_at
	always      bool     // about all times
	quarantined bool
	categories  []string
	addresses   []string
	domains     []string
	senders     [][]string // words of names
	phrases     [][]string
	words       []string
	kind        Kind
}

var quarantineWords = patterns(`quarantine, quarantined, quarantäne, quarantaine, cuarentena`)

// filters finds what a question says about mail.
func (q *question) filters(kind Kind, now time.Time) *filters {
	f := &filters{language: q.language, kind: kind, phrases: first(q.phrases, mostNames), addresses: first(q.addresses, mostNames), domains: first(q.domains, mostNames)}
	for i, text := range q.words {
		f.left = append(f.left, word{text: text, used: i < q.lead || text == addressMark})
	}
	f.quarantined = q.has(quarantineWords)
	f.times(kind, now.UTC())
	f.findSenders()
	f.findCategories()
	for i, w := range f.left {
		if !w.used && !f.stops(w.text) && !f.isAction(i) && !kindWords[kind][w.text] && !slices.Contains(f.words, w.text) {
			f.words = append(f.words, w.text)
		}
	}
	f.words = first(f.words, mostWords)
	return f
}

func first[T any](list []T, most int) []T { return list[:min(len(list), most)] }

func (f *filters) stops(text string) bool {
	return stopWords["en"][text] || stopWords[f.language][text] || longest(quarantineWords, []string{text}) > 0
}

// isAction tells whether the word at i says what is done to the mail.
func (f *filters) isAction(i int) bool {
	return actionWords[f.left[i].text] && (f.kind != Search || i > 0 && doers[f.left[i-1].text])
}

func (f *filters) findCategories() {
	for i := range f.left {
		w := &f.left[i]
		category := categoryWords[w.text]
		if category == "" && i+1 < len(f.left) && mailNouns[f.left[i+1].text] {
			category = categoryAdjectives[w.text]
		}
		if w.used || category == "" {
			continue
		}
		w.used = true
		if !slices.Contains(f.categories, category) {
			f.categories = append(f.categories, category)
		}
	}
}

// The words before the name of a sender. Those of French and Spanish mean more, and count only behind a word for mail.
var (
	senderBefore     = wordSet(`from by von vom`)
	senderBehindMail = wordSet(`de du des del d`)
	articles         = wordSet(`the my our a an der die das dem meinem meiner la le les l el los las mi mis mon ma mes`)
	mailBefore       = wordSet(`mail mails email message messages courriel courriels newsletter newsletters correo correos mensaje mensajes boletines publicité`)
)

// findSenders finds names behind "from" and the like.
func (f *filters) findSenders() {
	for i := range f.left {
		w := f.left[i]
		named := senderBefore[w.text] ||
			senderBehindMail[w.text] && (f.language == "fr" || f.language == "es") && i > 0 && mailBefore[f.left[i-1].text]
		if w.used || !named || len(f.senders) == mostNames {
			continue
		}
		if name := f.nameAt(i + 1); len(name) > 0 {
			f.senders = append(f.senders, name)
		}
	}
}

// nameAt takes the words of a name that begins at i, articles left out.
func (f *filters) nameAt(i int) []string {
	for i < len(f.left) && articles[f.left[i].text] {
		i++
	}
	var name []string
	for ; i < len(f.left) && len(name) < 3; i++ {
		w := &f.left[i]
		if w.used || f.stops(w.text) || categoryWords[w.text] != "" {
			break
		}
		w.used = true
		name = append(name, w.text)
	}
	return name
}

// none tells whether the question says nothing about the mail.
func (f *filters) none() bool {
	return !f.quarantined && !f.always && len(f.clauses)+len(f.categories)+len(f.addresses)+len(f.domains)+len(f.senders)+len(f.phrases)+len(f.words) == 0
}

func (f *filters) timed() bool { return f.always || len(f.clauses) > 0 }

// query builds the query that all words, or any of them, fulfil.
func (f *filters) query(all bool) string {
	b := &builder{}
	for _, clause := range first(f.clauses, mostNames) {
		b.and(clause)
	}
	b.and(anyOf("category", f.categories))
	b.and(f.from())
	for _, phrase := range f.phrases {
		b.and(quote(phrase))
	}
	switch f.kind {
	case Status:
		b.and(f.company())
	case Money:
		b.and(moneyClause)
	case Networking:
		b.and(eventClause)
	}
	if all && f.kind != Status {
		for _, text := range f.words {
			b.and("(" + says(text) + ")")
		}
	} else if len(f.words) > 0 && f.kind != Status {
		var any []string
		for _, text := range f.words {
			any = append(any, says(text))
		}
		b.and("(" + strings.Join(any, " OR ") + ")")
	}
	if f.quarantined {
		b.and("quarantined:true")
	} else {
		b.and(notQuarantined)
	}
	return b.String()
}

// wider returns the query that mail with any of the words fulfils, "" if there are not several.
func (f *filters) wider() string {
	if len(f.words) < 2 || f.kind == Status {
		return ""
	}
	return f.query(false)
}

// What mail is about money or events: the clauses of a question that names neither otherwise.
const (
	moneyClause = `(category:finance OR subject:"receipt" OR subject:"receipts" OR subject:"invoice" OR subject:"invoices" OR subject:"payment" OR subject:"order" OR subject:"refund" ` +
		`OR subject:"rechnung" OR subject:"facture" OR subject:"factura" OR subject:"recibo")`
	eventClause = `(category:event OR subject:"meetup" OR subject:"meetups" OR subject:"conference" OR subject:"conferences" OR subject:"webinar" OR subject:"webinars" OR subject:"workshop")`
)

// from returns the clause of the senders, any of whom may have written.
func (f *filters) from() string {
	var list []string
	for _, address := range f.addresses {
		list = append(list, `sender:"`+plain(address)+`"`)
	}
	for _, domain := range f.domains {
		list = append(list, `sender_domain:"`+plain(domain)+`"`)
	}
	for _, name := range f.senders {
		list = append(list, senderClause(name))
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return "(" + strings.Join(list, " OR ") + ")"
}

func senderClause(name []string) string {
	parts := make([]string, len(name))
	for i, text := range name {
		parts[i] = `sender:"` + text + `"`
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " ") + ")"
}

// company returns the clause of the companies that a question about applications names, or of mail that belongs to any.
func (f *filters) company() string {
	if len(f.words) == 0 {
		return "ats.system:*"
	}
	whole := strings.Join(f.words, " ")
	list := []string{`ats.company:"` + whole + `"`}
	for _, text := range f.words {
		list = append(list, says(text))
	}
	return "(" + strings.Join(list, " OR ") + ")"
}

// says matches mail that has a word, its plural or its singular, or whose sender is called so.
func says(text string) string {
	parts := []string{`"` + text + `"`}
	if other := otherForm(text); other != "" {
		parts = append(parts, `"`+other+`"`)
	}
	return strings.Join(append(parts, `sender:"`+text+`"`), " OR ")
}

// otherForm returns the plural of a word, or the singular, as far as an s makes it.
func otherForm(text string) string {
	length := utf8.RuneCountInString(text)
	switch {
	case length < 4 || length >= tokenize.MaxLength, strings.HasSuffix(text, "ss"), strings.Trim(text, "0123456789-") == "":
		return ""
	case strings.HasSuffix(text, "s"):
		return strings.TrimSuffix(text, "s")
	}
	return text + "s"
}

// quote writes words as a phrase.
func quote(words []string) string { return `"` + strings.Join(words, " ") + `"` }

// plain removes what would end a quote. Addresses that the question's patterns find have none of it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`"“”„‟\`, r) {
			return -1
		}
		return r
	}, text)
}

func anyOf(field string, values []string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return field + ":" + values[0]
	}
	return field + ":(" + strings.Join(values, " OR ") + ")"
}

// builder joins clauses, and leaves out those for which there is no room: a query has a greatest length.
type builder struct{ parts []string }

func (b *builder) and(clause string) {
	length := utf8.RuneCountInString(clause) + len(notQuarantined) + 1
	for _, part := range b.parts {
		length += utf8.RuneCountInString(part) + 1
	}
	if clause != "" && (length <= mostLength || clause == notQuarantined) {
		b.parts = append(b.parts, clause)
	}
}

func (b *builder) String() string { return strings.Join(b.parts, " ") }

// Within adds a window of days to a query.
func Within(query string, days string) string {
	return strings.TrimSpace("received_at:[now-" + days + "d TO now] " + query)
}
