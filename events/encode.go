package events

import "time"

// contentType is the media type of every value that Encode writes.
const contentType = "application/json"

// ErrTooLong is the error of Encode for a value of more than MaxValue bytes: control characters take six times their length.
var ErrTooLong error = &Error{Reason: ReasonSchema, Detail: "value is too long"}

// Encode returns the record of an event. Equal events always have the same bytes, and decoding the record returns an equal
// event. It returns an *Error for an event that Validate refuses, and ErrTooLong.
func Encode(e *Event) (Record, error) {
	if err := e.Validate(); err != nil {
		return Record{}, err
	}
	w := writer{b: make([]byte, 0, 768)}
	e.write(&w, false)
	if len(w.b) > MaxValue {
		return Record{}, ErrTooLong
	}
	return Record{Key: []byte(e.Key()), Value: w.b, Headers: e.Envelope.headers()}, nil
}

// write appends the payload as JSON, {} if there is none.
func (e *Event) write(w *writer, canonical bool) {
	w.open()
	if p := e.payload(); p != nil {
		p.write(w, e.Type, canonical)
	}
	w.close()
}

// headers returns the CloudEvents attributes and the content type as Kafka headers.
func (v *Envelope) headers() []Header {
	headers := append(make([]Header, 0, 10), // with room for the relay sequence and a traceparent
		Header{HeaderSpecVersion, []byte(specVersion)},
		Header{HeaderID, []byte(v.ID)},
		Header{HeaderSource, []byte(v.Source)},
		Header{HeaderType, []byte(v.Type.String())})
	if !v.Time.IsZero() {
		headers = append(headers, Header{HeaderTime, v.Time.UTC().AppendFormat(nil, time.RFC3339Nano)})
	}
	if v.Subject != "" {
		headers = append(headers, Header{HeaderSubject, []byte(v.Subject)})
	}
	return append(headers, Header{HeaderContentType, []byte(contentType)})
}
