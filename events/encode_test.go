package events_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

// sample returns the sample of a type.
func sample(t *testing.T, kind events.Type) *events.Event {
	t.Helper()
	for _, e := range samples() {
		if e.Type == kind {
			return e
		}
	}
	t.Fatalf("no sample of %v", kind)
	return nil
}

func TestEncodeRefuses(t *testing.T) {
	f := func(name string, kind events.Type, reason events.Reason, field string, change func(*events.Event)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			e := sample(t, kind)
			change(e)
			record, err := events.Encode(e)
			refusal(t, err, reason, field)
			if record.Value != nil {
				t.Error("Encode returns a record with the error")
			}
		})
	}
	schema, malformed, envelope := events.ReasonSchema, events.ReasonMalformed, events.ReasonEnvelope
	a, done, p := events.TypeActionApproved, events.TypeActionPerformed, events.TypePreferenceChanged

	f("no id", a, envelope, "ce_id", func(e *events.Event) { e.ID = "" })
	f("a source with NUL", a, envelope, "ce_source", func(e *events.Event) { e.Source = "/\x00" })
	f("a long subject", a, envelope, "ce_subject", func(e *events.Event) { e.Envelope.Subject = strings.Repeat("x", 501) })
	f("a time beyond the years", a, envelope, "ce_time", func(e *events.Event) { e.Time = e.Time.AddDate(9000, 0, 0) })
	f("an unknown type", a, events.ReasonUnknownType, "ce_type", func(e *events.Event) { e.Type = events.TypeUnknown })
	f("a foreign type", a, events.ReasonUnknownType, "ce_type", func(e *events.Event) { e.Type = events.TypeForeign })
	f("no payload", a, schema, "", func(e *events.Event) { e.Action = nil })
	f("another type's payload", a, schema, "", func(e *events.Event) { e.Action, e.Erasure = nil, &events.Erasure{} })
	f("two payloads", a, schema, "", func(e *events.Event) { e.Erasure = &events.Erasure{} })
	f("void with a payload", events.TypeVoid, schema, "", func(e *events.Event) { e.Erasure = &events.Erasure{} })

	f("a user that is not UTF-8", a, malformed, "user_id", func(e *events.Event) { e.Action.UserID = "\xff" })
	f("a category with NUL", a, malformed, "mail.category", func(e *events.Event) { e.Action.Mail.Category = "\x00" })
	f("NaN", a, schema, "confidence", func(e *events.Event) { e.Action.Confidence = math.NaN() })
	f("no decision time", a, schema, "decided_at", func(e *events.Event) { e.Action.DecidedAt = time.Time{} })
	f("a decision time for a proposal", events.TypeActionProposed, schema, "decided_at",
		func(e *events.Event) { e.Action.DecidedAt = e.Action.ProposedAt })
	f("a revert of nothing", events.TypeActionReverted, schema, "decision", func(e *events.Event) { e.Action.Decision = "" })
	f("a revert of a revert", events.TypeActionReverted, schema, "decision", func(e *events.Event) { e.Action.Decision = "reverted" })
	f("an approval with the field decision", a, schema, "decision", func(e *events.Event) { e.Action.Decision = events.DecisionApproved })
	f("a late proposal", a, events.ReasonBadTime, "proposed_at",
		func(e *events.Event) { e.Action.ProposedAt = e.Action.RecordedAt.Add(5*time.Minute + 1) })
	f("features that HasFeatures denies", a, schema, "features", func(e *events.Event) { e.Action.HasFeatures = false })
	f("policies of a decision", a, schema, "policies", func(e *events.Event) { e.Action.Policies = []int64{1} })
	f("a policy twice", done, schema, "policies", func(e *events.Event) { e.Action.Policies = []int64{2, 1, 2} })
	f("a policy of what was performed", done, schema, "policy_id", func(e *events.Event) { e.Action.PolicyID = 1 })
	f("a weight to forget", p, schema, "weight", func(e *events.Event) { e.Preference.Op = events.PreferenceForget })
	f("a feature to reset", p, schema, "feature",
		func(e *events.Event) {
			*e.Preference = events.Preference{UserID: "u", Op: "reset", Feature: "f", RecordedAt: at("2026-11-03T10:00:00Z")}
		})
	f("a content hash in upper case", events.TypeMailReceived, schema, "content_hash",
		func(e *events.Event) { e.Mail.ContentHash = strings.ToUpper(e.Mail.ContentHash) })
	f("a long text", events.TypeMailReceived, schema, "text", func(e *events.Event) { e.Mail.Text = strings.Repeat("x", events.MaxText+1) })
	f("many labels", events.TypeMailReceived, schema, "labels", func(e *events.Event) { e.Mail.Labels = make([]string, events.MaxLabels+1) })
	f("a nameless label", events.TypeMailReceived, schema, "labels", func(e *events.Event) { e.Mail.Labels = []string{""} })
	f("a long value", events.TypeMailReceived, schema, "", func(e *events.Event) {
		e.Mail.Text = strings.Repeat("\x01", events.MaxText)
		e.Mail.Recipients = make([]events.Address, events.MaxRecipients)
		for i := range e.Mail.Recipients {
			e.Mail.Recipients[i].Name = strings.Repeat("x", events.MaxName)
		}
	})
	f("an attachment of less than nothing", events.TypeMailReceived, schema, "attachments.size", func(e *events.Event) { e.Mail.Attachments[0].Size = -1 })
	f("a long page", events.TypeMailReceived, schema, "html", func(e *events.Event) { e.Mail.HTML = strings.Repeat("x", events.MaxHTML+1) })
	f("many in Cc", events.TypeMailReceived, schema, "cc", func(e *events.Event) { e.Mail.Cc = make([]events.Address, events.MaxRecipients+1) })
	f("a company of what was removed", events.TypeApplicationRemoved, schema, "company", func(e *events.Event) { e.Application.Company = "Acme" })
}

