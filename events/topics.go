package events

// The topics, without the deployment's prefix. The table in the package comment lists their writers and readers.
const (
	TopicActions      = "applylens.actions"
	TopicMail         = "applylens.mail"
	TopicApplications = "applylens.applications"
)

// Topics lists all topics in the order in which they are created.
var Topics = []string{TopicActions, TopicMail, TopicApplications}

// The headers of an event besides content-type: CloudEvents 1.0, Kafka binding, binary mode.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderTime        = "ce_time"
	HeaderSubject     = "ce_subject"
	HeaderContentType = "content-type"
	HeaderTraceparent = "traceparent"

	// HeaderRelayID and HeaderRelaySeq are the relay sequence: the UUID of the relay term, and the number of the
	// record within that term and partition, dense from 1, in decimal.
	HeaderRelayID  = "applylens_relay_id"
	HeaderRelaySeq = "applylens_relay_seq"

	// HeaderRelaySignature is the Signature of a record that the relay published.
	HeaderRelaySignature = "applylens_relay_signature"

	// HeaderRedriveGroup names the only group that applies a redriven dead letter. HeaderRedrivenFrom says where the dead
	// letter was first read, as "topic/topic id/partition/offset". HeaderRedriveForce is "true" to override a conflict.
	HeaderRedriveGroup = "applylens_redrive_group"
	HeaderRedrivenFrom = "applylens_redriven_from"
	HeaderRedriveForce = "applylens_redrive_force"
)

// ApplicationKey is the key of the records of one application.
func ApplicationKey(system, applicationID string) string { return system + "/" + applicationID }
