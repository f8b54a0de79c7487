package oracle

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// event is a record as this package reads it.
type event struct {
	kind      string // "action.approved", ...; empty for another namespace
	id        string
	source    string
	stamped   bool
	relay     string
	signature string

	redriveGroup string
	redrivenFrom string
	forced       bool

	value   []byte // of the payload
	broken  string // the reason for a dead letter that nothing else can be said of
	payload payload
	content string // the kind and the payload in a canonical form
}

// payload has the fields of all kinds of payload.
type payload struct {
	ActionID   string    `json:"action_id"`
	UserID     string    `json:"user_id"`
	PolicyID   int64     `json:"policy_id"`
	ProposedAt time.Time `json:"proposed_at"`
	DecidedAt  time.Time `json:"decided_at"`
	RecordedAt time.Time `json:"recorded_at"`
	Round      int       `json:"round"`
	Decision   string    `json:"decision"`
	Features   []string  `json:"features"`
	Policies   []int64   `json:"policies"`
	MailRef    mailRef   `json:"mail"`

	Op      string  `json:"op"`
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`

	MessageID   string    `json:"message_id"`
	ContentHash string    `json:"content_hash"`
	Thread      string    `json:"thread"`
	Subject     string    `json:"subject"`
	ListID      string    `json:"list_id"`
	ReceivedAt  time.Time `json:"received_at"`

	System        string `json:"system"`
	ApplicationID string `json:"application_id"`
	Company       string `json:"company"`
	Stage         string `json:"stage"`
	SrcVersion    int64  `json:"src_version"`
}

type mailRef struct {
	Category     string `json:"category"`
	SenderDomain string `json:"sender_domain"`
	ListID       string `json:"list_id"`
	Subject      string `json:"subject"`
}

var kinds = map[string]bool{
	"action.proposed": true, "action.approved": true, "action.rejected": true, "action.reverted": true,
	"action.performed": true, "preference.changed": true, "mail.received": true, "mail.changed": true,
	"application.changed": true, "application.removed": true, "user.erased": true, "void": true,
}

// read decodes the headers of a record. It returns an error for a record that would halt a group.
func read(record *kgo.Record) (event, error) {
	e := event{value: record.Value}
	headers := record.Headers
	for _, header := range record.Headers {
		if header.Key == "content-type" && strings.HasPrefix(string(header.Value), "application/cloudevents+json") {
			headers = e.unfold(record)
		}
	}
	for _, header := range headers {
		value := string(header.Value)
		switch header.Key {
		case "ce_type":
			kind, ours := strings.CutPrefix(value, "applylens.")
			if !ours {
				continue
			}
			kind, major := strings.CutSuffix(kind, ".v1")
			if !major || !kinds[kind] {
				return e, fmt.Errorf("type %q", value)
			}
			e.kind = kind
		case "ce_id":
			e.id = value
		case "ce_source":
			e.source = value
		case "applylens_relay_id":
			e.stamped, e.relay = true, strings.ToLower(value)
		case "applylens_relay_signature":
			e.signature = value
		case "applylens_redrive_group":
			e.redriveGroup = value
		case "applylens_redriven_from":
			e.redrivenFrom = value
		case "applylens_redrive_force":
			e.forced = value == "true"
		}
	}
	return e, nil
}

// unfold reads a CloudEvent in structured mode, and returns the headers that it would have in binary mode.
func (e *event) unfold(record *kgo.Record) []kgo.RecordHeader {
	var whole struct {
		ID, Source, Type string
		Data             json.RawMessage
	}
	if err := json.Unmarshal(record.Value, &whole); err != nil {
		e.broken = "malformed"
		return nil
	}
	e.value = whole.Data
	headers := []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(whole.ID)}, {Key: "ce_source", Value: []byte(whole.Source)}, {Key: "ce_type", Value: []byte(whole.Type)},
	}
	for _, header := range record.Headers {
		if strings.HasPrefix(header.Key, "applylens_") {
			headers = append(headers, header)
		}
	}
	return headers
}

// readPayload decodes the value of a record with a payload, or returns the reason for a dead letter. It knows only the parts
// of the schema that the fold needs.
func (e *event) readPayload(value []byte) string {
	var all map[string]any
	if err := json.Unmarshal(value, &all); err != nil {
		return "malformed"
	}
	if err := json.Unmarshal(value, &e.payload); err != nil || !e.complete() {
		return "schema"
	}
	if all["features"] == nil && strings.HasPrefix(e.kind, "action.") {
		e.payload.Features = features(e.payload.MailRef)
		all["features"] = e.payload.Features
	}
	delete(all, "recorded_at") // a later recorded_at is not a conflict
	canonical, err := json.Marshal(all)
	if err != nil {
		return "malformed"
	}
	e.content = e.kind + string(canonical)
	return ""
}

// complete reports whether the payload has all required fields of its kind.
func (e *event) complete() bool {
	p := &e.payload
	switch {
	case p.RecordedAt.IsZero() || e.key() == "":
		return false
	case e.kind == "action.reverted" && p.Decision != "approved" && p.Decision != "rejected":
		return false
	case e.kind == "action.performed":
		return p.ActionID != ""
	case strings.HasPrefix(e.kind, "action."):
		return p.ActionID != "" && p.PolicyID > 0
	}
	return true
}

// key returns the record key required by the payload.
func (e *event) key() string {
	if e.payload.System != "" {
		return e.payload.System + "/" + e.payload.ApplicationID
	}
	return e.payload.UserID
}

// badTime reports whether a time of an action is impossible.
func (e *event) badTime() bool {
	earliest, latest := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), e.payload.RecordedAt.Add(5*time.Minute)
	out := func(t time.Time) bool { return t.Before(earliest) || t.After(latest) }
	switch e.kind {
	case "action.proposed", "action.performed":
		return out(e.payload.ProposedAt)
	case "action.approved", "action.rejected", "action.reverted":
		return out(e.payload.ProposedAt) || out(e.payload.DecidedAt)
	}
	return false
}

var words = regexp.MustCompile(`\pL+`)

var tokens = []string{
	"invoice", "receipt", "meetup", "interview", "newsletter", "offer", "promotion", "discount", "sale", "deal",
	"conference", "webinar", "event", "reminder", "payment", "order", "shipping",
}

// features derives the features of a mail, for events without them.
func features(mail mailRef) []string {
	var found []string
	add := func(name, value string) {
		if value != "" {
			found = append(found, name+":"+value)
		}
	}
	add("category", mail.Category)
	add("sender_domain", mail.SenderDomain)
	add("listid", mail.ListID)
	in := map[string]bool{}
	for _, word := range words.FindAllString(strings.ToLower(mail.Subject), -1) {
		in[word], in[strings.TrimSuffix(word, "s")] = true, true
	}
	for _, token := range tokens {
		if in[token] {
			add("contains", token)
		}
	}
	return found
}
