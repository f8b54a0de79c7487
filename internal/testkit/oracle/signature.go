package oracle

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// signed lists the headers that a signature covers; a header is signed by its place in this list.
var signed = []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "applylens_relay_id", "applylens_relay_seq",
	"applylens_redrive_group", "applylens_redriven_from", "applylens_redrive_force"}

// signatureOf computes what the relay writes as the signature of a record, by the description in events.Signature.
func signatureOf(number int, key []byte, topic string, record *kgo.Record) string {
	mac := hmac.New(sha256.New, key)
	part := func(b []byte) {
		_ = binary.Write(mac, binary.BigEndian, uint32(len(b)))
		mac.Write(b)
	}
	mac.Write([]byte("applylens record 1\n"))
	part([]byte(topic))
	_ = binary.Write(mac, binary.BigEndian, uint32(record.Partition))
	part(record.Key)
	for _, header := range record.Headers {
		if at := slices.Index(signed, header.Key); at >= 0 {
			mac.Write([]byte{byte(at)})
			part(header.Value)
		}
	}
	mac.Write([]byte{byte(len(signed))})
	_ = binary.Write(mac, binary.BigEndian, uint64(len(record.Value)))
	mac.Write(record.Value)
	return fmt.Sprintf("%d:%x", number, mac.Sum(nil)[:16])
}

// genuine tells whether our relay signed a record of one of its terms.
func (t *Trust) genuine(e *event, topic string, record *kgo.Record) bool {
	number := t.Relays[e.relay]
	if number == 0 {
		return e.signature == ""
	}
	return e.signature == signatureOf(number, t.Keys[number], topic, record)
}
