// Package events is the language of ApplyLens: what happened, on which topic, under which key and in which bytes.
//
// It promises that every event it encodes decodes to the same value, that decoding refuses with a typed error what
// the JSON Schemas in schema/events refuse, and that nothing here reads a clock, a network or a file. It imports the
// standard library only, so that any service may use it.
//
// # Topics
//
//	topic                   key                    types                                   written by                  read by
//	applylens.actions       user id                action.*, preference.*, user.erased      relay; upstream services    weights, policystats
//	applylens.mail          user id                mail.received, user.erased               mail import; relay; others  mailbox
//	applylens.applications  system/application_id  application.changed, .removed            relay (warehouse); CDC      enrichment
//
// The key is the order that is promised: records of one key are folded in log order. The partition is
// murmur2(key) mod the partition count, as Java clients and librdkafka's murmur2_random compute it.
//
// # Envelope
//
// CloudEvents 1.0 in Kafka's binary mode: the attributes are headers (ce_id, ce_source, ce_type, ce_time,
// ce_subject), the value is the JSON of the payload. An event that the relay published carries a stamp in two more
// headers, HeaderRelayID and HeaderRelaySeq. A void event takes the number of a record that could not be published; it
// has neither key nor payload.
//
// # Decoding
//
// What a Decoder refuses it refuses with an *Error, whose Reason is of a closed set and which holds no content. Unknown
// members are ignored, null stands for an absent optional member, and a member that is known may not be repeated. The
// limits are the Max constants. Beyond the schemas, a value has at most MaxValue bytes and MaxDepth levels, is UTF-8
// without NUL (also as \u0000) and without lone surrogates, and proposed_at and decided_at lie between 2000 and five
// minutes after recorded_at.
//
// # Changing it
//
// Within a major version only optional members are added: to the struct, its read, write and check, to field.go, to
// the JSON Schema and, as a new file, to the golden samples in testdata, which stay for ever. FuzzDecode and the tests
// beside it hold decoder and schemas together.
package events
