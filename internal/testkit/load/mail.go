package load

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// Mails makes mails as people receive them: some hundred words each, of which a few are in every mail and most in hardly
// any; categories, senders and lists of which few are frequent. The same seed gives the same mails.
type Mails struct {
	random *rand.Rand
	zipf   *rand.Zipf
	words  []string // the frequent ones first
}

// vocabularySize is how many different words the mails have together.
const vocabularySize = 60_000

// frequent are the words that mails have most often, topical ones that some mails have; the others are made up.
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

// Next makes the mail of a user with a number, received at a time.
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
