package events

// Reason classifies refused events. The set is closed, since dead letters and metrics use it.
type Reason string

// The reasons for which a record or an event is refused.
const (
	ReasonEnvelope    Reason = "envelope"     // the headers are not valid CloudEvents 1.0 attributes, or a relay sequence is malformed
	ReasonMalformed   Reason = "malformed"    // the value is not JSON, or has text that PostgreSQL cannot store
	ReasonSchema      Reason = "schema"       // a field is missing, has the wrong type or breaks a limit
	ReasonBadTime     Reason = "bad_time"     // proposed_at or decided_at is before 2000 or after recorded_at
	ReasonUnknownType Reason = "unknown_type" // an unknown type or major version of our namespace
)

// Error says why a record or an event is refused. It contains names of fields and limits, never content.
type Error struct {
	Reason Reason
	Field  string // such as "mail.id" or "ce_source"; empty if the fault is not in a known field
	Detail string
}

// Error returns "reason: field: detail".
func (e *Error) Error() string {
	if e.Field == "" {
		return string(e.Reason) + ": " + e.Detail
	}
	return string(e.Reason) + ": " + e.Field + ": " + e.Detail
}
