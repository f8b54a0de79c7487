// Package events is the language of ApplyLens: what happened, on which topic, under which key and in which bytes.
//
// Every encoded event decodes to the same value. Decoding returns a typed error for every value that the JSON Schemas in
// schema/events reject. Nothing here reads a clock, the network or a file. The package imports only the standard library,
// so that any service can use it.
//
// # Topics
//
//	topic                   key                    types                                   written by                  read by
//	applylens.actions       user id                action.*, preference.*, user.erased      relay; upstream services    weights, policystats
//	applylens.mail          user id                mail.*, user.erased                      mail import; relay; others  mailbox
//	applylens.applications  system/application_id  application.changed, .removed            relay (warehouse); CDC      enrichment
//
// Records of one key are folded in log order. The partition is murmur2(key) mod the partition count, as Java clients and
// librdkafka's murmur2_random compute it.
//
// # Envelope
//
// Events are CloudEvents 1.0 in the binary mode of the Kafka binding: the attributes are headers (ce_id, ce_source,
// ce_type, ce_time, ce_subject), and the value is the payload as JSON. Events published by the relay have a relay
// sequence in two more headers, HeaderRelayID and HeaderRelaySeq. A void event takes the relay sequence of a row that could
// not be published; it has neither key nor payload.
//
// # Decoding
//
// A Decoder refuses a record with an *Error, which has a Reason from a closed set and no content of the record. Unknown
// members are ignored, null means that an optional member is absent, and a known member must not be repeated. The
// limits are the Max constants. Beyond the schemas, a value has at most MaxValue bytes and MaxDepth levels, is UTF-8
// without NUL (also as \u0000) and without lone surrogates, and proposed_at and decided_at lie between 2000 and five
// minutes after recorded_at.
//
// Faults applies the same rules by the same code, and goes on after a fault: it tells a producer everything that is wrong with
// a record at once. Sample returns a record of each type that is right.
//
// # Changing it
//
// Within a major version only optional members are added: to the struct, its read, write and check, to field.go, to
// the JSON Schema and, as a new file, to the golden samples in testdata, which are kept for ever. FuzzDecode and other
// tests check that decoder and schemas agree.
package events
