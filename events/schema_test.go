package events_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/schema"
)

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// agree fails the test if only one of decoder and schemas accepts the value. It returns whether both accept. A value that
// the oracle cannot judge counts as refused.
func agree(t failer, o *oracle, d *events.Decoder, kind events.Type, value []byte) bool {
	t.Helper()
	refused := o.judge(kind, value)
	if refused == errHugeNumber {
		return false
	}
	var e events.Event
	head := events.Head{Envelope: events.Envelope{ID: "1", Source: "/test", Type: kind}}
	err := d.Decode(&head, value, &e)
	if (err == nil) != (refused == nil) {
		t.Fatalf("%v %.2000q:\ndecoder: %v\nschema: %v", kind, value, err, refused)
	}
	return err == nil
}

func TestSchemasAcceptTheGoldenSamples(t *testing.T) {
	o := newOracle(t)
	for _, kind := range events.Types() {
		if err := o.judge(kind, readGolden(t, goldenFile(kind)).Value); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

func TestSchemasAreNamedForTheirTypes(t *testing.T) {
	var want, got []string
	for _, kind := range events.Types() {
		want = append(want, kind.String()+".json")
	}
	entries, err := fs.ReadDir(schema.Events, "events")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for kind, doc := range newOracle(t).texts {
		if doc["title"] != kind.String() || doc["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%v has title %v and $schema %v", kind, doc["title"], doc["$schema"])
		}
	}
}

// members collects the members of an object's schema by their paths, and whether they are required.
func members(doc map[string]any, prefix string, paths map[string]bool) {
	required, _ := doc["required"].([]any)
	properties, _ := doc["properties"].(map[string]any)
	for name, v := range properties {
		member := v.(map[string]any)
		paths[prefix+name] = slices.Contains(required, any(name))
		members(member, prefix+name+".", paths)
		if items, ok := member["items"].(map[string]any); ok {
			members(items, prefix+name+".", paths)
		}
	}
}

func TestSchemasAndCodeKnowTheSameFields(t *testing.T) {
	for kind, doc := range newOracle(t).texts {
		paths := make(map[string]bool)
		members(doc, "", paths)
		if diff := cmp.Diff(events.Fields(kind), paths); diff != "" {
			t.Errorf("%v (-code +schema):\n%s", kind, diff)
		}
	}
}

// variants returns values at and beyond the limits of a schema, and values of every wrong type.
func variants(doc map[string]any) []any {
	list := []any{nil, "", "x", "a/b", "x\x00", 0, 1, -1, 1.5, true, false, []any{}, []any{"x", "x"}, []any{1, 1},
		[]any{nil}, map[string]any{}, json.RawMessage("1e2"), json.RawMessage("1.0"), json.RawMessage("10e-1"),
		json.RawMessage("9223372036854775808"), json.RawMessage("9223372036854775807"), json.RawMessage("1e999")}
	if most, ok := doc["x-maxBytes"].(json.Number); ok {
		n, _ := most.Int64()
		list = append(list, strings.Repeat("x", int(n)), strings.Repeat("x", int(n)+1),
			strings.Repeat("é", int(n)/2), strings.Repeat("é", int(n)/2+1))
	}
	for _, keyword := range []string{"minimum", "maximum"} {
		if limit, ok := doc[keyword].(json.Number); ok {
			f, _ := limit.Float64()
			list = append(list, limit, f-1, f+1, f-0.01, f+0.01)
		}
	}
	if most, ok := doc["maxItems"].(json.Number); ok {
		n, _ := most.Int64()
		list = append(list, distinct(doc, int(n)), distinct(doc, int(n)+1))
	}
	if items, ok := doc["items"].(map[string]any); ok {
		for _, v := range variants(items) {
			list = append(list, []any{v})
		}
	}
	if doc["format"] == "date-time" {
		for _, text := range timesToTry {
			list = append(list, text)
		}
	}
	if doc["format"] == "uuid" {
		list = append(list, "00000000-0000-0000-0000-000000000000", "019AB3F2-5C00-7000-8000-000000000001",
			"019ab3f2-5c00-7000-8000-00000000000g", "019ab3f25c0070008000000000000001")
	}
	return list
}

// distinct returns n different elements of the right type.
func distinct(doc map[string]any, n int) []any {
	list := make([]any, n)
	for i := range list {
		switch items := doc["items"].(map[string]any); items["type"] {
		case "integer":
			list[i] = i + 1
		case "object":
			list[i] = map[string]any{"address": "x"}
		default:
			list[i] = "x" + strings.Repeat("y", i)
		}
	}
	return list
}

var timesToTry = []string{
	"2026-11-03T08:30:00Z", "2026-11-03T08:30:00.123456789Z", "2026-11-03T08:30:00.1234567891Z", "2026-11-03T08:30:00.Z",
	"2026-11-03T08:30:00,5Z", "2026-11-03t08:30:00z", "2026-11-03 08:30:00Z", "2026-11-03T08:30:00", "2026-11-03T08:30Z",
	"2026-11-03T08:30:00+01:00", "2026-11-03T08:30:00-00:00", "2026-11-03T08:30:00+24:00", "2026-11-03T08:30:00+23:59",
	"2026-11-03T08:30:00+01:60", "2026-11-03T08:30:00+0100", "2026-11-03T24:00:00Z", "2026-11-03T23:60:00Z",
	"2016-12-31T23:59:60Z", "2024-02-29T00:00:00Z", "2026-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
	"2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "0999-12-31T23:59:59Z",
	"1000-01-01T00:00:00Z", "1000-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-00:01",
	"0999-12-31T23:59:59-01:00", "1999-12-31T23:59:59Z", "2000-01-01T00:00:00Z", "2000-01-01T00:00:00+00:01",
	"2026-11-03T10:04:59Z", "2026-11-03T10:05:00Z", "2026-11-03T10:05:00.000125Z", "2026-11-03T10:05:00.000126Z",
}

// mutants calls f with the sample after each change of one of its members: removed, null, and each variant.
func mutants(sample map[string]any, doc map[string]any, f func(path string)) {
	properties, _ := doc["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		member := properties[name].(map[string]any)
		was, had := sample[name]
		for _, v := range variants(member) {
			sample[name] = v
			f(name)
		}
		delete(sample, name)
		f(name)
		if !had {
			continue
		}
		sample[name] = was
		if inner, ok := was.(map[string]any); ok {
			mutants(inner, member, f)
		}
		if list, ok := was.([]any); ok && len(list) > 0 {
			if inner, ok := list[0].(map[string]any); ok {
				mutants(inner, member["items"].(map[string]any), f)
			}
		}
	}
}

// document reads an object and keeps its numbers as text.
func document(t *testing.T, value []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDecoderAndSchemasAgreeAtEveryLimit(t *testing.T) {
	o, d := newOracle(t), events.NewDecoder()
	for _, kind := range events.Types() {
		t.Run(kind.String(), func(t *testing.T) {
			accepted, refused := 0, 0
			sample := document(t, readGolden(t, goldenFile(kind)).Value)
			mutants(sample, o.texts[kind], func(string) {
				value, err := json.Marshal(sample)
				if err != nil {
					t.Fatal(err)
				}
				if agree(t, o, d, kind, value) {
					accepted++
				} else {
					refused++
				}
			})
			t.Logf("%d accepted, %d refused", accepted, refused)
			if accepted < 10 || refused < 10 {
				t.Errorf("%d accepted and %d refused: the mutants are too one-sided", accepted, refused)
			}
		})
	}
}

// fragments are what a random change of a JSON text inserts.
var fragments = []string{"", " ", "\t\r\n", ",", ":", "{", "}", "[", "]", "{}", "[]", `"`, `""`, `"x":`, `"user_id":"u",`, `"id":1,`,
	"null", "true", "false", "nul", "0", "1", "-", "-0", "00", ".", ".0", "1.0", "1e1", "e", "E+2", "e-1", "1e400", "9", "99999999999999999999",
	`\`, `\n`, `\/`, `\x`, `\u0000`, `\u0061`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00`, "\x00", "\x1f", "\x7f", "é", "😀", "\xc3", "\xff", "\uFEFF", "\u2028"}

// spoil replaces a few bytes of a text.
func spoil(r *rapid.T, text []byte) []byte {
	from := rapid.IntRange(0, len(text)).Draw(r, "from")
	until := min(len(text), from+rapid.SampledFrom([]int{0, 0, 1, 2, 5, 20}).Draw(r, "length"))
	return slices.Replace(text, from, until, []byte(rapid.SampledFrom(fragments).Draw(r, "fragment"))...)
}

func TestDecoderAndSchemasAgreeOnSpoiltText(t *testing.T) {
	o, d := newOracle(t), events.NewDecoder()
	samples := make(map[events.Type][]byte)
	for _, kind := range events.Types() {
		samples[kind] = readGolden(t, goldenFile(kind)).Value
	}
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom(events.Types()).Draw(r, "type")
		value := slices.Clone(samples[kind])
		for range rapid.IntRange(1, 3).Draw(r, "changes") {
			value = spoil(r, value)
		}
		agree(r, o, d, kind, value)
	})
}
