package warehouse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// changeKind is what a record of a change topic means for one application.
type changeKind int

const (
	changeNone     changeKind = iota // nothing, such as a heartbeat or a message of the database's log
	changePut                        // the row is as told
	changeDelete                     // the row is gone
	changeTruncate                   // all rows are gone
)

// change is one record of a change topic.
type change struct {
	kind   changeKind
	values []any // in the order of the view's columns; for a deletion only the key's are of use
}

// inOrder are the places of a row whose columns stand in the view's order.
var inOrder = func() (at places) {
	for i := range at {
		at[i] = i
	}
	return at
}()

// optionalInTopics are columns that a captured table need not have: a deletion is told by the record.
var optionalInTopics = []int{columnSyncedAt, columnDeleted}

// envelope is Debezium's form of a change.
type envelope struct {
	Op     string         `json:"op"`
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
}

// parseChange reads a record in Debezium's JSON, with or without the schema around it. A record without a value is the
// tombstone that follows a deletion. It returns a *DriftError for a row that lacks a column, and any other error for
// a record that is not of that form.
func parseChange(key, value []byte) (change, error) {
	if len(bytes.TrimSpace(value)) == 0 || bytes.Equal(bytes.TrimSpace(value), []byte("null")) {
		return tombstone(key)
	}
	var e envelope
	if err := payload(value, &e); err != nil {
		return change{}, err
	}
	switch e.Op {
	case "c", "u", "r":
		values, err := rowOf(e.After, false)
		return change{changePut, values}, err
	case "d":
		values, err := rowOf(e.Before, true)
		if err != nil {
			return tombstone(key)
		}
		return change{changeDelete, values}, nil
	case "t":
		return change{kind: changeTruncate}, nil
	case "m":
		return change{}, nil
	case "":
		return change{}, errors.New("has no op: is it a change in Debezium's form?")
	}
	return change{}, fmt.Errorf("has the unknown op %q", printable(e.Op))
}

// tombstone reads a deletion that has only a key.
func tombstone(key []byte) (change, error) {
	var row map[string]any
	if err := payload(key, &row); err != nil {
		return change{}, fmt.Errorf("has a key that cannot be read: %w", err)
	}
	values, err := rowOf(row, true)
	if err != nil {
		return change{}, errors.New("has a key without system and application_id")
	}
	return change{changeDelete, values}, nil
}

// payload reads JSON, below "payload" where a schema stands beside it.
func payload(text []byte, into any) error {
	var wrapped struct{ Schema, Payload json.RawMessage }
	if err := decodeJSON(text, &wrapped); err != nil {
		return errors.New("is no JSON object")
	}
	if wrapped.Schema != nil && wrapped.Payload != nil {
		text = wrapped.Payload
	}
	if err := decodeJSON(text, into); err != nil {
		return errors.New("is not of Debezium's form")
	}
	return nil
}

func decodeJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// rowOf puts a row's members into the order of the columns; of a deleted row only the key is asked for.
func rowOf(row map[string]any, keyOnly bool) ([]any, error) {
	values := make([]any, columnCount)
	var missing []string
	for i, name := range columnNames {
		value, found := row[name]
		switch {
		case keyOnly && i > columnApplicationID:
		case !found && !slices.Contains(optionalInTopics, i):
			missing = append(missing, "column "+name+" is missing")
		default:
			values[i] = plain(value)
		}
	}
	if missing != nil {
		return nil, &DriftError{strings.Join(missing, "; ")}
	}
	return values, nil
}

// plain turns a JSON number into a Go one.
func plain(value any) any {
	number, ok := value.(json.Number)
	if !ok {
		return value
	}
	if n, err := number.Int64(); err == nil {
		return n
	}
	if x, err := number.Float64(); err == nil {
		return x
	}
	return number.String()
}
