package searchtest

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

// The values of random mails and queries, few enough that they often match.
var (
	vocabulary = []string{"go", "meetup", "meet", "invoice", "berlin", "now", "the", "über", "straße", "会議", "re", "42"}
	people     = []string{"Ann", "ann smith", "Bob", ""}
	addresses  = []string{"ann@x.example", "bob@mail.x.example", "no-reply@shop.example", "ann@x.example.org", "jo@bücher.example"}
	categories = []string{"promo", "event", "finance", "personal"}
	labels     = []string{"work", "To Do", `a"b\c`, "Ünï", "it's"}
	lists      = []string{"", "", "go.lists.example", "news.shop.example"}
	stages     = []string{"Onsite", "Offer", "Final Round", "Applied", ""}
	companies  = []string{"Acme", "Ünicorn GmbH", ""}
	systems    = []string{"greenhouse", "lever"}
)

func text(t *rapid.T, most int) string {
	count := rapid.IntRange(0, most).Draw(t, "words")
	all := ""
	for range count {
		all += rapid.SampledFrom(vocabulary).Draw(t, "word") + rapid.SampledFrom([]string{" ", ", ", "-", "\n"}).Draw(t, "between")
	}
	return all
}

func clock(t *rapid.T) time.Time {
	return now.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "half days")) * 12 * time.Hour)
}

func drawMail(t *rapid.T, user string, number int) Mail {
	pick := func(list []string) string { return rapid.SampledFrom(list).Draw(t, "pick") }
	m := Mail{Mail: events.Mail{
		UserID: user, MessageID: fmt.Sprintf("random-%d@x.example", number), Subject: text(t, 4), Text: text(t, 12),
		Sender: events.Address{Name: pick(people), Address: pick(addresses)}, Category: pick(categories), ListID: pick(lists),
		ReceivedAt: clock(t), RecordedAt: now, Quarantined: rapid.IntRange(0, 3).Draw(t, "quarantined") == 0,
		Labels: rapid.SliceOfNDistinct(rapid.SampledFrom(labels), 0, 2, rapid.ID).Draw(t, "labels"),
	}}
	for _, address := range rapid.SliceOfNDistinct(rapid.SampledFrom(addresses), 0, 2, rapid.ID).Draw(t, "to") {
		m.Recipients = append(m.Recipients, events.Address{Address: address})
	}
	if rapid.Bool().Draw(t, "risky") {
		risk := rapid.IntRange(0, 4).Draw(t, "risk") * 25
		m.RiskScore = &risk
	}
	if rapid.IntRange(0, 2).Draw(t, "expires") == 0 {
		m.ExpiresAt = clock(t)
	}
	if rapid.IntRange(0, 2).Draw(t, "applied") == 0 {
		m.apply(pick(systems), pick(stages), pick(companies), rapid.SampledFrom([]int{-1, 0, 13, 14, 15, 30}).Draw(t, "days"))
		if rapid.IntRange(0, 3).Draw(t, "interview") == 0 {
			m.Application.InterviewDate = now
		}
	}
	return m
}

func drawNode(t *rapid.T, depth int) search.Node {
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "shape") {
		case 0:
			return search.And(drawNodes(t, depth))
		case 1:
			return search.Or(drawNodes(t, depth))
		case 2:
			return search.Not{Inner: drawNode(t, depth-1)}
		}
	}
	return drawLeaf(t)
}

func drawNodes(t *rapid.T, depth int) []search.Node {
	list := make([]search.Node, rapid.IntRange(1, 3).Draw(t, "parts"))
	for i := range list {
		list[i] = drawNode(t, depth-1)
	}
	return list
}

func drawLeaf(t *rapid.T) search.Node {
	switch rapid.IntRange(0, 9).Draw(t, "leaf") {
	case 0:
		return search.All{}
	case 1, 2, 3:
		return drawPhrase(t)
	case 4:
		return drawNumbers(t)
	case 5:
		return drawTimes(t)
	case 6:
		return search.Exists{Field: rapid.SampledFrom([]search.Field{search.Subject, search.Body, search.Sender, search.To, search.SenderDomain,
			search.Category, search.Labels, search.ListID, search.RiskScore, search.ExpiresAt, search.Stage, search.System, search.Company,
			search.GhostingRisk}).Draw(t, "field")}
	}
	return drawValue(t)
}

func drawPhrase(t *rapid.T) search.Node {
	field := rapid.SampledFrom([]search.Field{search.Subject, search.Body, search.Body, search.Sender, search.To}).Draw(t, "field")
	most := 2
	if field == search.Sender || field == search.To {
		most = 1
	}
	list := tokenize.Split(text(t, most))
	if len(list) == 0 {
		list = []string{rapid.SampledFrom([]string{"ann", "x", "example", "the"}).Draw(t, "name")}
	}
	if most == 1 {
		list = list[:1]
	}
	return drawPrefix(t, search.Phrase{Field: field, Words: list})
}

// drawPrefix shortens the last word of some phrases.
func drawPrefix(t *rapid.T, p search.Phrase) search.Node {
	last := p.Words[len(p.Words)-1]
	if runes := []rune(last); len(runes) > 2 && rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		p.Words[len(p.Words)-1], p.Prefix = string(runes[:2]), true
	}
	return p
}

func drawValue(t *rapid.T) search.Node {
	from := map[search.Field][]string{search.Sender: addresses, search.To: addresses, search.SenderDomain: {"x.example", "shop.example", "example.org"},
		search.Category: categories, search.Labels: labels, search.ListID: lists[2:], search.Quarantined: {"true", "false"},
		search.Stage: stages[:4], search.Company: companies[:2], search.System: systems}
	field := rapid.SampledFrom([]search.Field{search.Sender, search.To, search.SenderDomain, search.Category, search.Labels, search.ListID,
		search.Quarantined, search.Stage, search.Company, search.System}).Draw(t, "field")
	value := search.Value{Field: field, Text: tokenize.Lower(rapid.SampledFrom(from[field]).Draw(t, "value"))}
	if field == search.Sender || field == search.To {
		value.Text = domain.Address(value.Text)
	}
	if runes := []rune(value.Text); field != search.Quarantined && rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		value.Text, value.Prefix = string(runes[:2]), true
	}
	return value
}

func drawNumbers(t *rapid.T) search.Node {
	if rapid.Bool().Draw(t, "ghosting") {
		return drawBetween(t, search.GhostingRisk, func() float64 {
			return rapid.SampledFrom([]float64{0, 0.1, 0.15, 0.2, 0.6, 0.92, 0.95, 1}).Draw(t, "number")
		})
	}
	return drawBetween(t, search.RiskScore, func() float64 { return float64(rapid.IntRange(0, 8).Draw(t, "number")) * 12.5 })
}

func drawTimes(t *rapid.T) search.Node {
	field := rapid.SampledFrom([]search.Field{search.ReceivedAt, search.ReceivedAt, search.ExpiresAt}).Draw(t, "field")
	return drawBetween(t, field, func() time.Time { return clock(t) })
}

func drawBetween[T float64 | time.Time](t *rapid.T, field search.Field, value func() T) search.Node {
	b := search.Between[T]{Field: field}
	open := rapid.IntRange(0, 2).Draw(t, "open")
	if open != 0 {
		b.Low = &search.Limit[T]{Value: value(), Excluded: rapid.Bool().Draw(t, "above")}
	}
	if open != 1 {
		b.High = &search.Limit[T]{Value: value(), Excluded: rapid.Bool().Draw(t, "below")}
	}
	return b
}
