package events

import "math/bits"

// field names a member of a payload, or of an object within it.
type field uint8

// The fields in the order in which they are written, so that fieldAfter's first guess is usually right.
const (
	fieldNone field = iota
	fieldActionID
	fieldUserID
	fieldPolicyID
	fieldAction
	fieldConfidence
	fieldExplored
	fieldProposedAt
	fieldDecidedAt
	fieldRecordedAt
	fieldRound
	fieldDecision
	fieldFeatures
	fieldFeatureRule
	fieldMail
	fieldID
	fieldCategory
	fieldSenderDomain
	fieldListID
	fieldSubject
	fieldPolicies
	fieldOp
	fieldFeature
	fieldWeight
	fieldMessageID
	fieldContentHash
	fieldThread
	fieldSender
	fieldRecipients
	fieldName
	fieldAddress
	fieldDeliveredTo
	fieldUnsubscribe
	fieldReceivedAt
	fieldRiskScore
	fieldQuarantined
	fieldLabels
	fieldExpiresAt
	fieldText
	fieldTruncated
	fieldHTML
	fieldListUnsubscribe
	fieldListUnsubscribePost
	fieldDKIMSigned
	fieldInReplyTo
	fieldReferences
	fieldAttachments
	fieldType
	fieldSize
	fieldCalendar
	fieldTo
	fieldCc
	fieldSystem
	fieldApplicationID
	fieldAddresses
	fieldCompany
	fieldStage
	fieldLastStageChange
	fieldInterviewDate
	fieldSrcVersion
	fieldAccountID
	fieldAccountSeq
	fieldFolders
	fieldCount
)

var fieldNames = [fieldCount]string{
	fieldActionID:            "action_id",
	fieldUserID:              "user_id",
	fieldPolicyID:            "policy_id",
	fieldAction:              "action",
	fieldConfidence:          "confidence",
	fieldExplored:            "explored",
	fieldProposedAt:          "proposed_at",
	fieldDecidedAt:           "decided_at",
	fieldRecordedAt:          "recorded_at",
	fieldRound:               "round",
	fieldDecision:            "decision",
	fieldFeatures:            "features",
	fieldFeatureRule:         "feature_rule",
	fieldMail:                "mail",
	fieldID:                  "id",
	fieldCategory:            "category",
	fieldSenderDomain:        "sender_domain",
	fieldListID:              "list_id",
	fieldSubject:             "subject",
	fieldPolicies:            "policies",
	fieldOp:                  "op",
	fieldFeature:             "feature",
	fieldWeight:              "weight",
	fieldMessageID:           "message_id",
	fieldContentHash:         "content_hash",
	fieldThread:              "thread",
	fieldSender:              "sender",
	fieldRecipients:          "recipients",
	fieldName:                "name",
	fieldAddress:             "address",
	fieldDeliveredTo:         "delivered_to",
	fieldUnsubscribe:         "unsubscribe",
	fieldReceivedAt:          "received_at",
	fieldRiskScore:           "risk_score",
	fieldQuarantined:         "quarantined",
	fieldLabels:              "labels",
	fieldExpiresAt:           "expires_at",
	fieldText:                "text",
	fieldTruncated:           "truncated",
	fieldHTML:                "html",
	fieldListUnsubscribe:     "list_unsubscribe",
	fieldListUnsubscribePost: "list_unsubscribe_post",
	fieldDKIMSigned:          "dkim_signed",
	fieldInReplyTo:           "in_reply_to",
	fieldReferences:          "references",
	fieldAttachments:         "attachments",
	fieldType:                "type",
	fieldSize:                "size",
	fieldCalendar:            "calendar",
	fieldTo:                  "to",
	fieldCc:                  "cc",
	fieldSystem:              "system",
	fieldApplicationID:       "application_id",
	fieldAddresses:           "addresses",
	fieldCompany:             "company",
	fieldStage:               "stage",
	fieldLastStageChange:     "last_stage_change",
	fieldInterviewDate:       "interview_date",
	fieldSrcVersion:          "src_version",
	fieldAccountID:           "account_id",
	fieldAccountSeq:          "account_seq",
	fieldFolders:             "folders",
}

var fieldsByName = func() map[string]field {
	fields := make(map[string]field, fieldCount)
	for f := fieldNone + 1; f < fieldCount; f++ {
		fields[fieldNames[f]] = f
	}
	return fields
}()

