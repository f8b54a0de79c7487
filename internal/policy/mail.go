package policy

import (
	"math"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
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

// Features returns the mail's features by events.FeatureRule.
func (m *Mail) Features() []string { return events.Features(m.Ref()) }

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
}

var fields = map[string]field{
	"category":      text(func(m *Mail) string { return m.Category }),
	"sender":        text(func(m *Mail) string { return m.Sender }),
	"sender_domain": text(func(m *Mail) string { return m.SenderDomain }),
	"subject":       text(func(m *Mail) string { return m.Subject }),
	"list_id":       text(func(m *Mail) string { return m.ListID }),
	"ats.stage":     atsText(func(a *ATS) string { return a.Stage }),
	"ats.system":    atsText(func(a *ATS) string { return a.System }),
	"ats.company":   atsText(func(a *ATS) string { return a.Company }),
	"received_at":   instant(func(m *Mail) time.Time { return m.ReceivedAt }),
	"expires_at":    instant(func(m *Mail) time.Time { return m.ExpiresAt }),
	"age_days":      daysSince(func(m *Mail) time.Time { return m.ReceivedAt }),
	"expired_days":  daysSince(func(m *Mail) time.Time { return m.ExpiresAt }),
	"quarantined":   {flagKind, func(m *Mail, _ time.Time) any { return m.Quarantined }},
	"risk_score": {numberKind, func(m *Mail, _ time.Time) any {
		if m.RiskScore == nil {
			return nil
		}
		return float64(*m.RiskScore)
	}},
	"ats.ghosting_risk": {numberKind, func(m *Mail, _ time.Time) any {
		if m.ATS == nil {
			return nil
		}
		return m.ATS.GhostingRisk
	}},
	"labels": {listKind, func(m *Mail, _ time.Time) any {
		if len(m.Labels) == 0 {
			return nil
		}
		return m.Labels
	}},
}

func text(get func(*Mail) string) field {
	return field{textKind, func(m *Mail, _ time.Time) any {
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
	return field{timeKind, func(m *Mail, _ time.Time) any {
		if t := get(m); !t.IsZero() {
			return t
		}
		return nil
	}}
}

func daysSince(get func(*Mail) time.Time) field {
	return field{numberKind, func(m *Mail, now time.Time) any {
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
