package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/recordcheck"
)

// eventsCommand helps those who write services that emit events. It needs no server.
type eventsCommand struct {
	Validate eventsValidate `cmd:"" help:"Check records in files against the contract, and tell every fault of each. Needs no server."`
	Sample   eventsSample   `cmd:"" help:"Print a valid record of a type, or the types."`
}

// dash names standard input.
const dash = "-"

type eventsValidate struct {
	Files      []string `arg:"" name:"file" help:"Events in structured mode, or records as kcat -J prints them: JSON, one a line or over several lines. - reads standard input."`
	Type       string   `help:"The files have payloads alone, of this type." placeholder:"TYPE"`
	Partitions int      `help:"Partitions of the topics, to check those of records. Default: they are not checked."`
	JSON       bool     `help:"Print a JSON list of all records, instead of text on those with faults."`
}

// Run reports on every record, and fails if one has a fault.
func (c *eventsValidate) Run(ctx context.Context, p *process) error {
	options, err := c.options()
	if err != nil {
		return usageError{err}
	}
	out := newReports(p.stdout, c.JSON)
	done, stdin := make(chan error, 1), os.Stdin
	go func() { done <- c.checkAll(ctx, stdin, out, options) }()
	select {
	case err = <-done:
	case <-ctx.Done(): // standard input may never end
		return ctx.Err()
	}
	for _, name := range out.empty {
		p.log.Warn("a file is empty: there is no record in it", "file", name)
	}
	return errors.Join(err, out.end())
}

func (c *eventsValidate) options() (options recordcheck.Options, err error) {
	options = recordcheck.Options{Partitions: c.Partitions}
	if c.Partitions < 0 {
		return options, fmt.Errorf("--partitions: %d is below 0", c.Partitions)
	}
	if c.Type != "" {
		if options.Type, err = eventType(c.Type); err != nil {
			return options, fmt.Errorf("--type: %w", err)
		}
	}
	var faults []error
	for _, name := range c.Files {
		if info, err := os.Stat(name); name != dash && err != nil {
			faults = append(faults, err)
		} else if name != dash && info.IsDir() {
			faults = append(faults, fmt.Errorf("%s is a directory", name))
		}
	}
	return options, errors.Join(faults...)
}

