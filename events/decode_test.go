package events_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

// refusal fails the test unless err is an *events.Error with the reason and the field.
func refusal(t *testing.T, err error, reason events.Reason, field string) {
	t.Helper()
	var refused *events.Error
	if !errors.As(err, &refused) {
		t.Fatalf("%v, want a refusal", err)
	}
	if refused.Reason != reason || refused.Field != field || refused.Detail == "" {
		t.Errorf("refused with %+v, want %s of %q", refused, reason, field)
	}
}

func decode(d *events.Decoder, kind events.Type, value string, e *events.Event) error {
	head := events.Head{Envelope: events.Envelope{ID: "1", Source: "/test", Type: kind}}
	return d.Decode(&head, []byte(value), e)
}

// preference and approvedJSON return a valid value in which new replaces old.
func preference(old, new string) string {
	return strings.Replace(`{"user_id":"u","op":"pin","feature":"f","weight":1.5,"recorded_at":"2026-11-03T10:00:00Z"}`, old, new, 1)
}

func approvedJSON(old, new string) string {
	return strings.Replace(`{"action_id":"019ab3f2-5c00-7000-8000-000000000001","user_id":"u","policy_id":1,"action":"a",`+
		`"confidence":0.5,"proposed_at":"2026-11-03T09:00:00Z","decided_at":"2026-11-03T10:00:00Z",`+
		`"recorded_at":"2026-11-03T10:00:00Z","mail":{"id":"m","category":"promo"}}`, old, new, 1)
}

