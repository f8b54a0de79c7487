package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// Mails makes mails like those that people receive: some hundred words each, with frequencies as in natural language,
// and few frequent categories, senders and lists. The same seed gives the same mails.
type Mails struct {
	random *rand.Rand
	zipf   *rand.Zipf
	words  []string // the frequent ones first
}

// vocabularySize is the number of different words in all mails.
const vocabularySize = 60_000

// frequent are the most frequent words, topical are words of some mails only; all other words are made up.
var (
	frequent = strings.Fields(`the to and of you a in for is on this we your with be that are it at from will have our i as or by
		not if can please mail all more an so me has my do new about any up out but time get was now here thank us meeting
		today week email may one just they like team see project there which would know his when work no date
		information monday let next march free day what send help who`)
	topical = strings.Fields("order invoice payment interview offer receipt meetup conference webinar berlin")
)

// NewMails returns a generator.
func NewMails(seed uint64) *Mails {
	random := rand.New(rand.NewPCG(seed, 1))
	m := &Mails{random: random, zipf: rand.NewZipf(random, 1.07, 4, vocabularySize-1), words: slices.Clone(frequent)}
	const consonants, vowels = "bcdfghklmnprstvw", "aeiou"
	seen := map[string]bool{}
	for topic := 0; len(m.words) < vocabularySize; {
		if topic < len(topical) && len(m.words) == 400+200*topic {
			m.words = append(m.words, topical[topic])
			topic++
		}
		var b strings.Builder
		for range 2 + random.IntN(3) {
			b.WriteByte(consonants[random.IntN(len(consonants))])
			b.WriteByte(vowels[random.IntN(len(vowels))])
		}
		if word := b.String(); !seen[word] {
			seen[word] = true
			m.words = append(m.words, word)
		}
	}
	return m
}

// Next makes a mail that the user received at a time; number makes its Message-ID.
func (m *Mails) Next(user string, number int, at time.Time) *events.Mail {
	kind := categories[skewed(m.random, len(categories))]
	domain := domains[skewed(m.random, len(domains))]
	mail := &events.Mail{
		UserID: user, MessageID: fmt.Sprintf("%d@load.example", number), Category: kind.name,
		Subject:    kind.subjects[m.random.IntN(len(kind.subjects))] + ": " + m.text(2+m.random.IntN(6)),
		Sender:     events.Address{Name: m.text(2), Address: fmt.Sprintf("team-%d@%s", skewed(m.random, 10), domain)},
		Recipients: []events.Address{{Address: "me@home.example"}},
		Labels:     []string{"inbox"}, ReceivedAt: at, RecordedAt: at,
		Text: m.text(20 + int(m.random.ExpFloat64()*330)),
	}
	if kind.name == "newsletter" || kind.name == "social" {
		mail.ListID = lists[skewed(m.random, len(lists))]
	}
	if m.random.IntN(10) == 0 {
		risk := m.random.IntN(101)
		mail.RiskScore, mail.Quarantined = &risk, risk > 90
	}
	return mail
}

func (m *Mails) text(count int) string {
	var b strings.Builder
	for range count {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(m.words[m.zipf.Uint64()])
		if m.random.IntN(12) == 0 {
			b.WriteByte('.')
		}
	}
	return b.String()
}
