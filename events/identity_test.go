package events_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

func approved() *events.Event {
	return &events.Event{
		Envelope: events.Envelope{ID: "a-1", Source: "/test", Type: events.TypeActionApproved},
		Action:   decided(0, sampleAction().Features),
	}
}

func TestEffectIDOfADecision(t *testing.T) {
	want := events.EffectID(approved())
	f := func(name string, same bool, change func(*events.Event)) {
		t.Helper()
		e := approved()
		if change(e); (events.EffectID(e) == want) != same {
			t.Errorf("%s: same effect is %v, want %v", name, !same, same)
		}
	}
	f("another ce_id", true, func(e *events.Event) { e.ID = "a-2" })
	f("another time", true, func(e *events.Event) { e.Action.DecidedAt = e.Action.DecidedAt.Add(time.Second) })
	f("another source", false, func(e *events.Event) { e.Source = "/other" })
	f("another round", false, func(e *events.Event) { e.Action.Round = 1 })
	f("another action", false, func(e *events.Event) { e.Action.ActionID[15]++ })
	f("another kind", false, func(e *events.Event) { e.Type = events.TypeActionRejected })
}

func TestEffectIDOfOtherEventsIsTheirID(t *testing.T) {
	for _, e := range samples() {
		if e.Type >= events.TypeActionProposed && e.Type <= events.TypeActionReverted {
			continue
		}
		if got := events.EffectID(e); got != events.DeriveUUID(e.Source, e.ID) {
			t.Errorf("%v: %v", e.Type, got)
		}
	}
	voidOfDecision := &events.Event{Envelope: events.Envelope{ID: "1", Source: "/test", Type: 200}}
	if got := events.EffectID(voidOfDecision); got != events.DeriveUUID("/test", "1") {
		t.Errorf("undefined type: %v", got)
	}
}

func TestContentHashIgnoresHowContentIsWritten(t *testing.T) {
	const one = `{"action_id":"019ab3f2-5c00-7000-8000-000000000001","user_id":"u","policy_id":1,"action":"a","confidence":0.5,
		"proposed_at":"2026-11-03T09:00:00Z","decided_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T10:00:01Z",
		"mail":{"id":"m","category":"promo"}}`
	const other = `{"mail":{"category":"\u0070romo","x":1,"id":"m","list_id":null},"round":0,"explored":false,"policy_id":1.0,
		"action_id":"019AB3F2-5C00-7000-8000-000000000001","user_id":"u","action":"a","confidence":5e-1,"feature_rule":1,
		"proposed_at":"2026-11-03T10:00:00.000+01:00","decided_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T11:00:00Z",
		"features":["category:promo"],"extra":{"a":[1,2]}}`
	hash := func(value string) uint64 {
		t.Helper()
		var e events.Event
		head := events.Head{Envelope: events.Envelope{ID: "1", Source: "/test", Type: events.TypeActionApproved}}
		if err := events.NewDecoder().Decode(&head, []byte(value), &e); err != nil {
			t.Fatal(err)
		}
		return events.ContentHash(&e)
	}
	if hash(one) != hash(other) {
		t.Error("equal content has two hashes")
	}
}

func TestContentHashOfNegativeZeroIsThatOfZero(t *testing.T) {
	e := events.Event{Envelope: events.Envelope{Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: "u", Op: events.PreferencePin, Feature: "f"}}
	zero := events.ContentHash(&e)
	e.Preference.Weight = math.Copysign(0, -1)
	if events.ContentHash(&e) != zero {
		t.Error("it differs")
	}
}

func TestContentHashSeesEveryField(t *testing.T) {
	e := approved()
	seen := map[uint64]string{events.ContentHash(e): "as it is"}
	f := func(name string, change func(*events.Event)) {
		t.Helper()
		e := approved()
		change(e)
		hash := events.ContentHash(e)
		if before, ok := seen[hash]; ok {
			t.Errorf("%s has the hash of %s", name, before)
		}
		seen[hash] = name
	}
	f("type", func(e *events.Event) { e.Type = events.TypeActionRejected })
	f("user", func(e *events.Event) { e.Action.UserID = "u-8" })
	f("policy", func(e *events.Event) { e.Action.PolicyID++ })
	f("confidence", func(e *events.Event) { e.Action.Confidence += 1e-9 })
	f("explored", func(e *events.Event) { e.Action.Explored = true })
	f("decided_at", func(e *events.Event) { e.Action.DecidedAt = e.Action.DecidedAt.Add(1) })
	f("decision", func(e *events.Event) { e.Type, e.Action.Decision = events.TypeActionReverted, events.DecisionApproved })
	f("other decision", func(e *events.Event) { e.Type, e.Action.Decision = events.TypeActionReverted, events.DecisionRejected })
	f("features", func(e *events.Event) { e.Action.Features = e.Action.Features[1:] })
	f("feature_rule", func(e *events.Event) { e.Action.FeatureRule++ })
	f("mail", func(e *events.Event) { e.Action.Mail.ID = "m" })
	again := approved()
	again.ID, again.Time, again.Action.RecordedAt = "other", time.Time{}, again.Action.RecordedAt.Add(time.Hour)
	if events.ContentHash(again) != events.ContentHash(e) {
		t.Error("ce_id, ce_time or recorded_at is in the hash")
	}
}

func TestKeysTopicsAndUsers(t *testing.T) {
	type row struct{ Key, User, Topic string }
	want := map[events.Type]row{
		events.TypeActionProposed:     {"u-7", "u-7", events.TopicActions},
		events.TypeActionApproved:     {"u-7", "u-7", events.TopicActions},
		events.TypeActionRejected:     {"u-7", "u-7", events.TopicActions},
		events.TypeActionReverted:     {"u-7", "u-7", events.TopicActions},
		events.TypeActionPerformed:    {"u-7", "u-7", events.TopicActions},
		events.TypePreferenceChanged:  {"u-7", "u-7", events.TopicActions},
		events.TypeMailReceived:       {"u-7", "u-7", events.TopicMail},
		events.TypeMailChanged:        {"u-7", "u-7", events.TopicMail},
		events.TypeApplicationChanged: {"greenhouse/4711", "", events.TopicApplications},
		events.TypeApplicationRemoved: {"greenhouse/4711", "", events.TopicApplications},
		events.TypeUserErased:         {"u-7", "u-7", events.TopicActions},
		events.TypeVoid:               {},
	}
	got := make(map[events.Type]row)
	for _, e := range samples() {
		got[e.Type] = row{e.Key(), e.UserID(), e.Topic()}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
