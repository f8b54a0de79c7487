package events

// Reason classifies a refusal. The set is closed: it names dead letters and metrics.
type Reason string

// The reasons for which a record or an event is refused.
const (
	ReasonEnvelope    Reason = "envelope"     // the headers are no CloudEvents 1.0 attributes, or a stamp is malformed
	ReasonMalformed   Reason = "malformed"    // the value is no JSON, or has text that PostgreSQL cannot hold
	ReasonSchema      Reason = "schema"       // a field is missing, has the wrong type or breaks a limit
	ReasonBadTime     Reason = "bad_time"     // proposed_at or decided_at is before 2000 or after recorded_at
	ReasonUnknownType Reason = "unknown_type" // a type of our namespace, or a major version, that this code does not know
)

// Error tells why a record or an event is refused. It holds names of fields and limits, never content.
type Error struct {
	Reason Reason
	Field  string // such as "mail.id" or "ce_source"; empty when the fault is in no known field
	Detail string
}

// Error returns "reason: field: detail".
func (e *Error) Error() string {
	if e.Field == "" {
		return string(e.Reason) + ": " + e.Detail
	}
	return string(e.Reason) + ": " + e.Field + ": " + e.Detail
}