func TestDecodeRefuses(t *testing.T) {
	d := events.NewDecoder()
	f := func(name string, kind events.Type, value string, reason events.Reason, field string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var e events.Event
			refusal(t, decode(d, kind, value, &e), reason, field)
		})
	}
	p, a := events.TypePreferenceChanged, events.TypeActionApproved
	malformed, schema, badTime := events.ReasonMalformed, events.ReasonSchema, events.ReasonBadTime

	f("unknown type", events.TypeUnknown, "{}", events.ReasonUnknownType, "ce_type")
	f("undefined type", 200, "{}", events.ReasonUnknownType, "ce_type")
	f("nothing", p, "", malformed, "")
	f("a text", p, `"x"`, schema, "")
	f("an incomplete value", p, `{"user_id":"u"`, malformed, "user_id")
	f("two values", p, preference("", "")+"{}", malformed, "")
	f("a trailing comma", p, preference("}", ",}"), malformed, "recorded_at")
	f("a byte order mark", p, "\uFEFF"+preference("", ""), malformed, "")
	f("a long value", p, preference("}", strings.Repeat(" ", events.MaxValue)+"}"), malformed, "")
	f("NUL", p, preference(`"f"`, `"f\u0000"`), malformed, "feature")
	f("a control character", p, preference(`"f"`, "\"f\n\""), malformed, "feature")
	f("invalid UTF-8", p, preference(`"f"`, "\"f\xff\""), malformed, "feature")
	f("encoded surrogate", p, preference(`"f"`, "\"\xed\xa0\x80\""), malformed, "feature")
	f("a high surrogate alone", p, preference(`"f"`, `"\ud83dx"`), malformed, "feature")
	f("a low surrogate alone", p, preference(`"f"`, `"\ude00"`), malformed, "feature")
	f("NUL in an unknown field", p, preference("}", `,"x":"\u0000"}`), malformed, "")
	f("a bad unknown field", p, preference("}", `,"x":[1,{"y":01}]}`), malformed, "")
	f("an unknown field without end", p, preference("}", `,"x":[[[`), malformed, "")
	for _, value := range []string{`{"y" 1}`, `{"y"`, `[1 2]`, `nul`, `tru`, `-`, `1.`, `1e`, `"\`, `"\u12`, `"\u12g4"`, "\"\\n\n\"", `"\n`} {
		f("a broken value "+value, p, preference("}", `,"x":`+value+"}"), malformed, "")
	}
	f("too deep", p, preference("}", `,"x":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+"}"), malformed, "")
	f("a field twice", p, preference("}", `,"op":"pin"}`), schema, "op")
	f("a field twice, once escaped", p, preference("}", `,"\u006fp":"pin"}`), schema, "op")
	f("a field twice, once null", p, preference("}", `,"weight":null}`), schema, "weight")
	f("another case", p, preference(`"op"`, `"Op"`), schema, "op")
	f("a number for a text", p, preference(`"u"`, "7"), schema, "user_id")
	f("null for a required field", p, preference(`"u"`, "null"), schema, "user_id")
	f("an empty user", p, preference(`"u"`, `""`), schema, "user_id")
	f("a long user", p, preference(`"u"`, `"`+strings.Repeat("é", 101)+`"`), schema, "user_id")
	f("an unknown op", p, preference("pin", "unpin"), schema, "op")
	f("pin without weight", p, preference(`"weight":1.5,`, ""), schema, "weight")
	f("pin with null", p, preference("1.5", "null"), schema, "weight")
	f("pin without feature", p, preference(`"feature":"f",`, ""), schema, "feature")
	f("a weight beyond the limit", p, preference("1.5", "100.5"), schema, "weight")
	f("a weight out of range", p, preference("1.5", "1e999"), schema, "weight")
	f("NaN", p, preference("1.5", "NaN"), malformed, "weight")
	f("an unused weight beyond the limit", p, preference(`"pin","feature":"f","weight":1.5`, `"reset","weight":101`), schema, "weight")
	f("no time", p, preference(`"2026-11-03T10:00:00Z"`, `"today"`), schema, "recorded_at")

	f("a nil action id", a, approvedJSON("019ab3f2-5c00-7000-8000-000000000001", "00000000-0000-0000-0000-000000000000"), schema, "action_id")
	f("no action id", a, approvedJSON("019ab3f2", "019ab3f"), schema, "action_id")
	f("no policy", a, approvedJSON(`"policy_id":1,`, ""), schema, "policy_id")
	f("policy 0", a, approvedJSON(`"policy_id":1`, `"policy_id":0`), schema, "policy_id")
	f("a fractional policy", a, approvedJSON(`"policy_id":1`, `"policy_id":1.5`), schema, "policy_id")
	f("policy out of range", a, approvedJSON(`"policy_id":1`, `"policy_id":9223372036854775808`), schema, "policy_id")
	f("policy far out of range", a, approvedJSON(`"policy_id":1`, `"policy_id":1e99999999999999999999`), schema, "policy_id")
	f("confidence above 1", a, approvedJSON("0.5", "1.01"), schema, "confidence")
	f("negative round", a, approvedJSON(`"action":"a"`, `"action":"a","round":-1`), schema, "round")
	f("round out of range", a, approvedJSON(`"action":"a"`, `"action":"a","round":1000001`), schema, "round")
	f("no decision time", a, approvedJSON(`"decided_at":"2026-11-03T10:00:00Z",`, ""), schema, "decided_at")
	f("no mail", a, approvedJSON(`,"mail":{"id":"m","category":"promo"}`, ""), schema, "mail")
	f("no mail id", a, approvedJSON(`"id":"m",`, ""), schema, "mail.id")
	f("a number for the category", a, approvedJSON(`"promo"`, "1"), schema, "mail.category")
	f("a feature twice", a, approvedJSON(`"mail"`, `"features":["x","y","x"],"mail"`), schema, "features")
	f("an empty feature", a, approvedJSON(`"mail"`, `"features":[""],"mail"`), schema, "features")
	f("a long feature", a, approvedJSON(`"mail"`, `"features":["`+strings.Repeat("x", 301)+`"],"mail"`), schema, "features")
	f("many features", a, approvedJSON(`"mail"`, `"features":[`+strings.Repeat(`"x",`, 100)+`"y"],"mail"`), schema, "features")
	f("proposed before 2000", a, approvedJSON("2026-11-03T09", "1999-12-31T23"), badTime, "proposed_at")
	f("decided in the future", a, approvedJSON(`"decided_at":"2026-11-03T10:00:00Z"`, `"decided_at":"2026-11-03T10:05:00.000001Z"`), badTime, "decided_at")

	f("a revert without decision", events.TypeActionReverted, approvedJSON("", ""), schema, "decision")
	f("a revert of something else", events.TypeActionReverted, approvedJSON("{", `{"decision":"reverted",`), schema, "decision")

	f("mail without identity", events.TypeMailReceived,
		`{"user_id":"u","message_id":"","received_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T10:00:00Z"}`, schema, "content_hash")
	f("a slash in the system", events.TypeApplicationRemoved,
		`{"system":"a/b","application_id":"1","src_version":1,"recorded_at":"2026-11-03T10:00:00Z"}`, schema, "system")
}

func TestDecodeAccepts(t *testing.T) {
	d := events.NewDecoder()
	f := func(name string, kind events.Type, value string, want any) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var e events.Event
			if err := decode(d, kind, value, &e); err != nil {
				t.Fatal(err)
			}
			var got any = e.Preference
			if e.Action != nil {
				got = e.Action
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	recorded := at("2026-11-03T10:00:00Z")
	pin := &events.Preference{UserID: "u", Op: "pin", Feature: "f", Weight: 1.5, RecordedAt: recorded}
	p, a := events.TypePreferenceChanged, events.TypeActionApproved
	f("members in any order, with white space", p,
		" {\n\t\"weight\" : 15e-1 , \"recorded_at\":\"2026-11-03T11:00:00+01:00\",\r\"feature\":\"f\",\"op\":\"pin\",\"user_id\":\"u\"} \n", pin)
	f("unknown fields", p, preference("{", `{"x":{"user_id":7,"user_id":[null,true,false,-0.5e+1,"\ud83d\ude00",{}]},"x":[],`), pin)
	f("at the greatest depth", p, preference("}", `,"x":`+strings.Repeat("[", 63)+strings.Repeat("]", 63)+"}"), pin)
	f("fields that the op does not use", p, preference("pin", "reset"), &events.Preference{UserID: "u", Op: "reset", RecordedAt: recorded})
	f("a weight to forget", p, preference("pin", "forget"), &events.Preference{UserID: "u", Op: "forget", Feature: "f", RecordedAt: recorded})

	action := func(change func(*events.Action)) *events.Action {
		want := &events.Action{ActionID: sampleAction().ActionID, UserID: "u", PolicyID: 1, Action: "a", Confidence: 0.5,
			ProposedAt: at("2026-11-03T09:00:00Z"), DecidedAt: recorded, RecordedAt: recorded, Features: []string{"category:promo"},
			FeatureRule: events.FeatureRule, Mail: events.MailRef{ID: "m", Category: "promo"}}
		change(want)
		return want
	}
	f("absent features", a, approvedJSON("", ""), action(func(*events.Action) {}))
	f("null for features", a, approvedJSON(`"mail"`, `"features":null,"feature_rule":7,"mail"`), action(func(*events.Action) {}))
	f("absent features and a subject", a, approvedJSON(`"id":"m"`, `"subject":"Last Offers","id":"m"`), action(func(a *events.Action) {
		a.Mail.Subject, a.Features = "Last Offers", []string{"category:promo", "contains:offer"}
	}))
	f("no features", a, approvedJSON(`"mail"`, `"features":[],"mail"`), action(func(a *events.Action) {
		a.Features, a.HasFeatures, a.FeatureRule = []string{}, true, 0
	}))
	f("features of another rule", a, approvedJSON(`"mail"`, `"features":["x:y"],"feature_rule":2,"mail"`), action(func(a *events.Action) {
		a.Features, a.HasFeatures, a.FeatureRule = []string{"x:y"}, true, 2
	}))
	f("times at their bounds", a, approvedJSON(`09:00:00Z","decided_at":"2026-11-03T10:00:00Z"`, `10:05:00Z","decided_at":"2000-01-01T00:00:00Z"`),
		action(func(a *events.Action) {
			a.ProposedAt, a.DecidedAt = at("2026-11-03T10:05:00Z"), at("2000-01-01T00:00:00Z")
		}))
	for text, want := range map[string]int64{"1e2": 100, "12.50e1": 125, "100e-2": 1, "1.0": 1, "0.1e1": 1,
		"9223372036854775807": 1<<63 - 1, "9223372036854775807.000": 1<<63 - 1, "0.9223372036854775807e19": 1<<63 - 1} {
		f("policy "+text, a, approvedJSON(`"policy_id":1`, `"policy_id":`+text), action(func(a *events.Action) { a.PolicyID = want }))
	}
}

func TestVoidAndForeignEventsHaveNoPayload(t *testing.T) {
	d := events.NewDecoder()
	for _, kind := range []events.Type{events.TypeVoid, events.TypeForeign} {
		e := events.Event{Action: sampleAction()}
		if err := decode(d, kind, "\xff not JSON", &e); err != nil || e.Action != nil || e.Type != kind {
			t.Errorf("%v: %+v, %v", kind, e, err)
		}
	}
}

func TestErrorsHoldNoContent(t *testing.T) {
	const secret = "alice@example.org"
	for _, value := range []string{
		preference(`"f"`, `"`+secret+strings.Repeat("x", 300)+`"`), preference("pin", secret), preference(`"op"`, `"`+secret+`"`),
		preference("1.5", `"`+secret+`"`), preference(`"2026-11-03T10:00:00Z"`, `"`+secret+`"`), preference("}", secret),
		preference("}", `,"`+secret+`":`+secret),
	} {
		var e events.Event
		err := decode(events.NewDecoder(), events.TypePreferenceChanged, value, &e)
		if err == nil || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestDecodeReusesItsPayloads(t *testing.T) {
	d := events.NewDecoder()
	var first, second events.Event
	if err := decode(d, events.TypeActionApproved, approvedJSON(`"mail"`, `"features":["x","y"],"round":3,"mail"`), &first); err != nil {
		t.Fatal(err)
	}
	if err := decode(d, events.TypeActionApproved, approvedJSON("", ""), &second); err != nil {
		t.Fatal(err)
	}
	if first.Action != second.Action {
		t.Error("the second event has a payload of its own")
	}
	if second.Action.Round != 0 || second.Action.HasFeatures || len(second.Action.Features) != 1 {
		t.Errorf("the payload contains values of the previous event: %+v", second.Action)
	}
}

func TestDecodeHardlyAllocates(t *testing.T) {
	record, err := events.Encode(approved())
	if err != nil {
		t.Fatal(err)
	}
	allocs := math.Inf(1)
	for range 5 { // a decoder draws where it remembers texts: in one of a hundred, two of the event share a place
		d := events.NewDecoder()
		var e events.Event
		allocs = min(allocs, testing.AllocsPerRun(100, func() {
			head, err := d.Head(record.Headers)
			if err == nil {
				err = d.Decode(&head, record.Value, &e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}))
	}
	if allocs > 2 { // ce_id and the mail's id
		t.Errorf("%v allocations for an event", allocs)
	}
}

func TestAHugeIntegerIsRefusedWithoutItsDigits(t *testing.T) {
	d := events.NewDecoder()
	value := approvedJSON(`"policy_id":1`, `"policy_id":1e2000000`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var e events.Event
	err := decode(d, events.TypeActionApproved, value, &e)
	runtime.ReadMemStats(&after)
	refusal(t, err, events.ReasonSchema, "policy_id")
	if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 100_000 {
		t.Errorf("%d bytes for a number", bytes)
	}
}

func TestInterningIsBounded(t *testing.T) {
	d := events.NewDecoder()
	var e events.Event
	for i := range 50_000 {
		user := fmt.Sprintf("user-%d-%s", i, strings.Repeat("x", i%190))
		if err := decode(d, events.TypePreferenceChanged, preference(`"u"`, `"`+user+`"`), &e); err != nil {
			t.Fatal(err)
		}
		if e.Preference.UserID != user {
			t.Fatalf("%s became %s", user, e.Preference.UserID)
		}
	}
	if texts, bytes := d.Interned(); texts < 1000 || texts > 10_000 || bytes > 10_000*events.MaxFeature {
		t.Errorf("%d texts of %d bytes", texts, bytes)
	}
}