func TestTheLongestMailEncodes(t *testing.T) {
	e := sample(t, events.TypeMailReceived)
	e.Mail.Text = strings.Repeat("\x01", events.MaxText)
	if got := roundTrip(t, events.NewDecoder(), e); got.Mail.Text != e.Mail.Text {
		t.Error("another text")
	}
}

func TestEncodeWritesTheSameBytes(t *testing.T) {
	for _, e := range samples() {
		a, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		e.Time = e.Time.In(time.FixedZone("", 3600))
		b, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("%v: %s", e.Type, diff)
		}
	}
}

// draw generates random values for the fields of events.
type draw struct{ *rapid.T }

// text has from least to most bytes, including some that JSON escapes.
func (d draw) text(name string, least, most int) string {
	runes := rapid.OneOf(rapid.RuneFrom([]rune("abc:.\"\\\b\f\n\r\t\x01\x1f\x7f/<&é€😀\u2028\uFFFD")), rapid.Rune())
	text := rapid.StringOfN(runes, least, -1, min(most, 40)).Draw(d.T, name)
	return strings.ReplaceAll(text, "\x00", "0")
}

func (d draw) texts(name string, most, longest int) []string {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return draw{t}.text("element", 1, longest) }), 0, min(most, 6),
		rapid.ID[string]).Draw(d.T, name)
}

func (d draw) time(name string, from, until time.Time) time.Time {
	seconds := rapid.Int64Range(from.Unix(), until.Unix()).Draw(d.T, name)
	nanos := rapid.SampledFrom([]int64{0, 1, 250_000_000, 123_456_789, 999_999_999}).Draw(d.T, name+" nanoseconds")
	zone := time.FixedZone("", rapid.IntRange(-86399, 86399).Draw(d.T, name+" zone"))
	return time.Unix(seconds, nanos).In(zone)
}

func (d draw) anyTime(name string) time.Time {
	return d.time(name, at("1000-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z"))
}

func (d draw) timeOrNone(name string) time.Time {
	if rapid.Bool().Draw(d.T, "no "+name) {
		return time.Time{}
	}
	return d.anyTime(name)
}

func (d draw) event() *events.Event {
	kind := rapid.SampledFrom(append(events.Types(), events.TypeVoid)).Draw(d.T, "type")
	e := &events.Event{Envelope: events.Envelope{
		ID:      rapid.StringMatching(`[!-~é€]{1,60}`).Draw(d.T, "ce_id"),
		Source:  rapid.StringMatching(`/[ -~]{1,60}`).Draw(d.T, "ce_source"),
		Type:    kind,
		Subject: rapid.StringMatching(`[ -~]{0,60}`).Draw(d.T, "ce_subject"),
		Time:    d.timeOrNone("ce_time"),
	}}
	switch kind {
	case events.TypePreferenceChanged:
		e.Preference = d.preference()
	case events.TypeMailReceived:
		e.Mail = d.mail()
	case events.TypeMailChanged:
		e.MailChange = d.mailChange()
	case events.TypeApplicationChanged, events.TypeApplicationRemoved:
		e.Application = d.application(kind)
	case events.TypeUserErased:
		e.Erasure = &events.Erasure{UserID: d.text("user_id", 1, events.MaxUserID), RecordedAt: d.anyTime("recorded_at")}
	case events.TypeVoid:
	default:
		e.Action = d.action(kind)
	}
	return e
}

