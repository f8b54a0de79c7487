package policy

import (
	"math"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
)

// Mail is the input of conditions and confidence. A zero or empty field is missing.
type Mail struct {
	ID           string
	Category     string
	Sender       string // the address
	SenderDomain string // registrable, lower case
	ListID       string
	Subject      string
	RiskScore    *int // 0..100; nil without any evidence
	Quarantined  bool
	Labels       []string
	ReceivedAt   time.Time
	ExpiresAt    time.Time
	ATS          *ATS // nil if no application matches the mail
}

// ATS is the job application of a mail.
type ATS struct {
	System       string
	Stage        string
	Company      string
	GhostingRisk float64 // 0..1
}

// Ref returns the part of the mail that action events carry.
func (m *Mail) Ref() events.MailRef {
	return events.MailRef{ID: m.ID, Category: m.Category, SenderDomain: m.SenderDomain, ListID: m.ListID, Subject: m.Subject}
}

// kind is the type of a field's value.
type kind uint8

const (
	textKind   kind = iota // string
	numberKind             // float64
	timeKind               // time.Time
	flagKind               // bool
	listKind               // []string
)

var kindNames = [...]string{"text", "a number", "a time", "true or false", "a list of texts"}

// field is the left side of a comparison. value returns a Go value of its kind, or nil if the mail lacks it.
type field struct {
	kind  kind
	value func(mail *Mail, now time.Time) any

	// whole makes of a text the form in which the field's values are stored, for comparisons with all of a value, or tells
	// people why no value is like that; nil: as it is.
	whole func(text string) (stored, detail string)

	// part makes of a text the form in which a part of a value is stored; nil: as it is.
	part func(text string) string
}

var fields = map[string]field{
	"category":      text(func(m *Mail) string { return m.Category }),
	"sender":        text(func(m *Mail) string { return m.Sender }).with(wholeSender),
	"sender_domain": text(func(m *Mail) string { return m.SenderDomain }).with(wholeDomain).within(domain.Part),
	"subject":       text(func(m *Mail) string { return m.Subject }),
	"list_id":       text(func(m *Mail) string { return m.ListID }),
	"ats.stage":     atsText(func(a *ATS) string { return a.Stage }),
	"ats.system":    atsText(func(a *ATS) string { return a.System }),
	"ats.company":   atsText(func(a *ATS) string { return a.Company }),
	"received_at":   instant(func(m *Mail) time.Time { return m.ReceivedAt }),
	"expires_at":    instant(func(m *Mail) time.Time { return m.ExpiresAt }),
	"age_days":      daysSince(func(m *Mail) time.Time { return m.ReceivedAt }),
	"expired_days":  daysSince(func(m *Mail) time.Time { return m.ExpiresAt }),
	"quarantined":   {kind: flagKind, value: func(m *Mail, _ time.Time) any { return m.Quarantined }},
	"risk_score": {kind: numberKind, value: func(m *Mail, _ time.Time) any {
		if m.RiskScore == nil {
			return nil
		}
		return float64(*m.RiskScore)
	}},
	"ats.ghosting_risk": {kind: numberKind, value: func(m *Mail, _ time.Time) any {
		if m.ATS == nil {
			return nil
		}
		return m.ATS.GhostingRisk
	}},
	"labels": {kind: listKind, value: func(m *Mail, _ time.Time) any {
		if len(m.Labels) == 0 {
			return nil
		}
		return m.Labels
	}},
}

func (f field) with(whole func(string) (stored, detail string)) field {
	f.whole = whole
	return f
}

func (f field) within(part func(string) string) field {
	f.part = part
	return f
}

// wholeSender makes an address as those of mail are, and refuses what is part of many.
func wholeSender(text string) (stored, detail string) {
	if strings.HasPrefix(text, "*") || strings.HasPrefix(text, "@") {
		return "", "An address is compared as a whole: for everybody at a domain, compare sender_domain, or use contains."
	}
	return domain.Address(text), ""
}

// wholeDomain reduces a domain, or that of an address, to the registrable one, as those of mail are.
func wholeDomain(text string) (stored, detail string) {
	if strings.HasPrefix(text, "*") {
		return "", "A domain is compared as a whole: the registrable one, such as example.com; for part of one, use contains or regex."
	}
	return domain.Of(text), ""
}

func text(get func(*Mail) string) field {
	return field{kind: textKind, value: func(m *Mail, _ time.Time) any {
		if s := get(m); s != "" {
			return s
		}
		return nil
	}}
}

func atsText(get func(*ATS) string) field {
	return text(func(m *Mail) string {
		if m.ATS == nil {
			return ""
		}
		return get(m.ATS)
	})
}

func instant(get func(*Mail) time.Time) field {
	return field{kind: timeKind, value: func(m *Mail, _ time.Time) any {
		if t := get(m); !t.IsZero() {
			return t
		}
		return nil
	}}
}

func daysSince(get func(*Mail) time.Time) field {
	return field{kind: numberKind, value: func(m *Mail, now time.Time) any {
		t := get(m)
		if t.IsZero() {
			return nil
		}
		return wholeDays(now.Sub(t))
	}}
}

func wholeDays(d time.Duration) float64 { return math.Floor(d.Hours() / 24) }

// fold returns the form for case-insensitive comparison.
func fold(s string) string { return strings.ToLower(s) }
