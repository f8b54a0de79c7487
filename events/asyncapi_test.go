package events_test

import (
	"io/fs"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/schema"
)

// reference is a $ref of the AsyncAPI document.
type reference struct {
	Ref string `yaml:"$ref"`
}

// asyncAPI is what the tests look at of the AsyncAPI document.
type asyncAPI struct {
	AsyncAPI string `yaml:"asyncapi"`
	Channels map[string]struct {
		Address  string               `yaml:"address"`
		Messages map[string]reference `yaml:"messages"`
	} `yaml:"channels"`
	Operations map[string]struct {
		Action  string    `yaml:"action"`
		Channel reference `yaml:"channel"`
	} `yaml:"operations"`
	Components struct {
		Messages map[string]struct {
			Name    string    `yaml:"name"`
			Headers reference `yaml:"headers"`
			Payload struct {
				SchemaFormat string    `yaml:"schemaFormat"`
				Schema       reference `yaml:"schema"`
			} `yaml:"payload"`
		} `yaml:"messages"`
		Schemas map[string]struct {
			Required   []string       `yaml:"required"`
			Properties map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
	} `yaml:"components"`
}

func readAsyncAPI(t *testing.T) asyncAPI {
	t.Helper()
	var doc asyncAPI
	if err := yaml.Unmarshal(schema.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.AsyncAPI != "3.0.0" {
		t.Fatalf("AsyncAPI %q", doc.AsyncAPI)
	}
	return doc
}

func TestAsyncAPIHasTheTopicsAndTheirTypes(t *testing.T) {
	doc := readAsyncAPI(t)
	want := make(map[string][]string)
	for _, topic := range events.Topics {
		want[topic] = []string{events.TypeVoid.String()}
	}
	for _, kind := range events.Types() {
		for _, topic := range kind.Topics() {
			want[topic] = append(want[topic], kind.String())
		}
	}
	got := make(map[string][]string)
	for name, channel := range doc.Channels {
		if channel.Address != name {
			t.Errorf("channel %s has address %s", name, channel.Address)
		}
		for message, ref := range channel.Messages {
			got[name] = append(got[name], message)
			if ref.Ref != "#/components/messages/"+message {
				t.Errorf("%s refers to %s", message, ref.Ref)
			}
		}
	}
	for _, types := range []map[string][]string{want, got} {
		for _, list := range types {
			slices.Sort(list)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-code +document):\n%s", diff)
	}
}

func TestAsyncAPIMessagesReferToTheSchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	if want := len(events.Types()) + 1; len(doc.Components.Messages) != want {
		t.Errorf("%d messages, want %d", len(doc.Components.Messages), want)
	}
	for _, kind := range events.Types() {
		message := doc.Components.Messages[kind.String()]
		if message.Name != kind.String() || message.Headers.Ref != "#/components/schemas/headers" {
			t.Errorf("%v: name %q, headers %q", kind, message.Name, message.Headers.Ref)
		}
		if _, err := fs.Stat(schema.Events, message.Payload.Schema.Ref); err != nil ||
			message.Payload.Schema.Ref != "events/"+kind.String()+".json" {
			t.Errorf("%v: schema %q: %v", kind, message.Payload.Schema.Ref, err)
		}
	}
}

func TestAsyncAPIOperationsCoverTheChannels(t *testing.T) {
	doc := readAsyncAPI(t)
	got := make(map[string][]string)
	for _, operation := range doc.Operations {
		got[operation.Channel.Ref] = append(got[operation.Channel.Ref], operation.Action)
	}
	for _, topic := range events.Topics {
		actions := got["#/channels/"+topic]
		slices.Sort(actions)
		if !slices.Equal(actions, []string{"receive", "send"}) {
			t.Errorf("%s: %v", topic, actions)
		}
	}
}

func TestAsyncAPIHasTheHeaders(t *testing.T) {
	headers := readAsyncAPI(t).Components.Schemas["headers"]
	want := []string{events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType, events.HeaderTime,
		events.HeaderSubject, events.HeaderContentType, events.HeaderTraceparent, events.HeaderRelayID,
		events.HeaderRelaySeq, events.HeaderRelaySignature, events.HeaderRedriveGroup, events.HeaderRedrivenFrom, events.HeaderRedriveForce}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(headers.Properties))); diff != "" {
		t.Error(diff)
	}
	required := []string{events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType}
	if diff := cmp.Diff(required, headers.Required); diff != "" {
		t.Error(diff)
	}
}