func (c *eventsValidate) checkAll(ctx context.Context, stdin io.Reader, out *reports, options recordcheck.Options) error {
	var faults []error
	for _, name := range c.Files {
		if err := checkFile(ctx, name, stdin, out, options); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

func checkFile(ctx context.Context, name string, in io.Reader, out *reports, options recordcheck.Options) error {
	if name != dash {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	before := out.records
	err := recordcheck.Check(ctx, name, in, options, out.add)
	if err == nil && out.records == before {
		out.empty = append(out.empty, name)
	}
	return err
}

// eventType returns the type that a service can publish and that has the name.
func eventType(name string) (events.Type, error) {
	for _, t := range events.Types() {
		if t.String() == name {
			return t, nil
		}
	}
	hint := "; applylens events sample lists the types"
	if near := recordcheck.Nearest(name); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return events.TypeUnknown, fmt.Errorf("%q is no type of event%s", name, hint)
}

// reports prints reports as they come, so that it needs no memory for them.
type reports struct {
	out     io.Writer
	json    bool
	records int
	faulty  int
	empty   []string // files without records
}

func newReports(out io.Writer, asJSON bool) *reports { return &reports{out: out, json: asJSON} }

func (o *reports) add(r *recordcheck.Report) error {
	o.records++
	if !r.Valid {
		o.faulty++
	}
	if o.json {
		return o.addJSON(r)
	}
	return o.addText(r)
}

// addJSON prints the next element of a list.
func (o *reports) addJSON(r *recordcheck.Report) error {
	var text bytes.Buffer
	if err := printJSON(&text, r); err != nil {
		return err
	}
	begin := ",\n"
	if o.records == 1 {
		begin = "[\n"
	}
	_, err := io.WriteString(o.out, begin+strings.TrimSuffix(text.String(), "\n"))
	return err
}

func (o *reports) addText(r *recordcheck.Report) error {
	if r.Valid && len(r.Warnings) == 0 {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s:%d: record %d%s", printable.Text(r.File), r.Line, r.Record, printable.Text(about(r)))
	if !r.Valid {
		fmt.Fprintf(&text, " has %s", counted(len(r.Faults), "fault"))
	}
	text.WriteByte('\n')
	for _, f := range r.Faults {
		what := strings.TrimSpace(f.Field + " " + f.Detail)
		fmt.Fprintf(&text, "  %s: %s. %s\n", f.Reason, printable.Text(what), printable.Text(f.Advice))
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&text, "  warning: %s.\n", printable.Text(warning))
	}
	_, err := io.WriteString(o.out, text.String())
	return err
}

// about names a record by its type and id, as far as they are known.
func about(r *recordcheck.Report) string {
	var parts []string
	if r.Type != "" {
		parts = append(parts, r.Type)
	}
	if r.ID != "" {
		parts = append(parts, "id "+r.ID)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// end closes the list, or prints how many records there were. It fails if one had a fault.
func (o *reports) end() error {
	var err error
	switch {
	case o.json && o.records == 0:
		_, err = io.WriteString(o.out, "[]\n")
	case o.json:
		_, err = io.WriteString(o.out, "\n]\n")
	default:
		_, err = fmt.Fprintf(o.out, "%s, %d valid, %d with faults\n", counted(o.records, "record"), o.records-o.faulty, o.faulty)
	}
	if o.faulty > 0 {
		err = errors.Join(err, fmt.Errorf("faults in %d of %s", o.faulty, counted(o.records, "record")))
	}
	return err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type eventsSample struct {
	Type       string `arg:"" optional:"" help:"The type, such as applylens.action.approved.v1; without it, all are listed."`
	Structured bool   `help:"As an event in structured mode, which has attributes and payload in one JSON document; the default." xor:"form"`
	Record     bool   `help:"As a record with headers, key and payload in the binary mode, as kcat -J prints it." xor:"form"`
	Payload    bool   `help:"The payload alone." xor:"form"`
}

// sampleSource is the ce_source of samples. That of the golden ones is one of ApplyLens's own.
const sampleSource = "/example"

// Run prints a sample, or the types.
func (c *eventsSample) Run(p *process) error {
	if c.Type == "" {
		if c.Structured || c.Record || c.Payload {
			return usageError{errors.New("name a type; applylens events sample lists them")}
		}
		return listTypes(p.stdout)
	}
	t, err := eventType(c.Type)
	if err != nil {
		return usageError{err}
	}
	sample, ok := events.Sample(t)
	if !ok {
		return fmt.Errorf("%v has no sample", t)
	}
	for i := range sample.Headers {
		if sample.Headers[i].Key == events.HeaderSource {
			sample.Headers[i].Value = []byte(sampleSource)
		}
	}
	switch {
	case c.Record:
		return printSample(p.stdout, "", kcatRecord(t, &sample)) // on one line
	case c.Payload:
		return printSample(p.stdout, "  ", json.RawMessage(sample.Value))
	}
	return printSample(p.stdout, "  ", structuredEvent(&sample))
}

// printSample is printJSON that leaves <, > and & in texts as they are.
func printSample(out io.Writer, indent string, value any) error {
	encoder := json.NewEncoder(printable.JSONWriter(out))
	encoder.SetIndent("", indent)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func listTypes(out io.Writer) error {
	var text strings.Builder
	for _, t := range events.Types() {
		fmt.Fprintln(&text, t)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// printedRecord is a record as kcat -J prints it.
type printedRecord struct {
	Topic   string   `json:"topic"`
	Headers []string `json:"headers"`
	Key     string   `json:"key"`
	Payload string   `json:"payload"`
}

func kcatRecord(t events.Type, r *events.Record) printedRecord {
	printed := printedRecord{Topic: t.Topics()[0], Key: string(r.Key), Payload: string(r.Value)}
	for _, header := range r.Headers {
		printed.Headers = append(printed.Headers, header.Key, string(header.Value))
	}
	return printed
}

// cloudEvent is an event in structured mode.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time,omitempty"`
	Subject         string          `json:"subject,omitempty"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

func structuredEvent(r *events.Record) cloudEvent {
	of := map[string]string{}
	for _, header := range r.Headers {
		of[header.Key] = string(header.Value)
	}
	return cloudEvent{
		SpecVersion: of[events.HeaderSpecVersion], ID: of[events.HeaderID], Source: of[events.HeaderSource], Type: of[events.HeaderType],
		Time: of[events.HeaderTime], Subject: of[events.HeaderSubject], DataContentType: of[events.HeaderContentType], Data: r.Value,
	}
}
