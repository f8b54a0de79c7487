package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/words"
)

// The modes of a search beside off, which is none.
const (
	networkingMode = "networking"
	moneyMode      = "money"
)

// ghosted is the risk from which on an application is urgent.
const ghosted = 0.6

// urgentStages are those of applications that are close to their end.
var urgentStages = []string{"Onsite", "Offer", "Final Round", "Negotiation"}

// eventWords are what subjects say of mail about events.
var eventWords = []string{"meetup", "conference", "webinar"}

// meetupFeature is what decisions on mail about meetups teach, and meetupLiked the weight above which meetups are
// lifted further in networking mode.
const (
	meetupFeature = events.FeatureContains + "meetup"
	meetupLiked   = 0.5
)

// wish is a part of a search that lifts the hits that fulfil it, and tells of those why.
type wish struct {
	boost string
	node  search.Node
	why   func(m *hitMail) string
}

// taste is what a caller wants lifted beside urgent mail.
type taste struct {
	mode   string
	near   string  // a place, empty for none
	meetup float64 // the learned weight of meetupFeature
}

// wishes returns what lifts the hits of a search.
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

// subjectSays holds when the subject has the word or its plural, as the features of mail are found.
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

// anyValue holds when the field is one of the texts.
func anyValue(field search.Field, texts []string) search.Node {
	list := make(search.Or, len(texts))
	for i, text := range texts {
		list[i] = search.Value{Field: field, Text: words.Lower(text)}
	}
	return list
}

// gone is why mail is high whose application has changed since an index saw it.
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
	if a == nil || !slices.ContainsFunc(urgentStages, func(stage string) bool { return words.Lower(stage) == words.Lower(a.Stage) }) {
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
