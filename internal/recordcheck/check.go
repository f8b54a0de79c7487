package recordcheck

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
)

// Options say what the records are.
type Options struct {
	// Type is that of all records, if they are payloads alone. Default: TypeUnknown, records tell their types.
	Type events.Type

	// Partitions is how many partitions the topic has. Default: 0, the partitions of records are not checked.
	Partitions int
}

// Report is what was found of one record.
type Report struct {
	File     string   `json:"file"`
	Record   int      `json:"record"` // from 1 on
	Line     int      `json:"line"`   // where it begins
	Type     string   `json:"type"`   // empty if it could not be read, as ID
	ID       string   `json:"id"`
	Valid    bool     `json:"valid"`
	Faults   []Fault  `json:"faults"`
	Warnings []string `json:"warnings"` // what is no fault, but rarely meant
}

// Fault is one rule that a record breaks.
type Fault struct {
	Reason string `json:"reason"` // of the dead letter that it becomes; ReasonTopic makes none
	Field  string `json:"field"`  // such as "recipients[2].address", "ce_id" or "key"; empty for the whole value
	Detail string `json:"detail"` // what is wrong
	Advice string `json:"advice"` // what to do
}

// The reasons beside those of package events.
const (
	reasonKey   = "key"
	reasonTopic = "topic" // the groups that read the topic pass it over
)

// Check reports on every record of a file until ctx ends. Its error is that of reading or of report.
func Check(ctx context.Context, file string, in io.Reader, options Options, report func(*Report) error) error {
	buffered := bufio.NewReaderSize(in, readSize)
	if err := passMark(buffered); err != nil {
		return err
	}
	documents, c := newDocuments(buffered), &checker{options: options, decoder: events.NewDecoder()}
	for count := 1; ctx.Err() == nil; count++ {
		doc, err := documents.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r := c.check(&doc)
		r.File, r.Record, r.Line, r.Valid = file, count, doc.place.line, len(r.Faults) == 0
		if err := report(r); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// passMark passes over the byte order mark that some systems write at the start of a file. It is no part of a record.
func passMark(in *bufio.Reader) error {
	begin, err := in.Peek(3)
	switch {
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return errors.New("it is in UTF-16: save it in UTF-8")
	case bytes.Equal(begin, []byte("\uFEFF")):
		_, err = in.Discard(len(begin))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type checker struct {
	options Options
	decoder *events.Decoder
	event   events.Event
}

func (c *checker) check(doc *document) *Report {
	r := &Report{Faults: []Fault{}, Warnings: []string{}}
	switch {
	case doc.fault != nil:
		detail := strings.ReplaceAll(doc.fault.Error(), "unexpected EOF", "it ends in the middle")
		r.add(string(events.ReasonMalformed), "", fmt.Sprintf("is not JSON: line %d, column %d: %s", doc.at.line, doc.at.column, detail), brokenAdvice)
	case c.options.Type != events.TypeUnknown:
		r.Type = c.options.Type.String()
		c.addAll(r, c.decoder.PayloadFaults(c.options.Type, doc.text, &c.event))
	default:
		c.checkRecord(r, doc.text)
	}
	return r
}

func (r *Report) add(reason, field, detail, advice string) {
	r.Faults = append(r.Faults, Fault{reason, field, detail, advice})
}

func (c *checker) addAll(r *Report, faults []*events.Error) {
	for _, fault := range faults {
		r.add(string(fault.Reason), fault.Field, fault.Detail, advice(c.event.Type, r.Type, fault))
	}
}

func (c *checker) checkRecord(r *Report, text []byte) {
	record, whole, err := recordOf(text)
	if err != nil {
		r.add(string(events.ReasonMalformed), "", "is not a record: "+err.Error(), formAdvice)
		return
	}
	faults := c.decoder.Faults(record.headers, record.value, &c.event)
	r.ID, r.Type = c.event.ID, typeName(&record)
	c.addAll(r, faults)
	if !whole && missesAll(faults) {
		r.Faults[0].Advice = formAdvice
	}
	if c.event.Type.Topics() != nil && whole {
		c.checkPlace(r, &record)
	}
	c.warn(r, &record)
}

// missesAll tells whether a value has none of the attributes of a CloudEvent: it may be in a form that nobody knows.
func missesAll(faults []*events.Error) bool {
	for _, name := range []string{events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType} {
		if !slices.ContainsFunc(faults, func(f *events.Error) bool { return f.Field == name && f.Detail == "is missing" }) {
			return false
		}
	}
	return true
}

// checkPlace checks topic, key and partition as far as they are known.
func (c *checker) checkPlace(r *Report, record *record) {
	kind := c.event.Type
	if record.topic != "" && !slices.ContainsFunc(kind.Topics(), func(topic string) bool { return strings.HasSuffix(record.topic, topic) }) {
		r.add(reasonTopic, "topic", "is not that of "+kind.String(),
			fmt.Sprintf("Write it to %s, behind the prefix of the deployment: in another topic it has no effect.", strings.Join(kind.Topics(), " and ")))
	}
	user, application := c.event.UserID(), c.event.Application
	known := user != "" || application != nil && application.System != "" && application.ApplicationID != ""
	if known && c.event.Key() != string(record.key) {
		of := "the user_id"
		if application != nil {
			of = "system/application_id"
		}
		r.add(reasonKey, "key", "is not "+of+" of the value", "Send "+of+" of the value as the key of the record.")
	}
	if count := c.options.Partitions; count > 0 && record.partition >= 0 {
		if right := events.Partition(record.key, count); right != record.partition {
			r.add(reasonKey, "partition", fmt.Sprintf("is %d, but murmur2 of the key is partition %d of %d", record.partition, right, count),
				"Let the producer partition by murmur2: partitioner=murmur2_random in librdkafka, the default in Java and kafkajs.")
		}
	}
}

// warn tells of what is accepted, but rarely meant.
func (c *checker) warn(r *Report, record *record) {
	e, relayed := &c.event, hasHeader(record, events.HeaderRelayID)
	if len(r.Faults) == 0 && e.Type == events.TypeForeign {
		r.Warnings = append(r.Warnings, "its type is not one of ApplyLens, so it has no effect"+suggestion(r.Type))
	}
	if strings.HasPrefix(e.Source, "/applylens/") && !relayed {
		r.Warnings = append(r.Warnings, "its source is below /applylens/, where a deployment has its own: from another service it becomes a dead letter source")
	}
	if relayed {
		r.Warnings = append(r.Warnings, "it has a relay sequence, whose signature only a deployment can check: from another service it becomes a dead letter signature")
	}
}

func hasHeader(record *record, name string) bool {
	return slices.ContainsFunc(record.headers, func(h events.Header) bool { return h.Key == name })
}
