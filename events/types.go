package events

import "time"

// Type is the kind of an event together with its major version.
type Type uint8

// The types that this version of the code understands. TypeUnknown is a type of our own namespace that it does not,
// or a future major; TypeForeign is a type of another namespace, which has no effect here.
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
	TypeApplicationChanged: "applylens.application.changed.v1",
	TypeApplicationRemoved: "applylens.application.removed.v1",
	TypeUserErased:         "applylens.user.erased.v1",
	TypeVoid:               "applylens.void.v1",
}

// String returns the ce_type of t, or "unknown" and "foreign" for the two that have none.
func (t Type) String() string {
	switch {
	case t == TypeForeign:
		return "foreign"
	case t == TypeUnknown || t >= typeCount:
		return "unknown"
	}
	return typeNames[t]
}

// Envelope holds the CloudEvents attributes of an event.
type Envelope struct {
	ID      string // ce_id: unique within Source
	Source  string // ce_source: a URI reference that names the producer
	Type    Type   // ce_type
	Subject string // ce_subject: optional, the id of what the event is about
	Time    time.Time
}

// Event is one decoded event: its envelope and the one payload that Type names; the other pointers are nil.
// Void and foreign events have no payload.
type Event struct {
	Envelope
	Action      *Action      // action.*
	Preference  *Preference  // preference.changed
	Mail        *Mail        // mail.received
	Application *Application // application.changed and .removed
	Erasure     *Erasure     // user.erased
}

// MailRef is what an action event carries of the mail that it is about, so that no consumer looks the mail up.
type MailRef struct {
	ID           string // opaque, at most 200 bytes; required
	Category     string
	SenderDomain string // registrable domain, lower case
	ListID       string
	Subject      string // foreign producers only; used to derive features, never stored
}

// The decisions that an action.reverted takes back.
const (
	DecisionApproved = "approved"
	DecisionRejected = "rejected"
)

// Action is the payload of the action.* types. Decisions carry all that folding needs.
type Action struct {
	ActionID   UUID   // UUIDv7 of the proposal; for action.performed a UUID of its own
	UserID     string // opaque; the record's key
	PolicyID   int64  // required and positive, except for action.performed, where it is absent (0)
	Action     string // what is proposed, such as "archive_email"
	Confidence float64
	Explored   bool
	ProposedAt time.Time // when the proposal was made; for action.performed the time of the deed
	DecidedAt  time.Time // approved, rejected and reverted only
	RecordedAt time.Time // the producer's database clock when the event was written; it bounds the other times
	Round      int       // 0, and one more with each revert of the same action
	Decision   string    // reverted only: the decision that it takes back, DecisionApproved or DecisionRejected
	// Features are the features of the mail when the proposal was made, as FeatureRule computes them.
	// HasFeatures tells an absent list, which the decoder then derives from Mail, from an empty one.
	Features    []string
	HasFeatures bool
	FeatureRule int
	Mail        MailRef
	// Policies lists, for action.performed only, the policies that match and proposed nothing for the mail.
	Policies []int64
}

// The operations of a preference change.
const (
	PreferencePin    = "pin"    // set Feature's weight to Weight until it is forgotten
	PreferenceForget = "forget" // forget what was learned of Feature, and its pin
	PreferenceReset  = "reset"  // forget all features of the user
)

// Preference is the payload of preference.changed.
type Preference struct {
	UserID     string
	Op         string  // PreferencePin, PreferenceForget or PreferenceReset
	Feature    string  // pin and forget
	Weight     float64 // pin; within -100..100
	RecordedAt time.Time
}

// Amount is a sum of money found in a mail: Value is a decimal such as "-12.50", Currency an ISO 4217 code.
type Amount struct {
	Value    string
	Currency string
}

// Address is one mailbox of a header: a display name and an address.
type Address struct {
	Name    string
	Address string
}

// Mail is the payload of mail.received: one message as its owner received it.
type Mail struct {
	UserID      string
	MessageID   string // without angle brackets; empty when the message has none
	ContentHash string // lower-case hex of a SHA-256 over the message; required when MessageID is empty
	Thread      string
	Subject     string
	Sender      Address
	Recipients  []Address
	DeliveredTo []string // the owner's own addresses as Delivered-To gave them
	ListID      string
	Unsubscribe bool // the message has a List-Unsubscribe header
	ReceivedAt  time.Time
	Category    string   // empty: the mailbox fold decides by rule
	RiskScore   *int     // 0..100; nil when nothing speaks
	Quarantined bool     //
	Labels      []string //
	ExpiresAt   time.Time
	Text        string // at most 128 KiB; longer text is cut and Truncated set
	Truncated   bool
	RecordedAt  time.Time
}

// Application is the payload of application.changed, and of application.removed, which has only System,
// ApplicationID, SrcVersion and RecordedAt.
type Application struct {
	System          string // "greenhouse", "lever", "workday", ...
	ApplicationID   string
	Addresses       []string // the candidate's, lower case
	Company         string
	Stage           string
	LastStageChange time.Time // zero when unknown
	InterviewDate   time.Time // zero when there is none
	SrcVersion      int64     // grows with every change of the application; the highest wins
	RecordedAt      time.Time
}

// Erasure is the payload of user.erased: everything of UserID before it is to be forgotten.
type Erasure struct {
	UserID     string
	RecordedAt time.Time
}
