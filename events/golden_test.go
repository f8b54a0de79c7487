package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/applylens/applylens/events"
)

var update = flag.Bool("update", false, "rewrite the golden samples: a change of the protocol")

// golden is a file of testdata: one record, its identity and its content hash.
type golden struct {
	Headers     [][2]string     `json:"headers"`
	Key         string          `json:"key"`
	Value       json.RawMessage `json:"value"`
	EffectID    string          `json:"effect_id"`
	ContentHash string          `json:"content_hash"`
}

func goldenOf(e *events.Event, record events.Record) golden {
	g := golden{
		Key:         string(record.Key),
		Value:       record.Value,
		EffectID:    events.EffectID(e).String(),
		ContentHash: fmt.Sprintf("%016x", events.ContentHash(e)),
	}
	for _, header := range record.Headers {
		g.Headers = append(g.Headers, [2]string{header.Key, string(header.Value)})
	}
	return g
}

func (g golden) headers() []events.Header {
	var headers []events.Header
	for _, pair := range g.Headers {
		headers = append(headers, events.Header{Key: pair[0], Value: []byte(pair[1])})
	}
	return headers
}

func goldenFile(t events.Type) string { return filepath.Join("testdata", t.String()+".json") }

func readGolden(t testing.TB, file string) golden {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	var value bytes.Buffer
	if err := json.Compact(&value, g.Value); err != nil {
		t.Fatal(err)
	}
	g.Value = value.Bytes()
	return g
}

func writeGolden(t *testing.T, kind events.Type, g golden) {
	t.Helper()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(g); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenFile(kind), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenSamples(t *testing.T) {
	d := events.NewDecoder()
	for _, e := range samples() {
		t.Run(e.Type.String(), func(t *testing.T) {
			record, err := events.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			got := goldenOf(e, record)
			if *update {
				writeGolden(t, e.Type, got)
			}
			want := readGolden(t, goldenFile(e.Type))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("encoded (-golden +got):\n%s", diff)
			}
			head, err := d.Head(want.headers())
			if err != nil {
				t.Fatal(err)
			}
			var decoded events.Event
			if err := d.Decode(&head, want.Value, &decoded); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e, &decoded, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("decoded (-sample +got):\n%s", diff)
			}
		})
	}
}

func TestEveryTypeHasAGoldenSample(t *testing.T) {
	seen := make(map[events.Type]bool)
	for _, e := range samples() {
		seen[e.Type] = true
	}
	for _, kind := range append(events.Types(), events.TypeVoid) {
		if !seen[kind] {
			t.Errorf("%v has none", kind)
		}
	}
}

// TestGoldenRecordsKeepTheirMeaning decodes all files of testdata, including those of earlier encoders.
func TestGoldenRecordsKeepTheirMeaning(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want := readGolden(t, file)
			d := events.NewDecoder()
			head, err := d.Head(want.headers())
			if err != nil {
				t.Fatal(err)
			}
			var e events.Event
			if err := d.Decode(&head, want.Value, &e); err != nil {
				t.Fatal(err)
			}
			got := goldenOf(&e, events.Record{Key: []byte(e.Key()), Value: want.Value})
			got.Headers = want.Headers
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-golden +got):\n%s", diff)
			}
		})
	}
}

// TestSamplesSetEveryField ensures that the other tests notice a field missing from the codec.
func TestSamplesSetEveryField(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range samples() {
		visit(reflect.ValueOf(*e), "", seen)
	}
	for field, set := range seen {
		if !set {
			t.Errorf("no sample sets %s", field)
		}
	}
}

// visit records for every field of a struct, including nested ones, whether it was ever set.
func visit(v reflect.Value, path string, seen map[string]bool) {
	for i := range v.NumField() {
		f, name := v.Field(i), path+"."+v.Type().Field(i).Name
		seen[name] = seen[name] || !f.IsZero()
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		}
		if f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]() {
			visit(f, name, seen)
		}
	}
}
