package recordcheck

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/schema"
)

const (
	brokenAdvice = "Write each record with a JSON library; reading goes on behind it."
	formAdvice   = "Give an event with specversion, id, source, type and data, or a record as kcat -J prints it; for payloads alone, name their type with --type."
)

// headerAdvice is what to do about an attribute.
var headerAdvice = map[string]string{
	events.HeaderSpecVersion: "Set it to 1.0.",
	events.HeaderID:          "Give the event an id of 1 to 200 bytes that is unique within its source, once, and the same on every attempt.",
	events.HeaderSource:      "Name your service by a URI reference of 1 to 500 bytes, such as /payments.",
	events.HeaderType:        "Set it to the type of the event, such as applylens.action.approved.v1.",
	events.HeaderTime:        "Write a time such as 2026-03-01T12:00:00Z, or leave it out.",
	events.HeaderSubject:     "Write 1 to 500 bytes without control characters, or leave it out.",
	"data":                   "Send the payload as data, a JSON object, or as data_base64, once.",
	"data_base64":            "Send the payload as data, a JSON object, or as data_base64, once.",
}

// advice tells what to do about a fault of an event of a type, which has a name.
func advice(t events.Type, name string, fault *events.Error) string {
	switch fault.Reason {
	case events.ReasonEnvelope:
		if text, known := headerAdvice[fault.Field]; known {
			return text
		}
		return "Leave it out: it is reserved for ApplyLens."
	case events.ReasonUnknownType:
		return "Send a type that this version knows; applylens events sample lists them" + suggestion(name) + "."
	case events.ReasonMalformed:
		return malformedAdvice(fault.Detail)
	case events.ReasonBadTime:
		return verb(fault.Detail) + describe(t, fault.Field) + " Set recorded_at to the time of your database's clock when you stored the fact."
	}
	return verb(fault.Detail) + describe(t, fault.Field)
}

// malformedAdvice is what to do about a value that cannot be read.
func malformedAdvice(detail string) string {
	f := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(detail, word) })
	}
	switch {
	case f("too long"):
		return fmt.Sprintf("Send at most %d bytes: cut the text of mail at 128 KiB, and set truncated to true.", events.MaxValue)
	case f("NUL"):
		return "Leave the character U+0000 out of texts."
	case f("UTF-8", "surrogate"):
		return "Encode texts in UTF-8, and cut them between characters."
	case f("levels"):
		return fmt.Sprintf("Nest at most %d levels of arrays and objects.", events.MaxDepth)
	}
	return "Send one JSON object, written with a JSON library."
}

// verb begins the advice on a field that breaks the schema.
func verb(detail string) string {
	switch detail {
	case "is missing":
		return "Add it: "
	case "is present twice":
		return "Send it once: "
	case "does not belong to this type":
		return "Leave it out: "
	case "is empty, as is message_id":
		return "Send it, or message_id: "
	}
	return "Correct it: "
}

// property is what a JSON Schema says of a value.
type property struct {
	Description string               `json:"description"`
	Type        any                  `json:"type"`
	Format      string               `json:"format"`
	Enum        []string             `json:"enum"`
	MinLength   int                  `json:"minLength"`
	MaxBytes    int                  `json:"x-maxBytes"`
	Minimum     json.Number          `json:"minimum"`
	Maximum     json.Number          `json:"maximum"`
	MaxItems    int                  `json:"maxItems"`
	Items       *property            `json:"items"`
	Properties  map[string]*property `json:"properties"`
}

// describe returns what the JSON Schema of a type says of a field: its description, or that of its list, and what it may hold.
func describe(t events.Type, field string) string {
	text, err := schema.Events.ReadFile("events/" + t.String() + ".json")
	var found property
	if err != nil || json.Unmarshal(text, &found) != nil {
		return "see docs/emit.md."
	}
	p, description := &found, ""
	for _, name := range strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' }) {
		next := p.Properties[name]
		if strings.HasSuffix(name, "]") {
			next = p.Items
		}
		if p = next; p == nil {
			return "see docs/emit.md."
		}
		description = cmp.Or(p.Description, description)
	}
	return lowerFirst(strings.TrimSuffix(description, ".")) + " (" + p.limits() + ")."
}

func lowerFirst(text string) string {
	if len(text) < 2 || text[1] >= 'A' && text[1] <= 'Z' { // such as UUIDv7
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// limits says in words what a value may be.
func (p *property) limits() string {
	kind := p.Type
	if list, several := kind.([]any); several {
		kind = list[0] // beside null
	}
	switch {
	case len(p.Enum) > 0:
		return "one of " + strings.Join(p.Enum, ", ")
	case p.Format == "uuid":
		return "a UUID"
	case p.Format == "date-time":
		return "a time such as 2026-03-01T12:00:00Z"
	case kind == "string" && p.MaxBytes > 0:
		return fmt.Sprintf("text of %d to %d bytes", p.MinLength, p.MaxBytes)
	case kind == "string":
		return "text"
	case kind == "array" && p.Items != nil:
		return fmt.Sprintf("a list of at most %d, each: %s", p.MaxItems, p.Items.limits())
	case p.Minimum != "" && p.Maximum != "":
		return fmt.Sprintf("%s %s to %s", article(kind), p.Minimum, p.Maximum)
	case kind == "boolean":
		return "true or false"
	}
	return "an object"
}

func article(kind any) string {
	if kind == "integer" {
		return "an integer,"
	}
	return "a number,"
}

// Nearest returns the types of ApplyLens with names like a given one, the nearest first: at most three.
func Nearest(name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, t := range events.Types() {
		// A name without its first or last part is as near as the whole one.
		full := t.String()
		short := strings.TrimSuffix(strings.TrimPrefix(full, "applylens."), ".v1")
		distance := min(edits(name, full), edits(name, short), edits(name, short+".v1"), edits(name, "applylens."+short))
		if distance <= 1+len(short)/4 {
			near = append(near, candidate{full, distance})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// suggestion names, within a sentence about a type's name, the nearest one.
func suggestion(name string) string {
	if near := Nearest(name); len(near) > 0 {
		return " (did you mean " + near[0] + "?)"
	}
	return ""
}

// edits counts the characters to insert, delete or replace, to make one name of another: no more than needed for names.
func edits(from, to string) int {
	from = from[:min(len(from), 100)]
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(from) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(to) {
			replaced := diagonal
			if from[i] != to[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(to)]
}
