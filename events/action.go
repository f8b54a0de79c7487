package events

import (
	"math"
	"slices"
	"time"
)

// MailRef is the part of a mail that an action event carries, so that no consumer looks the mail up.
type MailRef struct {
	ID           string // opaque, at most 200 bytes; required
	Category     string
	SenderDomain string // registrable domain, lower case
	ListID       string
	Subject      string // foreign producers only; used to derive features, never stored
}

// The decisions that an action.reverted can revert.
const (
	DecisionApproved = "approved"
	DecisionRejected = "rejected"
)

// Action is the payload of the action.* types. A decision carries everything that a fold needs.
type Action struct {
	ActionID   UUID   // UUIDv7 of the proposal; for action.performed a new UUID
	UserID     string // opaque; the record's key
	PolicyID   int64  // required and positive, except for action.performed, where it is absent (0)
	Action     string // the proposed action, such as "archive_email"
	Confidence float64
	Explored   bool
	ProposedAt time.Time // when the proposal was made; for action.performed when it was done
	DecidedAt  time.Time // approved, rejected and reverted only
	RecordedAt time.Time // the producer's database clock when the event was written; the upper bound of the other times
	Round      int       // 0 at first, and one more after each revert of the action
	Decision   string    // reverted only: the reverted decision, DecisionApproved or DecisionRejected
	// Features are the features of the mail when the proposal was made, as FeatureRule computes them.
	// HasFeatures distinguishes an empty list from an absent one, which the decoder derives from Mail.
	Features    []string
	HasFeatures bool
	FeatureRule int
	Mail        MailRef
	// Policies lists, for action.performed only, the policies that match the mail but proposed nothing for it.
	Policies []int64
}

func (a *Action) check(c *checker, t Type) {
	c.uuid("action_id", a.ActionID)
	c.required("user_id", a.UserID, MaxUserID)
	c.required("action", a.Action, MaxAction)
	c.time("recorded_at", a.RecordedAt)
	c.actionTime("proposed_at", a.ProposedAt, a.RecordedAt)
	if t.decision() {
		c.actionTime("decided_at", a.DecidedAt, a.RecordedAt)
	} else {
		c.absent("decided_at", a.DecidedAt.IsZero())
	}
	if t != TypeActionReverted {
		c.absent("decision", a.Decision == "")
	} else if a.Decision != DecisionApproved && a.Decision != DecisionRejected {
		c.fail(ReasonSchema, "decision", "is not approved or rejected")
	}
	if t == TypeActionPerformed {
		a.checkPerformed(c)
	} else {
		c.within("policy_id", a.PolicyID, 1, math.MaxInt64)
		c.floatWithin("confidence", a.Confidence, 0, 1)
		c.within("round", int64(a.Round), 0, MaxRound)
		c.absent("policies", len(a.Policies) == 0)
	}
	a.Mail.check(c)
	a.checkFeatures(c)
}

func (a *Action) checkPerformed(c *checker) {
	c.absent("policy_id", a.PolicyID == 0)
	c.absent("confidence", a.Confidence == 0)
	c.absent("explored", !a.Explored)
	c.absent("round", a.Round == 0)
	c.count("policies", len(a.Policies), MaxPolicies)
	for i, id := range a.Policies {
		c.nth = i + 1
		c.within("policies", id, 1, math.MaxInt64)
	}
	c.nth = 0
	sorted := slices.Clone(a.Policies)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) < len(a.Policies) && c.sound("policies") {
		c.fail(ReasonSchema, "policies", "contains an element twice")
	}
}

func (a *Action) checkFeatures(c *checker) {
	if c.scanned && !a.HasFeatures {
		return // the decoder derived them from the mail
	}
	c.within("feature_rule", int64(a.FeatureRule), 0, MaxFeatureRule)
	c.texts("features", a.Features, MaxFeatures, MaxFeature)
	if !c.sound("features") {
		return
	}
	c.unique("features", a.Features)
	if !a.HasFeatures && len(a.Features) > 0 && !slices.Equal(a.Features, Features(a.Mail)) {
		c.fail(ReasonSchema, "features", "differs from the features of the mail, although HasFeatures is false")
	}
}

