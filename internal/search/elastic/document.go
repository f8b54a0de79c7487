package elastic

import (
	"time"

	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

// Mail is a mail as the tables have it. Zero values are missing.
type Mail struct {
	ID           string
	UserID       string
	ReceivedAt   time.Time
	ExpiresAt    *time.Time
	Subject      string
	Text         string
	SenderName   string
	Sender       string
	SenderDomain string
	Recipients   []string
	Category     string
	Labels       []string
	ListID       string
	RiskScore    *int
	Quarantined  bool
	ATS          *ATS // nil when no application belongs to the mail
}

// ATS is the application that belongs to a mail.
type ATS struct {
	System          string     `json:"system"`
	ApplicationID   string     `json:"application_id"`
	Stage           string     `json:"stage"`
	Company         string     `json:"company"`
	LastStageChange *time.Time `json:"last_stage_change,omitempty"`
	InterviewDate   *time.Time `json:"interview_date,omitempty"`
	GhostingRisk    float64    `json:"ghosting_risk"`
}

// Document is what the index holds of a mail; schema.EmailIndex explains its parts, whose members are named as the
// fields of internal/search are.
type Document struct {
	ID         string         `json:"id"`
	Rev        int64          `json:"rev"` // its version, as Put sets it
	UserID     string         `json:"user_id"`
	ReceivedAt time.Time      `json:"received_at"`
	ATS        *ATS           `json:"ats,omitempty"`
	Words      Words          `json:"words"`
	Values     Values         `json:"values"`
	Numbers    Numbers        `json:"numbers"`
	Times      Times          `json:"times"`
	Has        []search.Field `json:"has"`
}

// Words are looked for one by one or in a row. Subject and Body are as tokenize.Join has them.
type Words struct {
	Subject string   `json:"subject"`
	Body    string   `json:"body,omitempty"`
	Sender  []string `json:"sender"`
	To      []string `json:"to"`
}

// Values are compared as a whole, in the form of tokenize.Lower.
type Values struct {
	Sender       string   `json:"sender,omitempty"`
	To           []string `json:"to,omitempty"`
	SenderDomain string   `json:"sender_domain,omitempty"`
	Category     string   `json:"category,omitempty"`
	Labels       []string `json:"labels,omitempty"`
	ListID       string   `json:"list_id,omitempty"`
	Quarantined  string   `json:"quarantined"`
	System       string   `json:"ats.system,omitempty"`
	Stage        string   `json:"ats.stage,omitempty"`
	Company      string   `json:"ats.company,omitempty"`
}

// Numbers are nil when the mail lacks them.
type Numbers struct {
	RiskScore    *int     `json:"risk_score,omitempty"`
	GhostingRisk *float64 `json:"ats.ghosting_risk,omitempty"`
}

// Times are microseconds since 1970.
type Times struct {
	ReceivedAt int64  `json:"received_at"`
	ExpiresAt  *int64 `json:"expires_at,omitempty"`
}

// NewDocument makes the document of a mail.
func NewDocument(m *Mail) *Document {
	d := &Document{
		ID: m.ID, UserID: m.UserID, ReceivedAt: m.ReceivedAt.UTC(), ATS: m.ATS,
		Words: Words{Subject: tokenize.Join(m.Subject), Body: tokenize.Join(m.Text), Sender: append(wordsOf(m.SenderName), addressWords(m.Sender)...), To: addressWords(m.Recipients...)},
		Values: Values{
			Sender: tokenize.Lower(m.Sender), To: lower(m.Recipients), SenderDomain: tokenize.Lower(m.SenderDomain), Category: tokenize.Lower(m.Category),
			Labels: lower(m.Labels), ListID: tokenize.Lower(m.ListID), Quarantined: either(m.Quarantined, "true", "false"),
		},
		Numbers: Numbers{RiskScore: m.RiskScore},
		Times:   Times{ReceivedAt: m.ReceivedAt.UnixMicro()},
	}
	if m.ExpiresAt != nil {
		expires := m.ExpiresAt.UnixMicro()
		d.Times.ExpiresAt = &expires
	}
	if a := m.ATS; a != nil {
		d.Values.System, d.Values.Stage, d.Values.Company = tokenize.Lower(a.System), tokenize.Lower(a.Stage), tokenize.Lower(a.Company)
		d.Numbers.GhostingRisk = &a.GhostingRisk
	}
	d.Has = fieldsOf(m, d)
	return d
}

// fieldsOf lists the fields that a mail has.
func fieldsOf(m *Mail, d *Document) []search.Field {
	has := make([]search.Field, 0, 16)
	add := func(field search.Field, there bool) {
		if there {
			has = append(has, field)
		}
	}
	add(search.Subject, m.Subject != "")
	add(search.Body, m.Text != "")
	add(search.Sender, m.Sender != "")
	add(search.To, len(d.Values.To) > 0)
	add(search.SenderDomain, m.SenderDomain != "")
	add(search.Category, m.Category != "")
	add(search.Labels, len(d.Values.Labels) > 0)
	add(search.ListID, m.ListID != "")
	add(search.ID, true)
	add(search.Quarantined, true)
	add(search.ReceivedAt, true)
	add(search.ExpiresAt, m.ExpiresAt != nil)
	add(search.RiskScore, m.RiskScore != nil)
	add(search.System, d.Values.System != "")
	add(search.Stage, d.Values.Stage != "")
	add(search.Company, d.Values.Company != "")
	add(search.GhostingRisk, m.ATS != nil)
	return has
}

func wordsOf(texts ...string) []string {
	found := []string{}
	for _, text := range texts {
		found = append(found, tokenize.Split(text)...)
	}
	return found
}

// addressWords are the words of addresses, also as people write their domains.
func addressWords(addresses ...string) []string {
	found := []string{}
	for _, address := range addresses {
		found = append(found, wordsOf(domain.Forms(address)...)...)
	}
	return found
}

// lower returns those texts that are not empty, as tokenize.Lower has them.
func lower(texts []string) []string {
	var list []string
	for _, text := range texts {
		if text != "" {
			list = append(list, tokenize.Lower(text))
		}
	}
	return list
}
