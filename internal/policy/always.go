package policy

import (
	"encoding/json"
	"strings"

	"github.com/applylens/applylens/internal/domain"
)

const (
	alwaysPriority = 40
	maxAlwaysName  = 230 // characters, so that a number can be appended
)

// Always returns the policy that proposes an action for all mail like the one of a proposal: of the same category and sender
// domain, or only of the same sender domain if it has no category. Where anybody can have an address at that domain, the
// sender's address counts instead. The threshold is a little below the confidence of that proposal. The name may already be taken. For
// mail without a sender domain, or without an address where that counts, Validate refuses the policy.
func Always(action, category, senderDomain, sender string, confidence float64) Policy {
	from, condition := senderDomain, any(equals("sender_domain", senderDomain))
	if domain.Open(senderDomain) {
		from, condition = sender, equals("sender", sender)
	}
	if category != "" {
		condition = map[string][]any{"all": {equals("category", category), condition}}
	}
	source, _ := json.Marshal(condition) // cannot fail for lists of texts
	return Policy{
		Name:      alwaysName(action, category, from),
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

func alwaysName(action, category, from string) string {
	if category == "" {
		category = "mail"
	}
	name := []rune("Always " + strings.ReplaceAll(action, "_", " ") + ": " + category + " from " + from)
	return string(name[:min(len(name), maxAlwaysName)])
}