func (d draw) action(kind events.Type) *events.Action {
	recorded := d.time("recorded_at", at("2000-01-02T00:00:00Z"), at("9999-12-31T23:59:59Z"))
	a := &events.Action{
		UserID:      d.text("user_id", 1, events.MaxUserID),
		Action:      d.text("action", 1, events.MaxAction),
		ProposedAt:  d.time("proposed_at", at("2000-01-01T00:00:00Z"), recorded.Add(-time.Second)),
		RecordedAt:  recorded,
		FeatureRule: rapid.IntRange(0, events.MaxFeatureRule).Draw(d.T, "feature_rule"),
		Mail: events.MailRef{
			ID:           d.text("mail.id", 1, events.MaxMailID),
			Category:     d.text("mail.category", 0, events.MaxCategory),
			SenderDomain: d.text("mail.sender_domain", 0, events.MaxDomain),
			ListID:       d.text("mail.list_id", 0, events.MaxListID),
			Subject:      rapid.SampledFrom([]string{"", "Sale: deals & \"offers\"", "é"}).Draw(d.T, "mail.subject"),
		},
	}
	copy(a.ActionID[:], rapid.SliceOfN(rapid.ByteMin(1), 16, 16).Draw(d.T, "action_id"))
	if a.HasFeatures = rapid.Bool().Draw(d.T, "has features"); a.HasFeatures {
		a.Features = d.texts("features", events.MaxFeatures, events.MaxFeature)
	} else {
		a.Features, a.FeatureRule = events.Features(a.Mail), events.FeatureRule
	}
	if kind == events.TypeActionPerformed {
		a.Policies = rapid.SliceOfNDistinct(rapid.Int64Min(1), 0, 6, rapid.ID[int64]).Draw(d.T, "policies")
		return a
	}
	a.PolicyID = rapid.Int64Min(1).Draw(d.T, "policy_id")
	a.Confidence = rapid.Float64Range(0, 1).Draw(d.T, "confidence")
	a.Explored = rapid.Bool().Draw(d.T, "explored")
	a.Round = rapid.IntRange(0, events.MaxRound).Draw(d.T, "round")
	if kind == events.TypeActionReverted {
		a.Decision = rapid.SampledFrom([]string{events.DecisionApproved, events.DecisionRejected}).Draw(d.T, "decision")
	}
	if kind != events.TypeActionProposed {
		a.DecidedAt = d.time("decided_at", at("2000-01-01T00:00:00Z"), recorded.Add(-time.Second))
	}
	return a
}

func (d draw) preference() *events.Preference {
	p := &events.Preference{
		UserID:     d.text("user_id", 1, events.MaxUserID),
		Op:         rapid.SampledFrom([]string{events.PreferencePin, events.PreferenceForget, events.PreferenceReset}).Draw(d.T, "op"),
		RecordedAt: d.anyTime("recorded_at"),
	}
	if p.Op != events.PreferenceReset {
		p.Feature = d.text("feature", 1, events.MaxFeature)
	}
	if p.Op == events.PreferencePin {
		p.Weight = rapid.Float64Range(-events.MaxWeight, events.MaxWeight).Draw(d.T, "weight")
	}
	return p
}

func (d draw) mailChange() *events.MailChange {
	c := &events.MailChange{
		UserID:      d.text("user_id", 1, events.MaxUserID),
		MessageID:   d.text("message_id", 0, events.MaxMessageID),
		ContentHash: rapid.StringMatching(`[0-9a-f]{64}`).Draw(d.T, "content_hash"),
		AccountSeq:  rapid.Int64Min(1).Draw(d.T, "account_seq"),
		Folders:     d.texts("folders", events.MaxFolders, events.MaxFolder),
		Labels:      d.texts("labels", events.MaxLabels, events.MaxLabel),
		RecordedAt:  d.anyTime("recorded_at"),
	}
	copy(c.AccountID[:], rapid.SliceOfN(rapid.ByteMin(1), 16, 16).Draw(d.T, "account_id"))
	return c
}

