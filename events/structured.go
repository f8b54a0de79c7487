package events

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// structuredType is the media type of a record that carries a whole CloudEvent as JSON in its value (the structured mode of the
// CloudEvents Kafka binding 1.0). A batch of events is no record of ours.
const structuredType = "application/cloudevents+json"

// Structured tells whether a record with these headers carries its attributes in its value, whoever wrote it.
func Structured(headers []Header) bool {
	for i := range headers {
		if headers[i].Key == HeaderContentType {
			return isStructured(headers[i].Value)
		}
	}
	return false
}

func isStructured(contentType []byte) bool {
	if len(contentType) < len(structuredType) {
		return false
	}
	media, _, _ := strings.Cut(string(contentType), ";")
	return strings.EqualFold(strings.TrimSpace(media), structuredType)
}

// Open is Head for a record of either mode, and returns the value that Decode takes: the record's, or the data of the CloudEvent in it,
// as bytes of value where it stands there. In the structured mode the attributes are the members of the value, by the same rules, and
// those among the headers are not looked at; the relay's headers and those of a redriven record are headers in either mode. Its
// error is an *Error: of ReasonMalformed if the value is not JSON, else of ReasonEnvelope.
func (d *Decoder) Open(headers []Header, value []byte) (Head, []byte, error) {
	if !Structured(headers) {
		head, err := d.Head(headers)
		return head, value, err
	}
	if len(value) > MaxValue {
		return Head{}, nil, &Error{Reason: ReasonMalformed, Detail: "value is too long"}
	}
	h := heading{all: d.all}
	h.collect(headers, atRelayID)
	d.reset(value)
	data := d.envelope(&h)
	if d.end(); d.err != nil {
		return Head{}, nil, d.err
	}
	if d.all != nil && d.all.spoilt("", 0) { // it is no object
		return Head{}, nil, nil
	}
	head, err := d.head(&h)
	return head, data, err
}

// attributes are the members of a CloudEvent that are attributes which Head reads.
var attributes = map[string]int{"specversion": atSpecVersion, "id": atID, "source": atSource, "type": atType, "time": atTime, "subject": atSubject}

// envelope reads a CloudEvent in JSON into h, and returns its data: nil if it has none. All other members are extensions, which nobody
// here reads.
func (d *Decoder) envelope(h *heading) (data []byte) {
	if d.peek() != '{' {
		d.want("an object")
		return nil
	}
	d.enter()
	some := false // of data and data_base64
	var m members
	for d.nextName(&m) {
		name := string(d.text())
		if d.peek() != ':' {
			d.malformed("no colon")
			return nil
		}
		d.at++
		at, known := attributes[name]
		switch {
		case known:
			d.attribute(h, at)
		case name == "data", name == "data_base64":
			if some {
				h.refuse("data", "is present twice, or beside data_base64")
			}
			some = true
			if name == "data" {
				data = d.raw()
			} else {
				data = d.base64(h)
			}
		default:
			d.skip()
		}
	}
	return data
}

// attribute reads a text; null is the absence of an attribute.
func (d *Decoder) attribute(h *heading, at int) {
	if h.seen[at] {
		h.fail(at, "is present twice")
	}
	switch d.peek() {
	case 'n':
		d.literal("null")
	case '"':
		h.values[at], h.seen[at] = append([]byte(nil), d.text()...), true
	default:
		d.skip()
		h.fail(at, "is not a text")
	}
}

// raw returns the bytes of the next value.
func (d *Decoder) raw() []byte {
	d.peek()
	begin := d.at
	d.skip()
	if d.err != nil {
		return nil
	}
	return d.data[begin:d.at]
}

func (d *Decoder) base64(h *heading) []byte {
	if d.peek() != '"' {
		d.skip()
		h.refuse("data_base64", "is not a text")
		return nil
	}
	data, err := base64.StdEncoding.AppendDecode(nil, d.text())
	if err != nil {
		h.refuse("data_base64", "is not base64")
	}
	return data
}

// DataOf returns the value that Open would, of records that it may refuse: to find out whom a broken one is about.
func DataOf(headers []Header, value []byte) []byte {
	if !Structured(headers) {
		return value
	}
	var event map[string]json.RawMessage
	if json.Unmarshal(value, &event) != nil {
		return value
	}
	if data, has := event["data"]; has {
		return data
	}
	var encoded []byte
	if json.Unmarshal(event["data_base64"], &encoded) == nil {
		return encoded
	}
	return value
}