func (m *MailRef) check(c *checker) {
	c.required("mail.id", m.ID, MaxMailID)
	c.text("mail.category", m.Category, MaxCategory)
	c.text("mail.sender_domain", m.SenderDomain, MaxDomain)
	c.text("mail.list_id", m.ListID, MaxListID)
	c.text("mail.subject", m.Subject, MaxMailSubject)
}

func (a *Action) write(w *writer, t Type, canonical bool) {
	w.uuid(fieldActionID, a.ActionID)
	w.text(fieldUserID, a.UserID)
	performed := t == TypeActionPerformed
	if !performed {
		w.integer(fieldPolicyID, a.PolicyID)
	}
	w.text(fieldAction, a.Action)
	if !performed {
		w.float(fieldConfidence, a.Confidence)
		w.boolean(fieldExplored, a.Explored)
	}
	w.time(fieldProposedAt, a.ProposedAt)
	if t.decision() {
		w.time(fieldDecidedAt, a.DecidedAt)
	}
	if !canonical {
		w.time(fieldRecordedAt, a.RecordedAt)
	}
	if !performed {
		w.integer(fieldRound, int64(a.Round))
	}
	w.textIf(fieldDecision, a.Decision)
	if a.HasFeatures || canonical {
		w.texts(fieldFeatures, a.Features)
		w.integer(fieldFeatureRule, int64(a.FeatureRule))
	}
	a.Mail.write(w)
	w.integersIf(fieldPolicies, a.Policies)
}

func (m *MailRef) write(w *writer) {
	w.name(fieldMail)
	w.open()
	w.text(fieldID, m.ID)
	w.textIf(fieldCategory, m.Category)
	w.textIf(fieldSenderDomain, m.SenderDomain)
	w.textIf(fieldListID, m.ListID)
	w.textIf(fieldSubject, m.Subject)
	w.close()
}

// readAction decodes into the decoder's own Action, whose lists it reuses.
func (d *Decoder) readAction(t Type) *Action {
	a := &d.action
	*a = Action{Features: a.Features[:0], Policies: a.Policies[:0]}
	m := d.object(&shapes[t])
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldActionID:
			a.ActionID = d.uuid()
		case fieldUserID:
			a.UserID = d.interned()
		case fieldPolicyID:
			a.PolicyID = d.integer()
		case fieldAction:
			a.Action = d.interned()
		case fieldConfidence:
			a.Confidence = d.float()
		case fieldExplored:
			a.Explored = d.boolean()
		case fieldProposedAt:
			a.ProposedAt = d.time()
		case fieldDecidedAt:
			a.DecidedAt = d.time()
		case fieldRecordedAt:
			a.RecordedAt = d.time()
		case fieldRound:
			a.Round = d.small(MaxRound)
		case fieldDecision:
			a.Decision = d.interned()
		case fieldFeatures:
			a.HasFeatures = true
			a.Features = d.texts(a.Features, MaxFeatures)
		case fieldFeatureRule:
			a.FeatureRule = d.small(MaxFeatureRule)
		case fieldMail:
			d.readMailRef(&a.Mail)
		case fieldPolicies:
			a.Policies = d.integers(a.Policies, MaxPolicies)
		}
	}
	if !a.HasFeatures && d.err == nil {
		a.Features, a.FeatureRule = d.derive(a.Features, &a.Mail), FeatureRule
	}
	return a
}

func (d *Decoder) readMailRef(ref *MailRef) {
	m := d.object(&mailRefShape)
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldID:
			ref.ID = d.string()
		case fieldCategory:
			ref.Category = d.interned()
		case fieldSenderDomain:
			ref.SenderDomain = d.interned()
		case fieldListID:
			ref.ListID = d.interned()
		case fieldSubject:
			ref.Subject = d.string()
		}
	}
}
