package events_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

var structuredHeaders = headersOf("content-type:application/cloudevents+json; charset=UTF-8")

// attributeNames are the attributes that headers and members have.
var attributeNames = []string{"specversion", "id", "source", "type", "time", "subject"}

// structured writes a record as a CloudEvent in JSON, as encoding/json does.
func structured(t failer, record events.Record, asBase64 bool) []byte {
	event := map[string]any{"data": json.RawMessage(record.Value), "datacontenttype": "application/json", "extension": 7}
	if asBase64 {
		delete(event, "data")
		event["data_base64"] = base64.StdEncoding.EncodeToString(record.Value)
	}
	for _, header := range record.Headers {
		if name, found := strings.CutPrefix(header.Key, "ce_"); found {
			event[name] = string(header.Value)
		}
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return text
}

// An event is the same in both modes.
func TestStructuredModeIsTheSame(t *testing.T) {
	d := events.NewDecoder()
	rapid.Check(t, func(r *rapid.T) {
		e := draw{r}.event()
		record, err := events.Encode(e)
		if err != nil {
			r.Fatalf("%v", err)
		}
		value := structured(r, record, rapid.Bool().Draw(r, "base64"))
		if len(value) > events.MaxValue {
			r.Skip("too long for a record")
		}
		head, data, err := d.Open(structuredHeaders, value)
		if err != nil {
			r.Fatalf("%s: %v", value, err)
		}
		var got events.Event
		if err := d.Decode(&head, data, &got); err != nil {
			r.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(e, &got, cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("%s", diff)
		}
	})
}

func TestOpen(t *testing.T) {
	const good = `"specversion":"1.0","id":"1","source":"/s","type":"applylens.void.v1"`
	d := events.NewDecoder()
	f := func(value string, reason events.Reason, headers ...string) {
		t.Helper()
		_, _, err := d.Open(append(slices.Clone(structuredHeaders), headersOf(headers...)...), []byte(value))
		var refused *events.Error
		if reason == "" && err != nil || reason != "" && (!errors.As(err, &refused) || refused.Reason != reason) {
			t.Errorf("%s: %v, want %q", value, err, reason)
		}
	}
	f(`{`+good+`}`, "")
	f(`{`+good+`,"data":null,"subject":null}`, "")
	f(`{`+good+`,"Id":"2","data":{"id":"3"}}`, "")
	f(`{`+good+`}`, "", "ce_id:other", "ce_id:twice", "applylens_redrive_group:weights", "applylens_redriven_from:a/b/1/2")
	for _, value := range []string{`{` + good + `,"id":"1"}`, `{"specversion":"1.0","id":"1","source":"/s"}`, `{` + good + `,"subject":7}`, `{` + good + `,"time":"yesterday"}`,
		`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, `{` + good + `,"data":1,"data":2}`, `{` + good + `,"data":1,"data_base64":"MQ=="}`,
		`{` + good + `,"data_base64":"*"}`, `{` + good + `,"data_base64":1}`, `{"specversion":"1.0","id":null,"source":"/s","type":"t"}`} {
		f(value, events.ReasonEnvelope)
	}
	f(`{`+good+`}`, events.ReasonEnvelope, "applylens_redrive_force:true", "applylens_redrive_force:true")
	for _, value := range []string{``, `{`, `{` + good + `} x`, `{` + good + `,}`, `{` + good + `,"data":{"a":\x00}}`, `{` + strings.ReplaceAll(good, "/s", "\xff") + `}`} {
		f(value, events.ReasonMalformed)
	}
	f(`[{`+good+`}]`, events.ReasonSchema)
	f(`{`+good+`,"data":"`+strings.Repeat("x", events.MaxValue)+`"}`, events.ReasonMalformed)
	for _, kind := range []string{"application/cloudevents-batch+json", "application/json", "application/cloudevents+jsonx", "application/cloudevents"} {
		if _, _, err := d.Open(headersOf("content-type:"+kind), []byte(`{`+good+`}`)); err == nil {
			t.Errorf("%s is read as an event in structured mode", kind)
		}
	}
	if _, _, err := d.Open(headersOf("content-type:Application/CloudEvents+JSON"), []byte(`{`+good+`}`)); err != nil {
		t.Errorf("in another case: %v", err)
	}
}

// What a relay has signed cannot be made to look like another mode.
func TestSignatureCoversTheMode(t *testing.T) {
	r := sampleRecord()
	signer := events.NewSigner(1, signingKey)
	signature, key, value := r.sign(signer), []byte(r.key), []byte(r.value)
	headers := append(slices.Clone(r.headers), structuredHeaders...)
	if signer.Verify(signature, r.topic, r.partition, key, value, headers) {
		t.Error("a record that is made structured keeps its signature")
	}
	if again := signer.Sign(r.topic, r.partition, key, value, headers); !signer.Verify(again, r.topic, r.partition, key, value, headers) {
		t.Error("a structured record cannot be signed")
	}
}

// members reads an object as encoding/json does, and tells whether it has one of the names twice.
func readMembers(text []byte) (found map[string]json.RawMessage, twice bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false, errors.New("no object")
	}
	found = map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false, err
		}
		_, known := found[name.(string)]
		twice = twice || known && (slices.Contains(attributeNames, name.(string)) || name == "data" || name == "data_base64")
		found[name.(string)] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, false, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, false, errors.New("more than one value")
	}
	return found, twice, nil
}

// FuzzOpen holds the structured mode against the binary one: what encoding/json reads of a value, given as headers and value of a
// record, must be accepted and refused alike.
func FuzzOpen(f *testing.F) {
	for _, e := range samples() {
		record, err := events.Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(structured(failing{f}, record, false))
		f.Add(structured(failing{f}, record, true))
	}
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"applylens.void.v1","id":null,"data":{}}`))
	d := events.NewDecoder()
	f.Fuzz(func(t *testing.T, value []byte) {
		head, data, err := d.Open(structuredHeaders, value)
		if !utf8.Valid(value) || bytes.Contains(value, []byte(`\u`)) || bytes.IndexByte(value, 0) >= 0 {
			return // encoding/json is lenient with texts
		}
		members, twice, readErr := readMembers(value)
		var headers []events.Header
		var wrong bool
		for _, name := range attributeNames {
			var text *string
			wrong = wrong || members[name] != nil && json.Unmarshal(members[name], &text) != nil
			if text != nil {
				headers = append(headers, events.Header{Key: "ce_" + name, Value: []byte(*text)})
			}
		}
		want := []byte(members["data"])
		if encoded, has := members["data_base64"]; has {
			var text *string
			wrong = wrong || members["data"] != nil || json.Unmarshal(encoded, &text) != nil || text == nil
			if !wrong {
				decoded, err := base64.StdEncoding.DecodeString(*text)
				wrong, want = err != nil, decoded
			}
		}
		binary, _, binaryErr := d.Open(headers, want)
		refused := readErr != nil || twice || wrong || binaryErr != nil
		if (err != nil) != refused {
			if err != nil && readErr == nil && tooDeep(value) {
				return
			}
			t.Fatalf("%q: %v; encoding/json: %v, twice %t, wrong %t, as headers: %v", value, err, readErr, twice, wrong, binaryErr)
		}
		if err == nil {
			if diff := cmp.Diff(binary, head); diff != "" || !bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(want)) {
				t.Errorf("%s\n%q, want %q", diff, data, want)
			}
		}
	})
}

// tooDeep tells whether a value may have more levels than a decoder takes.
func tooDeep(value []byte) bool {
	return bytes.Count(value, []byte("["))+bytes.Count(value, []byte("{")) > events.MaxDepth
}

// failing makes a *testing.F a failer.
type failing struct{ *testing.F }

func (f failing) Fatalf(format string, args ...any) { f.F.Fatalf(format, args...) }
