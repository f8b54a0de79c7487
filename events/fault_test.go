package events_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

var index = regexp.MustCompile(`\[\d+\]`)

// agreeOnFaults fails the test unless the decoder accepts exactly the values without faults, and its own is among those found.
func agreeOnFaults(t failer, d *events.Decoder, headers []events.Header, value []byte) []*events.Error {
	t.Helper()
	var e events.Event
	head, data, err := d.Open(headers, value)
	if err == nil {
		err = d.Decode(&head, data, &e)
	}
	faults := d.Faults(headers, value, &e)
	if (err == nil) != (len(faults) == 0) {
		t.Fatalf("%.2000q: the decoder says %v, but the faults are %v", value, err, faults)
	}
	own, _ := err.(*events.Error)
	if err != nil && !slices.ContainsFunc(faults, func(fault *events.Error) bool {
		return fault.Reason == own.Reason && fault.Detail == own.Detail && index.ReplaceAllString(fault.Field, "") == own.Field
	}) {
		t.Fatalf("%.2000q: the decoder's %v is not among the faults %v", value, err, faults)
	}
	return faults
}

// texts returns faults as texts.
func texts(faults []*events.Error) []string {
	list := []string{}
	for _, fault := range faults {
		list = append(list, fault.Error())
	}
	return list
}

