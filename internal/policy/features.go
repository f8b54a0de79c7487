package policy

import (
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
)

// FeatureRule is the version of the rule that Features implements.
const FeatureRule = 2

// Features returns the mail's features by rule 2: those of rule 1, which events.Features has, but where anybody can have an address
// sender:<address>, in lower case, stands for the sender instead of sender_domain:. They are sorted.
func (m *Mail) Features() []string {
	ref := m.Ref()
	if !domain.Open(ref.SenderDomain) {
		return events.Features(ref)
	}
	ref.SenderDomain = ""
	features := events.Features(ref)
	if feature := events.FeatureSender + fold(m.Sender); m.Sender != "" && len(feature) <= events.MaxFeature {
		features = append(features, feature)
	}
	return features
}

// SenderOf returns the address in features, "" if there is none.
func SenderOf(features []string) string {
	for _, feature := range features {
		if sender, found := strings.CutPrefix(feature, events.FeatureSender); found {
			return sender
		}
	}
	return ""
}

// ParseFeature returns the feature that a person means, in the form that mail has it, or tells people why no mail can have it.
func ParseFeature(text string) (feature, detail string) {
	kind, value, found := strings.Cut(strings.TrimSpace(text), ":")
	kind, value = fold(strings.TrimSpace(kind))+":", strings.TrimSpace(value)
	if !found || value == "" {
		return "", expectedFeature
	}
	switch kind {
	case events.FeatureCategory:
		return limited(kind, fold(value), events.MaxCategory)
	case events.FeatureListID:
		return limited(kind, fold(strings.Trim(value, "<>")), events.MaxListID)
	case events.FeatureContains:
		if feature = events.FeatureOfWord(value); feature == "" {
			return "", "no mail has this feature: only some words are learned, such as contains:invoice"
		}
		return feature, ""
	case events.FeatureSenderDomain:
		return domainFeature(value)
	case events.FeatureSender:
		return senderFeature(domain.Address(value))
	}
	return "", expectedFeature
}

const expectedFeature = "no mail has this feature: expected category:, sender_domain:, sender: or listid: and its value, or contains: and one of the words that are learned"

func limited(kind, value string, most int) (feature, detail string) {
	if value == "" || len(value) > most {
		return "", expectedFeature
	}
	return kind + value, ""
}

func domainFeature(value string) (feature, detail string) {
	stored, detail := wholeDomain(value)
	if detail != "" {
		return "", detail
	}
	if domain.Open(stored) {
		return "", "anybody can have an address at " + stored + ": name the sender, as sender:ann@" + stored
	}
	return limited(events.FeatureSenderDomain, stored, events.MaxDomain)
}

func senderFeature(value string) (feature, detail string) {
	stored := domain.OfAddress(value)
	switch {
	case strings.HasPrefix(value, "@"), strings.HasPrefix(value, "*"), stored == "":
		return "", "expected the whole address of a sender"
	case !domain.Open(stored):
		return "", "the sender's domain is learned of this address: use sender_domain:" + stored
	}
	return limited(events.FeatureSender, value, events.MaxFeature-len(events.FeatureSender))
}
