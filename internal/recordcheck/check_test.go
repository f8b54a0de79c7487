package recordcheck

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

// check returns the reports on a text.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, text string, options Options) []*Report {
	t.Helper()
	var reports []*Report
	err := Check(context.Background(), "file", strings.NewReader(text), options, func(r *Report) error {
		reports = append(reports, r)
		return nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return reports
}

// inShort returns "reason field detail" of every fault and "warning" of every warning of one record.
func inShort(r *Report) []string {
	list := []string{}
	for _, f := range r.Faults {
		list = append(list, f.Reason+" "+f.Field+" "+f.Detail)
	}
	for range r.Warnings {
		list = append(list, "warning")
	}
	return list
}

const (
	erasure = `{"user_id":"u-7","recorded_at":"2026-11-03T10:00:00Z"}`
	names   = `"ce_specversion","1.0","ce_id","1","ce_source","/t","ce_type","applylens.user.erased.v1"`
)

func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

func TestFormsOfRecords(t *testing.T) {
	f := func(name, text string, want ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			reports := check(t, text, Options{Partitions: 6})
			if len(reports) != 1 {
				t.Fatalf("%d records in %s", len(reports), text)
			}
			if diff := cmp.Diff(append([]string{}, want...), inShort(reports[0])); diff != "" {
				t.Error(diff)
			}
		})
	}
	payload := quoted(erasure)
	right := fmt.Sprint(events.Partition([]byte("u-7"), 6))
	wrong := fmt.Sprint((events.Partition([]byte("u-7"), 6) + 1) % 6)
	f("structured", `{"specversion":"1.0","id":"1","source":"/t","type":"applylens.user.erased.v1","topic":7,"headers":"x","data":`+erasure+`}`)
	f("kcat", `{"topic":"x.applylens.mail","partition":`+right+`,"offset":1,"headers":[`+names+`],"key":"u-7","payload":`+payload+`}`)
	f("pairs, and the value as JSON", `{"headers":[["ce_specversion","1.0"],["ce_id","1"],["ce_source","/t"],["ce_type","applylens.user.erased.v1"]],"key":"u-7","value":`+erasure+`}`)
	f("objects", `{"headers":[{"key":"ce_specversion","value":"1.0"},{"key":"ce_id","value":"1"},{"key":"ce_source","value":"/t"},{"key":"ce_type","value":"applylens.user.erased.v1"}],"key":"u-7","value":`+payload+`}`)
	f("a dead letter", `{"headers":{"ce_specversion":"1.0","ce_id":"1","ce_source":"/t","ce_type":"applylens.user.erased.v1"},"key":"u-7","value":"`+
		base64.StdEncoding.EncodeToString([]byte(erasure))+`","value_is_base64":true}`)
	f("a structured record", `{"headers":["content-type","application/cloudevents+json"],"key":"u-8","payload":`+
		quoted(`{"specversion":"1.0","id":"1","source":"/t","type":"applylens.user.erased.v1","data":`+erasure+`}`)+`}`,
		"key key is not the user_id of the value")
	f("topic, key and partition", `{"topic":"applylens.applications","partition":`+wrong+`,"headers":[`+names+`],"key":"u-7","payload":`+payload+`}`,
		"topic topic is not that of applylens.user.erased.v1", "key partition is "+wrong+", but murmur2 of the key is partition "+right+" of 6")
	f("no key", `{"headers":[`+names+`],"payload":`+payload+`}`, "key key is not the user_id of the value")
	f("no payload", `{"headers":[`+names+`],"key":"u-7","payload":null}`, "malformed  no JSON value at byte 0")
	f("no headers", `{"topic":"applylens.mail","key":"u-7","payload":`+payload+`}`, "envelope ce_specversion is missing", "envelope ce_id is missing",
		"envelope ce_source is missing", "envelope ce_type is missing")
	f("the key of a value without user", `{"headers":[`+names+`],"key":"u-7","payload":"{}"}`, "schema user_id is missing", "schema recorded_at is missing")
	f("bytes that are not UTF-8", `{"headers":[`+names+`],"key":"u-7","payload":"{\"user_id\":\"u-7`+"\xff"+`\",\"recorded_at\":\"2026-11-03T10:00:00Z\"}"}`,
		"malformed user_id invalid UTF-8 before at byte 17")
	f("headers that are none", `{"headers":["ce_id"],"key":"u","payload":"{}"}`, "malformed  is not a record: "+errHeaders.Error())
	f("a header that is no text", `{"headers":["ce_id",1],"key":"u","payload":"{}"}`, "malformed  is not a record: "+errHeaders.Error())
	f("a key that is no text", `{"headers":[],"key":5,"payload":"{}"}`, "malformed  is not a record: the key is not a text")
	f("a partition that is no number", `{"headers":[],"partition":"x","payload":"{}"}`,
		"malformed  is not a record: json: cannot unmarshal string into Go struct field members.partition of type int")
	f("another type", `{"headers":["ce_specversion","1.0","ce_id","1","ce_source","/t","ce_type","com.example.x"],"payload":"?"}`, "warning")
	f("our source", `{"specversion":"1.0","id":"1","source":"/applylens/x","type":"applylens.user.erased.v1","data":`+erasure+`}`, "warning")
	f("our relay", `{"headers":[`+names+`,"applylens_relay_id","019ab3f2-5c00-7000-8000-00000000000a","applylens_relay_seq","1"],"key":"u-7","payload":`+payload+`}`, "warning")
	f("a payload alone", erasure, "envelope ce_specversion is missing", "envelope ce_id is missing", "envelope ce_source is missing", "envelope ce_type is missing")
	f("a text", `"x"`, "schema  is not an object")
	f("a list", `[`+erasure+`]`, "schema  is not an object")
	f("nonsense", "{\"a\":\n\n b}", "malformed  is not JSON: line 3, column 2: invalid character 'b' looking for beginning of value")
	f("half", `{"a":`, "malformed  is not JSON: line 1, column 6: it ends in the middle")
}

