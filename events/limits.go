package events

// Limits of events. Lengths are in bytes of UTF-8, counts in elements. The JSON Schemas repeat them, and a test compares
// both.
const (
	MaxValue = 1_000_000 // of a record's value; with key and headers it stays below Kafka's default of 1 MiB
	MaxDepth = 64        // levels of arrays and objects in a value, the payload itself being the first

	MaxID      = 200 // ce_id
	MaxSource  = 500 // ce_source
	MaxSubject = 500 // ce_subject

	MaxUserID          = 200
	MaxAction          = 100
	MaxFeature         = 300
	MaxFeatures        = 100
	MaxPolicies        = 1000
	MaxRound           = 1_000_000
	MaxFeatureRule     = 1_000_000
	MaxWeight          = 100 // and -MaxWeight at least
	MaxMailID          = 200
	MaxCategory        = 100
	MaxDomain          = 253
	MaxListID          = 255
	MaxMailSubject     = 4000
	MaxMessageID       = 998
	MaxThread          = 998
	MaxName            = 1000
	MaxAddress         = 320
	MaxRecipients      = 1000
	MaxDeliveredTo     = 100
	MaxLabel           = 255
	MaxLabels          = 200
	MaxRiskScore       = 100
	MaxFolder          = 1000
	MaxFolders         = 200
	MaxText            = 128 << 10
	MaxHTML            = 256 << 10
	MaxCalendar        = 64 << 10
	MaxListUnsubscribe = 4000 // and List-Unsubscribe-Post
	MaxDKIMSigned      = 200
	MaxHeaderName      = 100
	MaxReferences      = 100
	MaxAttachments     = 200
	MaxAttachmentName  = 255
	MaxMediaType       = 255
	MaxAttachmentSize  = 1 << 40
	MaxSystem          = 100
	MaxApplication     = 200 // application_id
	MaxAddresses       = 100
	MaxCompany         = 500
	MaxStage           = 200
	maxRedriveGroup    = 100
	maxRedriveFrom     = 400
)

// contentHashSize is the length of Mail.ContentHash: SHA-256 in hex.
const contentHashSize = 64