// fieldAfter returns the field called name, or fieldNone. It is fast if name follows last.
func fieldAfter(last field, name []byte) field {
	if next := last + 1; next < fieldCount && string(name) == fieldNames[next] {
		return next
	}
	return fieldsByName[string(name)]
}

// fieldSet is a set of fields.
type fieldSet uint64

func fieldsOf(list ...field) fieldSet {
	var set fieldSet
	for _, f := range list {
		set |= 1 << f
	}
	return set
}

func (s fieldSet) has(f field) bool { return s>>f&1 != 0 }

// first returns the lowest field of a set that is not empty, and rest all but that.
func (s fieldSet) first() field   { return field(bits.TrailingZeros64(uint64(s))) }
func (s fieldSet) rest() fieldSet { return s & (s - 1) }

// shape defines the fields of an object. All others are ignored, like fields of a later minor version.
type shape struct {
	required fieldSet // null is refused
	optional fieldSet // null means absent
}

func (s *shape) knows(f field) bool { return f != fieldNone && (s.required | s.optional).has(f) }

var decisionShape = shape{
	required: fieldsOf(fieldActionID, fieldUserID, fieldPolicyID, fieldAction, fieldConfidence, fieldProposedAt,
		fieldDecidedAt, fieldRecordedAt, fieldMail),
	optional: fieldsOf(fieldExplored, fieldRound, fieldFeatures, fieldFeatureRule),
}

// shapes are the payloads of the types that have one.
var shapes = [typeCount]shape{
	TypeActionProposed: {
		required: decisionShape.required &^ fieldsOf(fieldDecidedAt),
		optional: decisionShape.optional,
	},
	TypeActionApproved: decisionShape,
	TypeActionRejected: decisionShape,
	TypeActionReverted: {
		required: decisionShape.required | fieldsOf(fieldDecision),
		optional: decisionShape.optional,
	},
	TypeActionPerformed: {
		required: fieldsOf(fieldActionID, fieldUserID, fieldAction, fieldProposedAt, fieldRecordedAt, fieldMail),
		optional: fieldsOf(fieldFeatures, fieldFeatureRule, fieldPolicies),
	},
	TypePreferenceChanged: {
		required: fieldsOf(fieldUserID, fieldOp, fieldRecordedAt),
		optional: fieldsOf(fieldFeature, fieldWeight),
	},
	TypeMailReceived: {
		required: fieldsOf(fieldUserID, fieldReceivedAt, fieldRecordedAt),
		optional: fieldsOf(fieldMessageID, fieldContentHash, fieldThread, fieldSubject, fieldSender, fieldRecipients,
			fieldDeliveredTo, fieldListID, fieldUnsubscribe, fieldCategory, fieldRiskScore, fieldQuarantined,
			fieldLabels, fieldExpiresAt, fieldText, fieldTruncated, fieldHTML, fieldListUnsubscribe, fieldListUnsubscribePost,
			fieldDKIMSigned, fieldInReplyTo, fieldReferences, fieldAttachments, fieldCalendar, fieldTo, fieldCc),
	},
	TypeMailChanged: {
		required: fieldsOf(fieldUserID, fieldContentHash, fieldAccountID, fieldAccountSeq, fieldRecordedAt),
		optional: fieldsOf(fieldMessageID, fieldFolders, fieldLabels),
	},
	TypeApplicationChanged: {
		required: fieldsOf(fieldSystem, fieldApplicationID, fieldAddresses, fieldSrcVersion, fieldRecordedAt),
		optional: fieldsOf(fieldCompany, fieldStage, fieldLastStageChange, fieldInterviewDate),
	},
	TypeApplicationRemoved: {
		required: fieldsOf(fieldSystem, fieldApplicationID, fieldSrcVersion, fieldRecordedAt),
	},
	TypeUserErased: {required: fieldsOf(fieldUserID, fieldRecordedAt)},
}

// The objects within payloads.
var (
	mailRefShape = shape{
		required: fieldsOf(fieldID),
		optional: fieldsOf(fieldCategory, fieldSenderDomain, fieldListID, fieldSubject),
	}
	addressShape    = shape{optional: fieldsOf(fieldName, fieldAddress)}
	attachmentShape = shape{required: fieldsOf(fieldSize), optional: fieldsOf(fieldName, fieldType)}
)
