package events

import "time"

// Type is the kind of an event together with its major version.
type Type uint8

// The types that this version of the code supports. TypeUnknown is any other type or major version of our namespace;
// TypeForeign is a type of another namespace, which has no effect.
const (
	TypeUnknown Type = iota
	TypeForeign
	TypeActionProposed
	TypeActionApproved
	TypeActionRejected
	TypeActionReverted
	TypeActionPerformed
	TypePreferenceChanged
	TypeMailReceived
	TypeMailChanged
	TypeApplicationChanged
	TypeApplicationRemoved
	TypeUserErased
	TypeVoid
	typeCount
)

var typeNames = [typeCount]string{
	TypeActionProposed:     "applylens.action.proposed.v1",
	TypeActionApproved:     "applylens.action.approved.v1",
	TypeActionRejected:     "applylens.action.rejected.v1",
	TypeActionReverted:     "applylens.action.reverted.v1",
	TypeActionPerformed:    "applylens.action.performed.v1",
	TypePreferenceChanged:  "applylens.preference.changed.v1",
	TypeMailReceived:       "applylens.mail.received.v1",
	TypeMailChanged:        "applylens.mail.changed.v1",
	TypeApplicationChanged: "applylens.application.changed.v1",
	TypeApplicationRemoved: "applylens.application.removed.v1",
	TypeUserErased:         "applylens.user.erased.v1",
	TypeVoid:               "applylens.void.v1",
}

// String returns the ce_type of t, or "unknown" or "foreign" for the two that have none.
func (t Type) String() string {
	switch {
	case t == TypeForeign:
		return "foreign"
	case t == TypeUnknown || t >= typeCount:
		return "unknown"
	}
	return typeNames[t]
}

// Types returns the types that have a payload: those that a service can publish.
func Types() []Type {
	var list []Type
	for t := TypeActionProposed; t < typeCount; t++ {
		if t != TypeVoid {
			list = append(list, t)
		}
	}
	return list
}

// TypeOf returns the type with a ce_type: TypeUnknown for other names of our namespace, TypeForeign for names outside of it.
func TypeOf(name string) Type { return typeOf([]byte(name)) }

// Envelope holds the CloudEvents attributes of an event.
type Envelope struct {
	ID      string // ce_id: unique within Source
	Source  string // ce_source: a URI reference that names the producer
	Type    Type   // ce_type
	Subject string // ce_subject: optional, the id of the event's subject
	Time    time.Time
}

// Event is one decoded event: its envelope and the payload of its Type; the other pointers are nil.
// Void and foreign events have no payload.
type Event struct {
	Envelope
	Action      *Action      // action.*
	Preference  *Preference  // preference.changed
	Mail        *Mail        // mail.received
	MailChange  *MailChange  // mail.changed
	Application *Application // application.changed and .removed
	Erasure     *Erasure     // user.erased
}

// Key returns the key of the event's records, within which order is kept. A void event has none.
func (e *Event) Key() string {
	if e.Application != nil {
		return ApplicationKey(e.Application.System, e.Application.ApplicationID)
	}
	return e.UserID()
}

// UserID returns the user of the event; empty for applications, void and foreign events.
func (e *Event) UserID() string {
	switch {
	case e.Action != nil:
		return e.Action.UserID
	case e.Preference != nil:
		return e.Preference.UserID
	case e.Mail != nil:
		return e.Mail.UserID
	case e.MailChange != nil:
		return e.MailChange.UserID
	case e.Erasure != nil:
		return e.Erasure.UserID
	}
	return ""
}

// Topic returns the topic of the event, the first of Topics. A void event has none: it replaces another event.
func (e *Event) Topic() string {
	if topics := e.Type.Topics(); len(topics) > 0 {
		return topics[0]
	}
	return ""
}

// Topics returns the topics that an event of type t is published to: two for user.erased, otherwise one.
func (t Type) Topics() []string {
	switch t {
	case TypeActionProposed, TypeActionApproved, TypeActionRejected, TypeActionReverted, TypeActionPerformed,
		TypePreferenceChanged:
		return []string{TopicActions}
	case TypeMailReceived, TypeMailChanged:
		return []string{TopicMail}
	case TypeApplicationChanged, TypeApplicationRemoved:
		return []string{TopicApplications}
	case TypeUserErased:
		return []string{TopicActions, TopicMail}
	}
	return nil
}

// payload is implemented by every payload.
type payload interface {
	// check applies the rules for a payload of type t.
	check(c *checker, t Type)
	// write appends the members of the payload of an event of type t. The canonical form, for the content hash, has no
	// recorded_at, and always has the features, whether given or derived.
	write(w *writer, t Type, canonical bool)
}

// payload returns the payload for the event's type, nil if it is absent or the type has none.
func (e *Event) payload() payload {
	switch {
	case e.Type.action() && e.Action != nil:
		return e.Action
	case e.Type == TypePreferenceChanged && e.Preference != nil:
		return e.Preference
	case e.Type == TypeMailReceived && e.Mail != nil:
		return e.Mail
	case e.Type == TypeMailChanged && e.MailChange != nil:
		return e.MailChange
	case (e.Type == TypeApplicationChanged || e.Type == TypeApplicationRemoved) && e.Application != nil:
		return e.Application
	case e.Type == TypeUserErased && e.Erasure != nil:
		return e.Erasure
	}
	return nil
}

// payloads counts the payloads that are set.
func (e *Event) payloads() int {
	n := 0
	for _, set := range []bool{e.Action != nil, e.Preference != nil, e.Mail != nil, e.MailChange != nil, e.Application != nil, e.Erasure != nil} {
		if set {
			n++
		}
	}
	return n
}

func (t Type) action() bool { return t >= TypeActionProposed && t <= TypeActionPerformed }

// decision reports whether t is approved, rejected or reverted.
func (t Type) decision() bool { return t >= TypeActionApproved && t <= TypeActionReverted }

// Validate returns the *Error with which Encode would refuse the event.
func (e *Event) Validate() error {
	c := checker{}
	c.attribute(HeaderID, e.ID, MaxID)
	c.attribute(HeaderSource, e.Source, MaxSource)
	if e.Subject != "" {
		c.attribute(HeaderSubject, e.Subject, MaxSubject)
	}
	if !e.Time.IsZero() && !validTime(e.Time) {
		c.fail(ReasonEnvelope, HeaderTime, "is not within the years 1000..9999")
	}
	if e.Type <= TypeForeign || e.Type >= typeCount {
		c.fail(ReasonUnknownType, HeaderType, "is unknown")
		return c.err
	}
	p := e.payload()
	if want := e.Type != TypeVoid; (p != nil) != want || e.payloads() > 1 || (!want && e.payloads() > 0) {
		c.fail(ReasonSchema, "", "does not have exactly the payload of its type")
	}
	if p != nil {
		p.check(&c, e.Type)
	}
	if c.err != nil {
		return c.err
	}
	return nil
}
