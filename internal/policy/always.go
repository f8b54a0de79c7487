package policy

import (
	"encoding/json"
	"strings"
)

const (
	alwaysPriority = 40
	maxAlwaysName  = 230 // characters, so that a number behind it still fits into a name
)

// Always returns the policy of a person who wants an action for all mail like one that it was proposed for: of the same
// category, from the same sender domain. Mail without a category is like all mail of its domain. The threshold lies a
// little below the confidence of that proposal. The name may be taken; and of mail without a sender domain nothing
// else is like it: that policy is refused by Validate.
func Always(action, category, senderDomain string, confidence float64) Policy {
	condition := any(equals("sender_domain", senderDomain))
	if category != "" {
		condition = map[string][]any{"all": {equals("category", category), condition}}
	}
	source, _ := json.Marshal(condition) // lists of texts can always be written
	return Policy{
		Name:      alwaysName(action, category, senderDomain),
		Enabled:   true,
		Priority:  alwaysPriority,
		Condition: source,
		Action:    action,
		Threshold: round(max(DefaultThreshold, confidence-fireMargin)),
	}
}

func equals(field, value string) map[string][]string {
	return map[string][]string{"eq": {field, value}}
}

func alwaysName(action, category, senderDomain string) string {
	if category == "" {
		category = "mail"
	}
	name := []rune("Always " + strings.ReplaceAll(action, "_", " ") + ": " + category + " from " + senderDomain)
	return string(name[:min(len(name), maxAlwaysName)])
}
