package events_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/applylens/applylens/events"
)

// FuzzDecode checks that the decoder and the JSON Schemas accept the same values. Accepted values must survive encoding
// and decoding.
func FuzzDecode(f *testing.F) {
	o := newOracle(f)
	for i, kind := range events.Types() {
		f.Add(uint8(i), []byte(readGolden(f, goldenFile(kind)).Value))
	}
	for _, text := range []string{
		`{"user_id":"u","op":"reset","feature":"f","weight":-0.0e5,"recorded_at":"2026-11-03T08:30:00+01:00","x":[{"y":[null]}]}`,
		`{"user_id":"\u0075\ud83d\ude00","op":"pin","feature":"\"\\\/\b\f\n\r\t","weight":100.0,"recorded_at":"2026-11-03T08:30:00Z"}`,
		`{"user_id":"\ud83d","op":"forget","feature":"é","weight":null,"recorded_at":"2026-11-03T08:30:00Z","op":"pin"}`,
	} {
		f.Add(uint8(slices.Index(events.Types(), events.TypePreferenceChanged)), []byte(text))
	}
	d := events.NewDecoder()
	f.Fuzz(func(t *testing.T, which uint8, value []byte) {
		kind := events.Types()[int(which)%len(events.Types())]
		if !agree(t, o, d, kind, value) {
			return
		}
		var e events.Event
		head := events.Head{Envelope: events.Envelope{ID: "1", Source: "/test", Type: kind}}
		if err := d.Decode(&head, value, &e); err != nil {
			t.Fatal(err)
		}
		again := roundTrip(t, events.NewDecoder(), &e)
		if diff := cmp.Diff(&e, again, cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		if events.ContentHash(&e) != events.ContentHash(again) {
			t.Error("another content hash after encoding")
		}
	})
}

// FuzzHead reads headers from lines of "name:value". A refusal must have the reason envelope; an accepted head must
// fulfil the contract of Head.
func FuzzHead(f *testing.F) {
	for _, kind := range events.Types() {
		var lines []string
		for _, header := range readGolden(f, goldenFile(kind)).Headers {
			lines = append(lines, header[0]+":"+header[1])
		}
		f.Add(strings.Join(lines, "\n"))
		f.Add(strings.Join(append(lines, "applylens_relay_id:019ab3f2-5c00-7000-8000-000000000001",
			"applylens_relay_seq:18", "applylens_redrive_group:weights",
			"applylens_redriven_from:applylens.actions/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/3/17", "applylens_redrive_force:true"), "\n"))
	}
	d := events.NewDecoder()
	f.Fuzz(func(t *testing.T, text string) {
		var headers []events.Header
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			headers = append(headers, events.Header{Key: name, Value: []byte(value)})
		}
		head, err := d.Head(headers)
		var refused *events.Error
		switch {
		case err != nil && (!errors.As(err, &refused) || refused.Reason != events.ReasonEnvelope):
			t.Fatalf("refused with %v", err)
		case err != nil && head != events.Head{}:
			t.Fatal("refused with a head")
		case err == nil:
			checkHead(t, &head)
		}
	})
}

func checkHead(t *testing.T, head *events.Head) {
	t.Helper()
	if head.ID == "" || len(head.ID) > events.MaxID || head.Source == "" || len(head.Source) > events.MaxSource {
		t.Errorf("id %q, source %q", head.ID, head.Source)
	}
	if head.Relay.IsZero() != (head.Seq == 0) || head.Seq < 0 {
		t.Errorf("half a stamp: %v %d", head.Relay, head.Seq)
	}
	if head.RedriveGroup == "" && (head.RedriveForce || head.RedrivenFrom != "") {
		t.Error("redriven without a group")
	}
	e := events.Event{Envelope: head.Envelope}
	if err := e.Validate(); err != nil && err.(*events.Error).Reason == events.ReasonEnvelope {
		t.Errorf("Validate refuses what Head accepted: %v", err)
	}
}