func TestFaultsAreAllOfThem(t *testing.T) {
	d := events.NewDecoder()
	f := func(name string, kind events.Type, value string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var e events.Event
			got := texts(d.PayloadFaults(kind, []byte(value), &e))
			if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	p, a, m := events.TypePreferenceChanged, events.TypeActionApproved, events.TypeMailReceived
	f("none", p, preference("", ""))
	f("everything missing", p, `{}`, "schema: user_id: is missing", "schema: recorded_at: is missing", "schema: op: is missing")
	f("no object", p, ` ["x"] `, "schema: is not an object")
	f("wrong types, and no more of the same values", a, `{"action_id":1,"user_id":[1,{"x":"}"}],"policy_id":"1","action":null,"confidence":"high",`+
		`"proposed_at":5,"decided_at":{},"recorded_at":true,"mail":"m","features":{},"explored":0}`,
		"schema: action_id: is not a string", "schema: user_id: is not a string", "schema: policy_id: is not a number",
		"schema: action: is not a string", "schema: confidence: is not a number", "schema: proposed_at: is not a string",
		"schema: decided_at: is not a string", "schema: recorded_at: is not a string", "schema: mail: is not an object",
		"schema: features: is not an array", "schema: explored: is not a boolean")
	f("times without what bounds them", a, approvedJSON(`"recorded_at":"2026-11-03T10:00:00Z",`, ""), "schema: recorded_at: is missing")
	f("times beyond what bounds them", a, approvedJSON(`09:00:00Z","decided_at":"2026-11-03`, `10:06:00Z","decided_at":"1999-11-03`),
		"bad_time: proposed_at: is before 2000 or more than 5 minutes after recorded_at",
		"bad_time: decided_at: is before 2000 or more than 5 minutes after recorded_at")
	f("elements", a, approvedJSON(`"mail"`, `"features":["x","",7,"y",8],"mail"`),
		"schema: features[2]: is not a string", "schema: features[4]: is not a string", "schema: features[1]: is empty")
	f("members of elements", m, `{"user_id":"u","content_hash":"x","received_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T10:00:00Z",`+
		`"to":[{"address":"a","x":[1,[2]]},7,{"name":1,"x":[1,2,3],"address":"`+strings.Repeat("x", 321)+`"}],"attachments":[{"name":"n"},{"size":-1}],"labels":[""]}`,
		"schema: to[1]: is not an object", "schema: to[2].name: is not a string", "schema: attachments[0].size: is missing",
		"schema: content_hash: is not 64 lower-case hexadecimal digits", "schema: labels[0]: is empty",
		"schema: attachments[1].size: is not within 0..1099511627776", "schema: to[2].address: is longer than 320 bytes")
	f("too many elements, and behind them", m, `{"user_id":"","message_id":"x","received_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T10:00:00Z",`+
		`"references":[`+strings.Repeat(`"x",`, 102)+`"y"],"subject":1}`,
		"schema: references: has more than 100 elements", "schema: subject: is not a string", "schema: user_id: is empty")
	f("twice", p, preference("}", `,"op":"unpin","user_id":7}`), "schema: op: is present twice", "schema: user_id: is present twice")
	f("bad texts", p, `{"user_id":"a\u0000\"b","op":"\ud800","feature":"\q","recorded_at":"`+"\xff"+`","x\u0000":1,"weight":"x"}`,
		"malformed: user_id: NUL at byte 13", "malformed: op: lone surrogate at byte 36", "malformed: feature: unknown escape at byte 49",
		"malformed: recorded_at: invalid UTF-8 before at byte 70", "malformed: recorded_at: NUL at byte 73", "schema: weight: is not a number")
	f("up to where it is no JSON", p, `{"user_id":7,"op":"unpin","feature":"f","weight":01}`,
		"schema: user_id: is not a string", "malformed: weight: no comma or brace at byte 50")
	f("more than one value", p, preference("pin", "unpin")+" {}", "malformed: more than one value at byte 93", "schema: op: is not pin, forget or reset")
	f("an unknown op uses nothing", p, preference("pin", "unpin"), "schema: op: is not pin, forget or reset")
	f("what reset does not use", p, preference(`"pin","feature":"f","weight":1.5`, `"reset","feature":"f","weight":101`), "schema: weight: is not within -100..100")
	f("a mail id that could not be read", m, `{"user_id":"u","message_id":1,"received_at":"2026-11-03T10:00:00Z","recorded_at":"2026-11-03T10:00:00Z"}`,
		"schema: message_id: is not a string")
	f("unknown type", events.TypeUnknown, "{}", "unknown_type: ce_type: is unknown")
	f("a long value", p, strings.Repeat(" ", events.MaxValue+1), "malformed: value is too long")
}

func TestFaultsOfHeadersAndValue(t *testing.T) {
	d := events.NewDecoder()
	f := func(name string, headers []events.Header, value string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			got := texts(agreeOnFaults(t, d, headers, []byte(value)))
			if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
				t.Error(diff)
			}
		})
	}
	kind := "ce_type:applylens.preference.changed.v1"
	f("both", headersOf("ce_specversion:0.3", "ce_id:", "ce_source:/t\n", kind, "ce_time:now", "ce_id:2", "applylens_redrive_force:maybe"), preference("pin", "unpin"),
		"envelope: ce_id: is present twice", "envelope: ce_specversion: is not 1.0",
		"envelope: ce_source: must be 1 to 500 bytes of UTF-8 without control characters", "envelope: ce_time: is not an RFC 3339 time",
		"envelope: applylens_redrive_force: requires applylens_redrive_group", "schema: op: is not pin, forget or reset")
	f("no type", headersOf("ce_specversion:1.0", "ce_id:1", "ce_source:/t"), "{}", "envelope: ce_type: is missing")
	f("no headers", nil, "{}", "envelope: ce_specversion: is missing", "envelope: ce_id: is missing", "envelope: ce_source: is missing", "envelope: ce_type: is missing")
	f("unknown type", envelope()[:3], "{}", "envelope: ce_type: is missing")
	f("structured", append(slices.Clone(structuredHeaders), headersOf("ce_id:", "ce_id:")...),
		`{"specversion":"1.0","id":7,"source":"","type":"applylens.user.erased.v1","data":{"user_id":""}}`,
		"envelope: ce_id: is not a text", "envelope: ce_source: must be 1 to 500 bytes of UTF-8 without control characters",
		"schema: recorded_at: is missing", "schema: user_id: is empty")
	f("structured, no object", structuredHeaders, `"x"`, "schema: is not an object")
	f("structured, without data", structuredHeaders, `{"specversion":"1.0","id":"1","source":"/t","type":"applylens.user.erased.v1"}`, "malformed: no JSON value at byte 0")
	f("structured, cut off", structuredHeaders, `{"specversion":"1.1","data":{"user_id":`, "malformed: no JSON value at byte 39")
}

func TestFaultsAreBounded(t *testing.T) {
	d := events.NewDecoder()
	var e events.Event
	value := preference("}", `,"x":[`+strings.Repeat(`"\u0000",`, 100_000)+`01]}`)
	if got := len(d.PayloadFaults(events.TypePreferenceChanged, []byte(value), &e)); got != events.MaxFaults {
		t.Errorf("%d faults", got)
	}
	if err := decode(d, events.TypePreferenceChanged, value, &e); err == nil || strings.Contains(err.Error(), "[") {
		t.Errorf("after Faults, Decode says %v", err)
	}
}

// FuzzFaults checks that what has no faults is what the decoder accepts, and that its own is found.
func FuzzFaults(f *testing.F) {
	kinds := append(events.Types(), events.TypeVoid)
	for i, kind := range kinds {
		sample := readGolden(f, goldenFile(kind))
		f.Add(uint8(i), []byte(sample.Value))
		f.Add(uint8(100+i), structured(failing{f}, events.Record{Headers: sample.headers(), Value: sample.Value}, i%2 == 0))
	}
	d := events.NewDecoder()
	f.Fuzz(func(t *testing.T, which uint8, value []byte) {
		headers := structuredHeaders
		if which < 100 {
			headers = readGolden(t, goldenFile(kinds[int(which)%len(kinds)])).headers()
		}
		agreeOnFaults(t, d, headers, value)
	})
}

