package events_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/applylens/applylens/events"
)

var signingKey = bytes.Repeat([]byte{7}, events.KeySize)

// signed is a record and where it stands.
type signed struct {
	topic      string
	partition  int
	key, value string
	headers    []events.Header
}

func (r signed) sign(s *events.Signer) events.Signature {
	return s.Sign(r.topic, r.partition, []byte(r.key), []byte(r.value), r.headers)
}

func (r signed) verify(s *events.Signer, signature events.Signature) bool {
	return s.Verify(signature, r.topic, r.partition, []byte(r.key), []byte(r.value), r.headers)
}

func sampleRecord() signed {
	return signed{events.TopicActions, 3, "ann", `{"a":1}`, envelope("ce_subject:s", "applylens_relay_id:"+relayID, "applylens_relay_seq:5")}
}

func TestSignatureIsReadBack(t *testing.T) {
	want := sampleRecord().sign(events.NewSigner(12, signingKey))
	header := want.Header()
	if header.Key != events.HeaderRelaySignature || !strings.HasPrefix(string(header.Value), "12:") {
		t.Errorf("header %s: %s", header.Key, header.Value)
	}
	if got := events.SignatureOf(append(envelope(), header)); got != want {
		t.Errorf("read back %v, want %v", got, want)
	}
}

func TestNothingOfASignedRecordCanBeChanged(t *testing.T) {
	signer := events.NewSigner(1, signingKey)
	signature := sampleRecord().sign(signer)
	r := sampleRecord()
	r.headers = append(r.headers, headersOf("traceparent:00-1", "content-type:application/json")...)
	if !r.verify(signer, signature) {
		t.Error("headers that mean nothing to a reader break the signature")
	}
	for name, change := range map[string]func(*signed){
		"topic":             func(r *signed) { r.topic = events.TopicMail },
		"partition":         func(r *signed) { r.partition = 2 },
		"key":               func(r *signed) { r.key = "bob" },
		"value":             func(r *signed) { r.value = `{"a":2}` },
		"nothing of it":     func(r *signed) { r.value = "" },
		"moved byte":        func(r *signed) { r.key, r.value = "an", "n"+r.value },
		"header":            func(r *signed) { r.headers[1].Value = []byte("2") },
		"number":            func(r *signed) { r.headers[6].Value = []byte("6") },
		"header less":       func(r *signed) { r.headers = r.headers[:6] },
		"header more":       func(r *signed) { r.headers = append(r.headers, headersOf("ce_time:2026-11-03T10:00:00Z")...) },
		"header twice":      func(r *signed) { r.headers = append(r.headers, r.headers[0]) },
		"order":             func(r *signed) { r.headers[1], r.headers[2] = r.headers[2], r.headers[1] },
		"redriven":          func(r *signed) { r.headers = append(r.headers, headersOf("applylens_redrive_force:true")...) },
		"names exchanged":   func(r *signed) { r.headers[1].Key, r.headers[2].Key = r.headers[2].Key, r.headers[1].Key },
		"value as a header": func(r *signed) { r.value, r.headers[4].Value = "s", []byte(r.value) },
	} {
		r := sampleRecord()
		if change(&r); r.verify(signer, signature) {
			t.Errorf("%s: changed, and still right", name)
		}
	}
	if sampleRecord().verify(events.NewSigner(2, signingKey), signature) {
		t.Error("the number of the key is not compared")
	}
	if sampleRecord().verify(events.NewSigner(1, bytes.Repeat([]byte{8}, events.KeySize)), signature) {
		t.Error("another key verifies it")
	}
}

func TestMalformedSignatureIsNone(t *testing.T) {
	mac := strings.Repeat("0a", 16)
	for _, text := range []string{"", ":", "1", mac, ":" + mac, "0:" + mac, "01:" + mac, "-1:" + mac, "+1:" + mac, "1:" + mac + "0a", "1:" + mac[2:],
		"1 " + mac, "1:" + mac[:31] + "g", "1000000000:" + mac} {
		if got := events.SignatureOf(headersOf(events.HeaderRelaySignature + ":" + text)); got != (events.Signature{}) {
			t.Errorf("%q is read as %v", text, got)
		}
	}
	if got := events.SignatureOf(headersOf(events.HeaderRelaySignature + ":999999999:" + mac)); got.Key != 999999999 {
		t.Errorf("key %d", got.Key)
	}
}

func BenchmarkVerify(b *testing.B) {
	r := sampleRecord()
	r.value = strings.Repeat("x", 600)
	signer := events.NewSigner(1, signingKey)
	signature, key, value := r.sign(signer), []byte(r.key), []byte(r.value)
	b.ReportAllocs()
	for b.Loop() {
		if !signer.Verify(signature, r.topic, r.partition, key, value, r.headers) {
			b.Fatal("wrong")
		}
	}
}
