package recordcheck

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
)

// record is a record to check.
type record struct {
	headers   []events.Header
	key       []byte // nil: none
	value     []byte
	topic     string // empty: not known, and nor is the key
	partition int    // -1: not known
}

// structuredHeaders are those of an event in structured mode.
var structuredHeaders = []events.Header{{Key: events.HeaderContentType, Value: []byte("application/cloudevents+json")}}

// typeName returns the ce_type of a record as it stands there, which may be none that is known; empty if it cannot be read.
func typeName(r *record) string {
	if events.Structured(r.headers) {
		var event struct{ Type string }
		_ = json.Unmarshal(r.value, &event)
		return event.Type
	}
	for _, header := range r.headers {
		if header.Key == events.HeaderType {
			return string(header.Value)
		}
	}
	return ""
}

// members are the members of a record as kcat and "applylens deadletters show" print it, and the golden samples have it.
type members struct {
	SpecVersion json.RawMessage `json:"specversion"`
	Topic       *string         `json:"topic"`
	Partition   *int            `json:"partition"`
	Headers     json.RawMessage `json:"headers"`
	Key         json.RawMessage `json:"key"`
	Payload     json.RawMessage `json:"payload"`
	Value       json.RawMessage `json:"value"`
	Base64      bool            `json:"value_is_base64"`
}

// recordOf reads a record. What is not a record with headers and payload is an event in structured mode, or was meant to be one.
func recordOf(text []byte) (r record, whole bool, err error) {
	var m members
	err = json.Unmarshal(text, &m)
	if text[0] != '{' || m.SpecVersion != nil || m.Headers == nil && m.Payload == nil && m.Value == nil {
		return record{headers: structuredHeaders, value: text, partition: -1}, false, nil
	}
	if err != nil {
		return record{}, true, err
	}
	r.partition = -1
	if m.Partition != nil {
		r.partition = *m.Partition
	}
	if m.Topic != nil {
		r.topic = *m.Topic
	}
	if r.headers, err = headersOf(m.Headers); err != nil {
		return record{}, true, err
	}
	if r.key = unquote(m.Key); r.key == nil && m.Key != nil && string(m.Key) != "null" {
		return record{}, true, errors.New("the key is not a text")
	}
	r.value, err = valueOf(&m)
	return r, true, err
}

// valueOf returns the bytes of a payload: those of a text, or those of any other value as they are.
func valueOf(m *members) ([]byte, error) {
	given := m.Payload
	if given == nil {
		given = m.Value
	}
	text := unquote(given)
	switch {
	case text == nil && string(given) == "null":
		return nil, nil
	case text == nil:
		return given, nil
	case m.Base64:
		return base64.StdEncoding.DecodeString(string(text))
	}
	return text, nil
}

var errHeaders = errors.New(`the headers are not names and values, such as ["ce_id","1"], [["ce_id","1"]], [{"key":"ce_id","value":"1"}] or {"ce_id":"1"}`)

// headersOf reads headers: names and values in turn, as kcat prints them, in pairs, or as objects; or one object.
func headersOf(text json.RawMessage) ([]events.Header, error) {
	if text == nil || string(text) == "null" {
		return nil, nil
	}
	if text[0] == '{' {
		return headerMembers(text)
	}
	var list []json.RawMessage
	if json.Unmarshal(text, &list) != nil {
		return nil, errHeaders
	}
	var flat []json.RawMessage
	for _, element := range list {
		var pair []json.RawMessage
		var named struct{ Key, Value json.RawMessage }
		switch {
		case element[0] == '[' && json.Unmarshal(element, &pair) == nil && len(pair) == 2:
			flat = append(flat, pair...)
		case element[0] == '{' && json.Unmarshal(element, &named) == nil && named.Key != nil:
			flat = append(flat, named.Key, named.Value)
		default:
			flat = append(flat, element)
		}
	}
	return headersInTurn(flat)
}

func headersInTurn(flat []json.RawMessage) (headers []events.Header, err error) {
	if len(flat)%2 != 0 {
		return nil, errHeaders
	}
	for i := 0; i < len(flat); i += 2 {
		name, value := unquote(flat[i]), unquote(flat[i+1])
		if name == nil || value == nil && flat[i+1] != nil && string(flat[i+1]) != "null" {
			return nil, errHeaders
		}
		headers = append(headers, events.Header{Key: string(name), Value: value})
	}
	return headers, nil
}

func headerMembers(text json.RawMessage) (headers []events.Header, err error) {
	var named map[string]json.RawMessage
	if json.Unmarshal(text, &named) != nil {
		return nil, errHeaders
	}
	for name, raw := range named {
		value := unquote(raw)
		if value == nil && string(raw) != "null" {
			return nil, errHeaders
		}
		headers = append(headers, events.Header{Key: name, Value: value})
	}
	return headers, nil
}

// unquote returns the bytes of a JSON string, nil for any other value. Bytes that are not UTF-8 stay as they are, as kcat
// prints them; encoding/json would replace them.
func unquote(text json.RawMessage) []byte {
	if len(text) == 0 || text[0] != '"' {
		return nil
	}
	plain := []byte{}
	for inner := text[1 : len(text)-1]; len(inner) > 0; {
		valid := validPrefix(inner)
		var part string
		_ = json.Unmarshal(slices.Concat([]byte{'"'}, inner[:valid], []byte{'"'}), &part) // a part of a valid string
		plain = append(plain, part...)
		if inner = inner[valid:]; len(inner) > 0 {
			plain, inner = append(plain, inner[0]), inner[1:]
		}
	}
	return plain
}

// validPrefix returns how many bytes are UTF-8.
func validPrefix(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(text)
}
