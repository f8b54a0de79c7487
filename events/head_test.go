package events_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

const relayID = "019ab3f2-5c00-7000-8000-00000000000a"

// headersOf returns headers from "name:value" texts.
func headersOf(lines ...string) []events.Header {
	headers := make([]events.Header, 0, len(lines))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		headers = append(headers, events.Header{Key: name, Value: []byte(value)})
	}
	return headers
}

// envelope returns headers that Head accepts, and more.
func envelope(more ...string) []events.Header {
	return headersOf(append([]string{"ce_specversion:1.0", "ce_id:1", "ce_source:/test",
		"ce_type:applylens.action.approved.v1"}, more...)...)
}

func TestHead(t *testing.T) {
	got, err := events.NewDecoder().Head(envelope("ce_time:2026-11-03T10:00:00+01:00", "ce_subject:s", "traceparent:00-1",
		"applylens_relay_id:"+relayID, "applylens_relay_seq:9223372036854775807", "applylens_redrive_group:weights",
		"applylens_redriven_from:applylens.actions/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/0/5", "applylens_redrive_force:true", "other:\xff", "other:twice"))
	if err != nil {
		t.Fatal(err)
	}
	want := events.Head{
		Envelope: events.Envelope{ID: "1", Source: "/test", Type: events.TypeActionApproved, Subject: "s",
			Time: at("2026-11-03T09:00:00Z")},
		Stamp:        events.Stamp{Relay: id(relayID), Seq: 1<<63 - 1},
		RedriveGroup: "weights",
		RedrivenFrom: "applylens.actions/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/0/5",
		RedriveForce: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHeadTellsTypesApart(t *testing.T) {
	for name, want := range map[string]events.Type{
		"applylens.action.approved.v1":  events.TypeActionApproved,
		"applylens.void.v1":             events.TypeVoid,
		"applylens.action.approved.v2":  events.TypeUnknown,
		"applylens.action.approved":     events.TypeUnknown,
		"applylens.Action.approved.v1":  events.TypeUnknown,
		"applylens.":                    events.TypeUnknown,
		"applylens":                     events.TypeForeign,
		"com.example.thing.v1":          events.TypeForeign,
		"xapplylens.action.approved.v1": events.TypeForeign,
	} {
		head, err := events.NewDecoder().Head(headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/test", "ce_type:"+name))
		if err != nil || head.Type != want {
			t.Errorf("%s: %v, %v, want %v", name, head.Type, err, want)
		}
	}
}

func TestTypesNameThemselves(t *testing.T) {
	for kind, want := range map[events.Type]string{events.TypeUnknown: "unknown", events.TypeForeign: "foreign", 200: "unknown",
		events.TypeMailReceived: "applylens.mail.received.v1"} {
		if kind.String() != want {
			t.Errorf("%v, want %s", kind, want)
		}
	}
}

func TestHeadRefuses(t *testing.T) {
	f := func(name, field string, headers []events.Header) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			head, err := events.NewDecoder().Head(headers)
			refusal(t, err, events.ReasonEnvelope, field)
			if head != (events.Head{}) {
				t.Errorf("Head returns %+v with the error", head)
			}
		})
	}
	f("no headers", "ce_specversion", nil)
	f("no CloudEvents headers", "ce_specversion", headersOf("content-type:application/json"))
	f("names in upper case", "ce_specversion", headersOf("CE_SpecVersion:1.0", "CE_ID:1", "CE_Source:/t", "CE_Type:x"))
	f("another version", "ce_specversion", headersOf("ce_specversion:0.3", "ce_id:1", "ce_source:/t", "ce_type:x"))
	f("no id", "ce_id", headersOf("ce_specversion:1.0", "ce_source:/t", "ce_type:x"))
	f("empty id", "ce_id", headersOf("ce_specversion:1.0", "ce_id:", "ce_source:/t", "ce_type:x"))
	f("long id", "ce_id", headersOf("ce_specversion:1.0", "ce_id:"+strings.Repeat("x", 201), "ce_source:/t", "ce_type:x"))
	f("no source", "ce_source", headersOf("ce_specversion:1.0", "ce_id:1", "ce_type:x"))
	f("long source", "ce_source", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:"+strings.Repeat("x", 501), "ce_type:x"))
	f("source with a line feed", "ce_source", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/t\n", "ce_type:x"))
	f("source with a C1 control", "ce_source", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/t\u0085", "ce_type:x"))
	f("source that is not UTF-8", "ce_source", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/t\xff", "ce_type:x"))
	f("no type", "ce_type", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/t"))
	f("id twice", "ce_id", envelope("ce_id:1"))
	f("bad time", "ce_time", envelope("ce_time:yesterday"))
	f("empty subject", "ce_subject", envelope("ce_subject:"))
	f("long subject", "ce_subject", envelope("ce_subject:"+strings.Repeat("x", 501)))
	f("relay id without sequence", "applylens_relay_seq", envelope("applylens_relay_id:"+relayID))
	f("relay sequence without id", "applylens_relay_id", envelope("applylens_relay_seq:1"))
	f("relay id that is not a UUID", "applylens_relay_id", envelope("applylens_relay_id:x", "applylens_relay_seq:1"))
	f("relay id that is the nil UUID", "applylens_relay_id",
		envelope("applylens_relay_id:00000000-0000-0000-0000-000000000000", "applylens_relay_seq:1"))
	for _, seq := range []string{"", "0", "01", "-1", "+1", "1.0", "x", " 1", "9223372036854775808", "99999999999999999999"} {
		f("relay sequence "+seq, "applylens_relay_seq", envelope("applylens_relay_id:"+relayID, "applylens_relay_seq:"+seq))
	}
	f("redriven from without group", "applylens_redriven_from", envelope("applylens_redriven_from:t/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/0/1"))
	f("forced without group", "applylens_redrive_force", envelope("applylens_redrive_force:true"))
	f("redriven without from", "applylens_redriven_from", envelope("applylens_redrive_group:weights"))
	f("invalid force", "applylens_redrive_force", envelope("applylens_redrive_group:weights",
		"applylens_redriven_from:t/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/0/1", "applylens_redrive_force:yes"))
}

func TestStampHeadersAreReadBack(t *testing.T) {
	want := events.Stamp{Relay: id(relayID), Seq: 42}
	head, err := events.NewDecoder().Head(append(envelope(), want.Headers()...))
	if err != nil || head.Stamp != want {
		t.Errorf("%+v, %v", head.Stamp, err)
	}
}
