package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/message"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/schema"
)

// oracle decides by the JSON Schemas whether a value must be accepted. It checks what JSON Schema cannot express with code of
// its own, not the decoder's: the size and depth of the value, UTF-8, NUL and lone surrogates, repeated members,
// years in UTC, the order of times. Like most validators, it reads numbers (not integers) as float64.
type oracle struct {
	schemas map[events.Type]*jsonschema.Schema
	texts   map[events.Type]map[string]any
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.AssertVocabs()
	compiler.RegisterVocabulary(maxBytesVocabulary(t))
	compiler.RegisterFormat(&jsonschema.Format{Name: "date-time", Validate: validateTime})
	o := &oracle{schemas: make(map[events.Type]*jsonschema.Schema), texts: make(map[events.Type]map[string]any)}
	for _, kind := range events.Types() {
		name := "events/" + kind.String() + ".json"
		text, err := fs.ReadFile(schema.Events, name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := compiler.AddResource(name, doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if o.schemas[kind], err = compiler.Compile(name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		o.texts[kind] = doc.(map[string]any)
	}
	return o
}

// validateTime is the format date-time, with the years that are allowed after the conversion to UTC.
func validateTime(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return err
	}
	if year := t.UTC().Year(); year < 1000 || year > 9999 {
		return errors.New("year")
	}
	return nil
}

// maxBytes is the keyword x-maxBytes.
type maxBytes int

func (most maxBytes) Validate(ctx *jsonschema.ValidatorContext, v any) {
	if text, ok := v.(string); ok && len(text) > int(most) {
		ctx.AddError(most)
	}
}

func (maxBytes) KeywordPath() []string { return []string{"x-maxBytes"} }

func (most maxBytes) LocalizedString(p *message.Printer) string {
	return p.Sprintf("more than %d bytes", int(most))
}

func maxBytesVocabulary(t testing.TB) *jsonschema.Vocabulary {
	t.Helper()
	const url = "urn:applylens:vocabulary:x-maxBytes"
	compiler := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"properties":{"x-maxBytes":{"type":"integer","minimum":0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource(url, doc); err != nil {
		t.Fatal(err)
	}
	meta, err := compiler.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	compile := func(_ *jsonschema.CompilerContext, obj map[string]any) (jsonschema.SchemaExt, error) {
		most, ok := obj["x-maxBytes"].(json.Number)
		if !ok {
			return nil, nil
		}
		n, err := strconv.Atoi(most.String())
		return maxBytes(n), err
	}
	return &jsonschema.Vocabulary{URL: url, Schema: meta, Compile: compile}
}

// errHugeNumber means that a number cannot be checked: its exact value has thousands of digits.
var errHugeNumber = errors.New("huge number")

// judge returns why a value must be refused, nil if it must be accepted, errHugeNumber if it cannot decide.
func (o *oracle) judge(kind events.Type, value []byte) error {
	if err := judgeText(value); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	doc, err := readValue(d, o.texts[kind])
	if err != nil {
		return err
	}
	if err := o.schemas[kind].Validate(doc); err != nil {
		return err
	}
	return judgeTimes(o.texts[kind], doc.(map[string]any))
}

// judgeText checks the bytes of a value.
func judgeText(value []byte) error {
	switch {
	case len(value) > events.MaxValue:
		return errors.New("long")
	case !utf8.Valid(value):
		return errors.New("not UTF-8")
	case !json.Valid(value):
		return errors.New("not JSON")
	}
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			size, err := judgeEscape(value[i:])
			if err != nil {
				return err
			}
			i += size - 1
		case !quoted && (c == '{' || c == '['):
			if depth++; depth > events.MaxDepth {
				return errors.New("deep")
			}
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
	}
	return nil
}

// judgeEscape returns the length of the escape sequence, or pair of sequences, at the start of valid JSON text.
func judgeEscape(text []byte) (int, error) {
	if text[1] != 'u' {
		return 2, nil
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return 0, err
	}
	switch {
	case unit == 0:
		return 0, errors.New("NUL")
	case unit >= 0xdc00 && unit <= 0xdfff:
		return 0, errors.New("low surrogate alone")
	case unit >= 0xd800 && unit <= 0xdbff:
		if len(text) < 12 || text[6] != '\\' || text[7] != 'u' {
			return 0, errors.New("high surrogate alone")
		}
		low, err := strconv.ParseUint(string(text[8:12]), 16, 16)
		if err != nil || low < 0xdc00 || low > 0xdfff {
			return 0, errors.New("high surrogate alone")
		}
		return 12, nil
	}
	return 6, nil
}

// readValue reads one value and refuses repeated members that its schema defines.
func readValue(d *json.Decoder, schema map[string]any) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return readObject(d, schema)
		}
		return readArray(d, schema)
	case json.Number:
		return readNumber(v, schema)
	}
	return token, nil
}

func readObject(d *json.Decoder, schema map[string]any) (any, error) {
	properties, _ := schema["properties"].(map[string]any)
	object := make(map[string]any)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string)
		member, known := properties[name].(map[string]any)
		if _, twice := object[name]; twice && known {
			return nil, fmt.Errorf("%s twice", name)
		}
		if object[name], err = readValue(d, member); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readArray(d *json.Decoder, schema map[string]any) (any, error) {
	items, _ := schema["items"].(map[string]any)
	array := []any{}
	for d.More() {
		v, err := readValue(d, items)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := d.Token()
	return array, err
}

func readNumber(n json.Number, schema map[string]any) (any, error) {
	f, err := n.Float64()
	if schema == nil { // an unknown member
		return 0.0, nil
	}
	for _, name := range typesOf(schema) {
		if name == "number" {
			return f, err
		}
	}
	if i := strings.IndexAny(n.String(), "eE"); i >= 0 {
		if exponent, err := strconv.Atoi(n.String()[i+1:]); err != nil || math.Abs(float64(exponent)) > 2000 {
			return nil, errHugeNumber
		}
	}
	return n, nil
}

// typesOf returns the types that a schema allows.
func typesOf(schema map[string]any) []string {
	switch v := schema["type"].(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, name := range v {
			list = append(list, name.(string))
		}
		return list
	}
	return nil
}

// judgeTimes checks the times bounded by recorded_at in a document that its schema accepts.
func judgeTimes(schema, doc map[string]any) error {
	recorded, err := time.Parse(time.RFC3339Nano, doc["recorded_at"].(string))
	if err != nil {
		return err
	}
	for _, name := range []string{"proposed_at", "decided_at"} {
		if _, known := schema["properties"].(map[string]any)[name]; !known {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, doc[name].(string))
		if err != nil {
			return err
		}
		if t.UTC().Year() < 2000 || t.Sub(recorded) > 5*time.Minute {
			return fmt.Errorf("%s out of bounds", name)
		}
	}
	return nil
}
