package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

// The modes of a search; the empty mode is off.
const (
	networkingMode = "networking"
	moneyMode      = "money"
)

// ghosted is the least risk at which an application is urgent.
const ghosted = 0.6

// urgentStages are the stages shortly before a decision.
var urgentStages = []string{"Onsite", "Offer", "Final Round", "Negotiation"}

// eventWords are words by which the subject tells that a mail is about an event.
var eventWords = []string{"meetup", "conference", "webinar"}

// meetupFeature is the learned feature of mail about meetups. Above the weight meetupLiked, networking mode ranks meetups
// higher.
const (
	meetupFeature = events.FeatureContains + "meetup"
	meetupLiked   = 0.5
)

// wish is an optional clause of a search: hits that match it rank higher, and say why.
type wish struct {
	boost string
	node  search.Node
	why   func(m *hitMail) string
}

// taste is what a caller wants to rank higher, beside urgent mail.
type taste struct {
	mode   string
	near   string  // a place, empty for none
	meetup float64 // the learned weight of meetupFeature
}

// wishes returns the optional clauses of a search.
func (t *taste) wishes() []wish {
	list := []wish{
		{"ghosting_risk", search.Between[float64]{Field: search.GhostingRisk, Low: &search.Limit[float64]{Value: ghosted}}, whyGhosting},
		{"stage", anyValue(search.Stage, urgentStages), whyStage},
	}
	switch t.mode {
	case networkingMode:
		list = append(list, inCategory("event"))
		for _, word := range eventWords {
			list = append(list, inSubject(word))
		}
		if t.meetup > meetupLiked {
			why := fmt.Sprintf("You like meetups: %s has the weight %g", meetupFeature, t.meetup)
			list = append(list, wish{"learned_meetup", subjectSays("meetup"), func(*hitMail) string { return why }})
		}
	case moneyMode:
		list = append(list, inSubject("receipt"), inSubject("invoice"), inSubject("payment"), inCategory("finance"))
	}
	if place, ok := search.Named(t.near); ok {
		why := "It is about an event and names " + strings.Join(strings.Fields(t.near), " ")
		list = append(list, wish{"near", search.And{aboutEvent(), place}, func(*hitMail) string { return why }})
	}
	return list
}

func inCategory(category string) wish {
	why := "Its category is " + category
	return wish{"category_" + category, anyValue(search.Category, []string{category}), func(*hitMail) string { return why }}
}

func inSubject(word string) wish {
	why := "Its subject says " + word
	return wish{word, subjectSays(word), func(*hitMail) string { return why }}
}

// subjectSays matches subjects with the word or its plural, like the features of mail.
func subjectSays(word string) search.Node {
	return search.Or{
		search.Phrase{Field: search.Subject, Words: []string{word}},
		search.Phrase{Field: search.Subject, Words: []string{word + "s"}},
	}
}

func aboutEvent() search.Node {
	list := search.Or{anyValue(search.Category, []string{"event"})}
	for _, word := range eventWords {
		list = append(list, subjectSays(word))
	}
	return list
}

// anyValue matches when the field is one of the texts.
func anyValue(field search.Field, texts []string) search.Node {
	list := make(search.Or, len(texts))
	for i, text := range texts {
		list[i] = search.Value{Field: field, Text: tokenize.Lower(text)}
	}
	return list
}

// gone explains the rank of mail whose application has changed since it was indexed.
const gone = "It was urgent when it was indexed; its application has changed since"

func whyGhosting(m *hitMail) string {
	a := m.ATS
	if a == nil || a.GhostingRisk < ghosted {
		return gone
	}
	since := "the stage last changed"
	if a.Stage != "" {
		since = "the stage became " + a.Stage
	}
	return fmt.Sprintf("No answer for %d days since %s%s: risk %.2f", m.quietDays, since, atCompany(a.Company), a.GhostingRisk)
}

func whyStage(m *hitMail) string {
	a := m.ATS
	if a == nil || !slices.ContainsFunc(urgentStages, func(stage string) bool { return tokenize.Lower(stage) == tokenize.Lower(a.Stage) }) {
		return gone
	}
	return fmt.Sprintf("The application%s is at the stage %s", atCompany(a.Company), a.Stage)
}

func atCompany(company string) string {
	if company == "" {
		return ""
	}
	return " at " + company
}
