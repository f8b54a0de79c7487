package chat

import (
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/policy"
)

// preferences returns what the person says to like or not. Whoever names a sender means that sender, and not all mail of a kind.
func (q *question) preferences(f *filters) []Preference {
	weight := q.feeling()
	var list []Preference
	add := func(feature string) {
		if parsed, fault := policy.ParseFeature(feature); fault == "" && !keeps(list, parsed) {
			list = append(list, Preference{Feature: parsed, Weight: weight})
		}
	}
	for _, address := range f.addresses {
		if feature := FeatureOf(address); feature != "" {
			add(feature)
		}
	}
	for _, name := range f.domains {
		add(events.FeatureSenderDomain + name)
	}
	for _, name := range f.senders {
		list = append(list, Preference{Sender: strings.Join(name, " "), Weight: weight})
	}
	if len(f.addresses)+len(f.domains)+len(f.senders) > 0 {
		return list
	}
	for _, category := range f.categories {
		add(events.FeatureCategory + category)
	}
	for _, text := range q.words {
		if translated := learnedWords[text]; translated != "" {
			text = translated
		}
		if feature := events.FeatureOfWord(text); feature != "" && categoryWords[text] == "" {
			add(feature)
		}
	}
	return list
}

// FeatureOf returns the feature of a sender: that of the domain, or of the address where anybody can have one; "" if the address
// is none.
func FeatureOf(address string) string {
	name := domain.OfAddress(address)
	kind, value := events.FeatureSenderDomain, name
	if domain.Open(name) {
		kind, value = events.FeatureSender, domain.Address(address)
	}
	feature, fault := policy.ParseFeature(kind + value)
	if name == "" || fault != "" {
		return ""
	}
	return feature
}

func keeps(list []Preference, feature string) bool {
	for _, p := range list {
		if p.Feature == feature {
			return true
		}
	}
	return false
}
