package bigquery

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/producers/warehouse"
)

// kind returns the kind of a field's values. The API uses the older names of types or those of SQL.
func (f field) kind() warehouse.Kind {
	repeated := f.Mode == "REPEATED"
	switch strings.ToUpper(f.Type) {
	case "STRING":
		if repeated {
			return warehouse.KindTexts
		}
		return warehouse.KindText
	case "TIMESTAMP", "DATETIME", "DATE":
		if !repeated {
			return warehouse.KindTime
		}
	case "BOOLEAN", "BOOL":
		if !repeated {
			return warehouse.KindBool
		}
	case "INTEGER", "INT64", "FLOAT", "FLOAT64":
		if !repeated {
			return warehouse.KindNumber
		}
	}
	return warehouse.KindOther
}

// value reads a cell: null, a text, or a list of cells. A value of another form is returned as it is, and reported when the
// row is decoded.
func (f field) value(cell json.RawMessage) any {
	switch f.kind() {
	case warehouse.KindTexts:
		return textsOf(cell)
	case warehouse.KindOther:
		return nil
	}
	var text *string
	if err := json.Unmarshal(cell, &text); err != nil {
		return cell
	}
	if text == nil {
		return nil
	}
	return f.parse(*text)
}

func textsOf(cell json.RawMessage) any {
	var elements []struct {
		V *string `json:"v"`
	}
	if err := json.Unmarshal(cell, &elements); err != nil {
		return cell
	}
	list := make([]string, 0, len(elements))
	for _, element := range elements {
		if element.V != nil {
			list = append(list, *element.V)
		}
	}
	return list
}

// parse parses a text as the field's type. A TIMESTAMP is a number of microseconds, as requested.
func (f field) parse(text string) any {
	switch strings.ToUpper(f.Type) {
	case "TIMESTAMP":
		if micros, err := strconv.ParseInt(text, 10, 64); err == nil {
			return time.UnixMicro(micros)
		}
	case "INTEGER", "INT64":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case "FLOAT", "FLOAT64":
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			return x
		}
	}
	return text // STRING, DATE, DATETIME and booleans are decoded from text later
}