func TestFaultsAgreeOnSpoiltText(t *testing.T) {
	d := events.NewDecoder()
	var goldens []golden
	for _, kind := range events.Types() {
		goldens = append(goldens, readGolden(t, goldenFile(kind)))
	}
	invalid := 0
	rapid.Check(t, func(r *rapid.T) {
		sample := rapid.SampledFrom(goldens).Draw(r, "sample")
		headers, value := sample.headers(), slices.Clone([]byte(sample.Value))
		if rapid.Bool().Draw(r, "structured") {
			value = structured(r, events.Record{Headers: headers, Value: value}, rapid.Bool().Draw(r, "base64"))
			headers = structuredHeaders
		}
		for range rapid.IntRange(1, 3).Draw(r, "changes") {
			value = spoil(r, value)
		}
		if len(agreeOnFaults(r, d, headers, value)) > 0 {
			invalid++
		}
	})
	if invalid == 0 {
		t.Error("nothing was spoilt")
	}
}

func TestFaultsAgreeAtEveryLimit(t *testing.T) {
	o, d := newOracle(t), events.NewDecoder()
	for _, kind := range events.Types() {
		t.Run(kind.String(), func(t *testing.T) {
			golden := readGolden(t, goldenFile(kind))
			sample := document(t, golden.Value)
			mutants(sample, o.texts[kind], func(string) {
				value, err := json.Marshal(sample)
				if err != nil {
					t.Fatal(err)
				}
				agreeOnFaults(t, d, golden.headers(), value)
			})
		})
	}
}

// related are fields whose rules look at each other's values.
var related = [][2]string{{"recorded_at", "proposed_at"}, {"recorded_at", "decided_at"}, {"message_id", "content_hash"}, {"op", "feature"}, {"op", "weight"}}

// Two values that are spoilt at once have the faults that each has alone: none hides or causes one of the other.
func TestFaultsOfTwoFieldsAddUp(t *testing.T) {
	o, d := newOracle(t), events.NewDecoder()
	for _, kind := range events.Types() {
		properties := o.texts[kind]["properties"].(map[string]any)
		names := slices.Sorted(maps.Keys(properties))
		rapid.Check(t, func(r *rapid.T) {
			sample := document(t, readGolden(t, goldenFile(kind)).Value)
			faultsWith := func(changes map[string]any) []string {
				changed := maps.Clone(sample)
				maps.Copy(changed, changes)
				value, err := json.Marshal(changed)
				if err != nil {
					r.Fatal(err)
				}
				var e events.Event
				list := texts(d.PayloadFaults(kind, value, &e))
				for i := range list {
					list[i], _, _ = strings.Cut(list[i], " at byte ")
				}
				return list
			}
			one, other := rapid.SampledFrom(names).Draw(r, "one"), rapid.SampledFrom(names).Draw(r, "other")
			for _, pair := range related {
				if one == pair[0] && other == pair[1] || one == pair[1] && other == pair[0] {
					return
				}
			}
			variant := func(name string) any {
				return rapid.SampledFrom(variants(properties[name].(map[string]any))).Draw(r, "value")
			}
			a, b := variant(one), variant(other)
			if one == other {
				return
			}
			want := append(faultsWith(map[string]any{one: a}), faultsWith(map[string]any{other: b})...)
			got := faultsWith(map[string]any{one: a, other: b})
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				r.Fatalf("%v %s=%.100s %s=%.100s: %s", kind, one, fmt.Sprint(a), other, fmt.Sprint(b), diff)
			}
		})
	}
}

func TestSamplesAreTheGoldenOnes(t *testing.T) {
	for _, kind := range append(events.Types(), events.TypeVoid) {
		want := readGolden(t, goldenFile(kind))
		got, ok := events.Sample(kind)
		if !ok || string(got.Key) != want.Key || string(got.Value) != string(want.Value) {
			t.Errorf("%v: %s %s", kind, got.Key, got.Value)
		}
		if diff := cmp.Diff(want.headers(), got.Headers); diff != "" {
			t.Errorf("%v: %s", kind, diff)
		}
	}
	for _, kind := range []events.Type{events.TypeUnknown, events.TypeForeign, 200} {
		if _, ok := events.Sample(kind); ok {
			t.Errorf("%v has a sample", kind)
		}
	}
}
