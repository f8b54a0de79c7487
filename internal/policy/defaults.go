package policy

import "encoding/json"

// Defaults returns the policies of a new user, enabled and without ids or times. Each call returns new values.
func Defaults() []Policy {
	return []Policy{
		standard("Quarantine risky mail", 10, QuarantineAttachment,
			`{"gte":["risk_score",80]}`),
		standard("Events to the calendar", 20, CreateCalendarEvent,
			`{"all":[{"any":[{"eq":["category","event"]},
			                 {"regex":["subject","(?i)\\b(meetup|webinar|conference|workshop)s?\\b"]}]},
			         {"not":{"eq":["category","promo"]}},
			         {"lte":["age_days",60]}]}`),
		standard("Label receipts and invoices", 30, LabelEmail,
			`{"any":[{"eq":["category","finance"]},
			         {"regex":["subject","(?i)\\b(receipt|invoice|payment received|order confirmation)s?\\b"]}]}`),
		standard("Label job applications", 35, LabelEmail,
			`{"any":[{"eq":["category","applications"]},{"exists":["ats.stage"]}]}`),
		standard("Archive old promotions", 50, ArchiveEmail,
			`{"all":[{"eq":["category","promo"]},{"any":[{"gte":["age_days",7]},{"gte":["expired_days",1]}]}]}`),
		standard("Label newsletters", 60, LabelEmail,
			`{"eq":["category","newsletter"]}`),
	}
}

func standard(name string, priority int, action, condition string) Policy {
	return Policy{
		Name:      name,
		Enabled:   true,
		Priority:  priority,
		Condition: json.RawMessage(condition),
		Action:    action,
		Threshold: DefaultThreshold,
	}
}
