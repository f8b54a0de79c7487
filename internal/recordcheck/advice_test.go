package recordcheck

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/schema"
)

// paths lists the paths of all fields of a schema as Faults names them.
func paths(p *property, prefix string) (list []string) {
	for name, member := range p.Properties {
		list = append(append(list, prefix+name), paths(member, prefix+name+".")...)
		if member.Items != nil {
			list = append(append(list, prefix+name+"[7]"), paths(member.Items, prefix+name+"[7].")...)
		}
	}
	return list
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, kind := range events.Types() {
		text, err := schema.Events.ReadFile("events/" + kind.String() + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var doc property
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		fields := paths(&doc, "")
		if !slices.Contains(fields, "recorded_at") {
			t.Fatalf("%v has fields %v", kind, fields)
		}
		for _, field := range fields {
			if got := describe(kind, field); strings.Contains(got, "see docs") || strings.HasPrefix(got, "(") || strings.HasPrefix(got, " (") {
				t.Errorf("%v %s: %s", kind, field, got)
			}
		}
	}
}

func TestAdvice(t *testing.T) {
	f := func(kind events.Type, reason events.Reason, field, detail, want string) {
		t.Helper()
		got := advice(kind, kind.String(), &events.Error{Reason: reason, Field: field, Detail: detail})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	f(events.TypeActionApproved, events.ReasonSchema, "mail.id", "is missing", "Add it: opaque id of the mail (text of 1 to 200 bytes).")
	f(events.TypeActionApproved, events.ReasonSchema, "action_id", "is not a UUID", "Correct it: UUIDv7 of the proposal (a UUID).")
	f(events.TypeActionApproved, events.ReasonSchema, "features[3]", "is empty", "Correct it: a feature, such as contains:meetup (text of 1 to 300 bytes).")
	f(events.TypeActionApproved, events.ReasonSchema, "nothing", "is empty", "Correct it: see docs/emit.md.")
	f(events.TypeActionApproved, events.ReasonBadTime, "decided_at", "is before 2000", "Correct it: when the owner decided. Between the year 2000 and 5 minutes "+
		"after recorded_at (a time such as 2026-03-01T12:00:00Z). Set recorded_at to the time of your database's clock when you stored the fact.")
	f(events.TypeForeign, events.ReasonEnvelope, "applylens_relay_seq", "is", "Leave it out: it is reserved for ApplyLens.")
	f(events.TypeUserErased, events.ReasonMalformed, "", "NUL at byte 5", "Leave the character U+0000 out of texts.")
	f(events.TypeUserErased, events.ReasonMalformed, "", "more than one value at byte 5", "Send one JSON object, written with a JSON library.")
}

func TestNearest(t *testing.T) {
	f := func(name string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, Nearest(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	f("applylens.action.aproved.v1", "applylens.action.approved.v1", "applylens.action.proposed.v1", "applylens.action.performed.v1")
	f("user.erased", "applylens.user.erased.v1")
	f("applylens.mail.received", "applylens.mail.received.v1")
	f("applylens.mail.received.v2", "applylens.mail.received.v1")
	f("com.example.order.placed")
	f("")
	f(strings.Repeat("x", 100_000))
}