func (d draw) mail() *events.Mail {
	m := &events.Mail{
		UserID:      d.text("user_id", 1, events.MaxUserID),
		MessageID:   d.text("message_id", 1, events.MaxMessageID),
		ContentHash: rapid.StringMatching(`([0-9a-f]{64})?`).Draw(d.T, "content_hash"),
		Thread:      d.text("thread", 0, events.MaxThread),
		Subject:     d.text("subject", 0, events.MaxMailSubject),
		Sender:      events.Address{Name: d.text("sender.name", 0, events.MaxName), Address: d.text("sender.address", 0, events.MaxAddress)},
		DeliveredTo: d.texts("delivered_to", events.MaxDeliveredTo, events.MaxAddress),
		ListID:      d.text("list_id", 0, events.MaxListID),
		Unsubscribe: rapid.Bool().Draw(d.T, "unsubscribe"),
		ReceivedAt:  d.anyTime("received_at"),
		Category:    d.text("category", 0, events.MaxCategory),
		Quarantined: rapid.Bool().Draw(d.T, "quarantined"),
		Labels:      d.texts("labels", events.MaxLabels, events.MaxLabel),
		ExpiresAt:   d.timeOrNone("expires_at"),
		Text:        d.text("text", 0, events.MaxText),
		Truncated:   rapid.Bool().Draw(d.T, "truncated"),
		RecordedAt:  d.anyTime("recorded_at"),
	}
	m.HTML, m.Calendar = d.text("html", 0, events.MaxHTML), d.text("calendar", 0, events.MaxCalendar)
	m.ListUnsubscribe = d.text("list_unsubscribe", 0, events.MaxListUnsubscribe)
	m.ListUnsubscribePost = d.text("list_unsubscribe_post", 0, events.MaxListUnsubscribe)
	m.DKIMSigned = d.texts("dkim_signed", events.MaxDKIMSigned, events.MaxHeaderName)
	m.InReplyTo = d.text("in_reply_to", 0, events.MaxMessageID)
	m.References = d.texts("references", events.MaxReferences, events.MaxMessageID)
	for _, name := range d.texts("attachments", 4, events.MaxAttachmentName) {
		m.Attachments = append(m.Attachments, events.Attachment{
			Name: name, Type: d.text("attachments.type", 0, events.MaxMediaType),
			Size: rapid.Int64Range(0, events.MaxAttachmentSize).Draw(d.T, "attachments.size"),
		})
	}
	m.Recipients, m.To, m.Cc = d.addresses("recipients"), d.addresses("to"), d.addresses("cc")
	if rapid.Bool().Draw(d.T, "has risk") {
		risk := rapid.IntRange(0, events.MaxRiskScore).Draw(d.T, "risk_score")
		m.RiskScore = &risk
	}
	return m
}

func (d draw) addresses(name string) (list []events.Address) {
	for _, name := range d.texts(name, 4, events.MaxName) {
		list = append(list, events.Address{Name: name})
	}
	return list
}

func (d draw) application(kind events.Type) *events.Application {
	a := &events.Application{
		System:        strings.ReplaceAll(d.text("system", 1, events.MaxSystem), "/", "-"),
		ApplicationID: d.text("application_id", 1, events.MaxApplication),
		SrcVersion:    rapid.Int64Min(1).Draw(d.T, "src_version"),
		RecordedAt:    d.anyTime("recorded_at"),
	}
	if kind == events.TypeApplicationChanged {
		a.Addresses = d.texts("addresses", events.MaxAddresses, events.MaxAddress)
		a.Company = d.text("company", 0, events.MaxCompany)
		a.Stage = d.text("stage", 0, events.MaxStage)
		a.LastStageChange = d.timeOrNone("last_stage_change")
		a.InterviewDate = d.timeOrNone("interview_date")
	}
	return a
}

func TestEveryEventDecodesToItself(t *testing.T) {
	o, d := newOracle(t), events.NewDecoder()
	rapid.Check(t, func(r *rapid.T) {
		e := draw{r}.event()
		record, err := events.Encode(e)
		if err != nil {
			r.Fatalf("Encode: %v", err)
		}
		head, err := d.Head(record.Headers)
		if err != nil {
			r.Fatalf("Head: %v", err)
		}
		var got events.Event
		if err := d.Decode(&head, record.Value, &got); err != nil {
			r.Fatalf("Decode %s: %v", record.Value, err)
		}
		if diff := cmp.Diff(e, &got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatal(diff)
		}
		if events.ContentHash(e) != events.ContentHash(&got) || events.EffectID(e) != events.EffectID(&got) {
			r.Fatal("another identity")
		}
		if err := got.Validate(); err != nil {
			r.Fatalf("Validate: %v", err)
		}
		if e.Type != events.TypeVoid {
			if err := o.judge(e.Type, record.Value); err != nil {
				r.Fatalf("%s: %v", record.Value, err)
			}
		}
	})
}
