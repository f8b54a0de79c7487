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
	changeNone     changeKind = iota // nothing, such as a heartbeat or a logical decoding message
	changePut                        // the row has these values
	changeDelete                     // the row was deleted
	changeTruncate                   // all rows were deleted
)

// change is one record of a change topic.
type change struct {
	kind   changeKind
	values []any // in the order of the view's columns; a deletion has only those of the key
}

// inOrder are the indices of a row whose columns are in the view's order.
var inOrder = func() (at places) {
	for i := range at {
		at[i] = i
	}
	return at
}()

// optionalInTopics are columns that a captured table need not have: the record itself says whether the row was deleted.
var optionalInTopics = []int{columnSyncedAt, columnDeleted}

// envelope is Debezium's format of a change.
type envelope struct {
	Op            string
	Before, After map[string]any
}

// UnmarshalJSON implements json.Unmarshaler. It takes members by their exact names only, unlike Go's decoder.
func (e *envelope) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	for name, into := range map[string]any{"op": &e.Op, "before": &e.Before, "after": &e.After} {
		if value, has := members[name]; has {
			if err := decodeJSON(value, into); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseChange parses a record in Debezium's JSON format, with or without the schema envelope. A record without a value is
// the tombstone after a deletion. It returns a *DriftError for a row without a required column, and another error for a
// record in another format.
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
		return change{}, errors.New("has no op: is it a change in Debezium's format?")
	}
	return change{}, fmt.Errorf("has the unknown op %q", shorten(e.Op))
}

// tombstone parses a deletion that has only a key.
func tombstone(key []byte) (change, error) {
	var row map[string]any
	if err := payload(key, &row); err != nil {
		return change{}, fmt.Errorf("has an invalid key: %w", err)
	}
	values, err := rowOf(row, true)
	if err != nil {
		return change{}, errors.New("has a key without system and application_id")
	}
	return change{changeDelete, values}, nil
}

// payload parses JSON; if there is a schema envelope, the member "payload".
func payload(text []byte, into any) error {
	var wrapped map[string]json.RawMessage
	if err := decodeJSON(text, &wrapped); err != nil {
		return errors.New("is not a JSON object")
	}
	if wrapped["schema"] != nil && wrapped["payload"] != nil {
		text = wrapped["payload"]
	}
	if err := decodeJSON(text, into); err != nil {
		return errors.New("is not in Debezium's format")
	}
	return nil
}

func decodeJSON(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// rowOf returns a row's members in the order of the columns. A deleted row needs only its key.
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

// plain converts a JSON number to a Go number.
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