func TestPayloadsAlone(t *testing.T) {
	reports := check(t, erasure+"\n{\"user_id\":\"\"}\n", Options{Type: events.TypeUserErased})
	got := [][]string{inShort(reports[0]), inShort(reports[1])}
	if diff := cmp.Diff([][]string{{}, {"schema recorded_at is missing", "schema user_id is empty"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMarksAndEncodings(t *testing.T) {
	if reports := check(t, "\uFEFF"+erasure, Options{Type: events.TypeUserErased}); len(reports) != 1 || !reports[0].Valid {
		t.Errorf("a byte order mark: %+v", reports)
	}
	for _, mark := range []string{"\xff\xfe{\x00", "\xfe\xff\x00{"} {
		err := Check(t.Context(), "file", strings.NewReader(mark), Options{}, func(*Report) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("%q: %v", mark, err)
		}
	}
}

func TestReportsHavePlaces(t *testing.T) {
	reports := check(t, "\n"+erasure+" "+erasure+"\nx\n\n"+erasure, Options{Type: events.TypeUserErased})
	var got []string
	for _, r := range reports {
		got = append(got, fmt.Sprintf("%s %d %d %t", r.File, r.Record, r.Line, r.Valid))
	}
	if diff := cmp.Diff([]string{"file 1 2 true", "file 2 2 true", "file 3 3 false", "file 4 5 true"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReportingEndsWithItsError(t *testing.T) {
	full := errors.New("disk full")
	err := Check(t.Context(), "file", strings.NewReader("{}\n{}\n"), Options{}, func(r *Report) error {
		if r.Record > 1 {
			t.Error("it goes on")
		}
		return full
	})
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

// fragments are what a random change of a file inserts.
var fragments = []string{"", "\n", ",", "{", "}", `"`, `\`, "null", "7", `"x"`, `\\u0000`, "\xff", `\\ud800`, "[]", `"user_id":1,`, "applylens."}

// A file of records is judged as the consumers' decoder judges each of them: here in the form of kcat, with spoilt payloads, headers and keys.
func TestVerdictsAreTheDecoders(t *testing.T) {
	d := events.NewDecoder()
	valid, invalid := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom(events.Types()).Draw(r, "type")
		sample, _ := events.Sample(kind)
		for range rapid.IntRange(0, 2).Draw(r, "changes") {
			target := &sample.Value
			if at := rapid.IntRange(-3, len(sample.Headers)-1).Draw(r, "header"); at >= 0 {
				target = &sample.Headers[at].Value
			}
			from := rapid.IntRange(0, len(*target)).Draw(r, "from")
			until := min(len(*target), from+rapid.IntRange(0, 3).Draw(r, "length"))
			*target = slices.Replace(slices.Clone(*target), from, until, []byte(rapid.SampledFrom(fragments).Draw(r, "fragment"))...)
		}
		var e events.Event
		head, data, err := d.Open(sample.Headers, sample.Value)
		if err == nil {
			err = d.Decode(&head, data, &e)
		}
		accepted := err == nil && (e.Type == events.TypeForeign || e.Type == events.TypeVoid || e.Key() == string(sample.Key))
		reports := check(r, kcatLine(&sample), Options{})
		if len(reports) != 1 || reports[0].Valid != accepted || reports[0].Valid != (len(reports[0].Faults) == 0) {
			r.Fatalf("%q: the decoder says %v, key %q: %+v", kcatLine(&sample), err, e.Key(), reports)
		}
		for _, fault := range reports[0].Faults {
			if fault.Reason == "" || fault.Detail == "" || !strings.HasSuffix(fault.Advice, ".") {
				r.Fatalf("%+v", fault)
			}
		}
		if accepted {
			valid++
		} else {
			invalid++
		}
	})
	if valid == 0 || invalid == 0 {
		t.Errorf("%d valid and %d invalid", valid, invalid)
	}
}

// kcatLine prints a record as kcat does: bytes that are not UTF-8 as they are.
func kcatLine(r *events.Record) string {
	text := func(b []byte) string {
		var line strings.Builder
		line.WriteByte('"')
		for _, c := range b {
			switch {
			case c == '"' || c == '\\':
				line.WriteString(`\` + string(rune(c)))
			case c < ' ':
				fmt.Fprintf(&line, `\u%04x`, c)
			default:
				line.WriteByte(c)
			}
		}
		line.WriteByte('"')
		return line.String()
	}
	var headers []string
	for _, h := range r.Headers {
		headers = append(headers, quoted(h.Key), text(h.Value))
	}
	return `{"headers":[` + strings.Join(headers, ",") + `],"key":` + text(r.Key) + `,"payload":` + text(r.Value) + "}\n"
}

func TestGoldenSamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../events/testdata/*.json")
	if err != nil || len(files) < len(events.Types()) {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range check(t, string(text), Options{}) {
			if !r.Valid {
				t.Errorf("%s: %v", file, inShort(r))
			}
		}
	}
}

// FuzzCheck checks that no text makes it fail, and that what is valid in structured mode is what the decoder accepts.
func FuzzCheck(f *testing.F) {
	for _, kind := range events.Types() {
		sample, _ := events.Sample(kind)
		f.Add([]byte(kcatLine(&sample)))
		f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/t","type":"` + kind.String() + `","data":` + string(sample.Value) + "}\n"))
	}
	f.Add([]byte("{\"headers\":[[1,2],{\"key\":null}],\"payload\":{}}\n{\n"))
	d := events.NewDecoder()
	f.Fuzz(func(t *testing.T, text []byte) {
		reports := check(t, string(text), Options{Partitions: 3})
		if len(reports) != 1 || bytes.Contains(text, []byte("payload")) || bytes.Contains(text, []byte("eaders")) || bytes.Contains(bytes.ToLower(text), []byte("value")) ||
			bytes.Contains(text, []byte(`\u`)) || bytes.HasPrefix(text, []byte("\uFEFF")) {
			return
		}
		var e events.Event
		head, data, err := d.Open(structuredHeaders, text)
		if err == nil {
			err = d.Decode(&head, data, &e)
		}
		if reports[0].Valid != (err == nil) {
			t.Errorf("%q: %v, but %+v", text, err, reports[0])
		}
	})
}
