package events

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
)

// samples are the golden samples, one record of each type.
//
//go:embed testdata/*.v1.json
var samples embed.FS

// Sample returns a valid record with every field of a type set; false for TypeUnknown and TypeForeign. Its source is that of a
// deployment of ApplyLens.
func Sample(t Type) (Record, bool) {
	text, err := samples.ReadFile("testdata/" + t.String() + ".json")
	if err != nil {
		return Record{}, false
	}
	var golden struct {
		Headers [][2]string
		Key     string
		Value   json.RawMessage
	}
	var value bytes.Buffer
	if err := json.Unmarshal(text, &golden); err != nil {
		panic(fmt.Sprintf("the sample of %v: %v", t, err)) // a broken file of this package
	}
	if err := json.Compact(&value, golden.Value); err != nil {
		panic(fmt.Sprintf("the sample of %v: %v", t, err))
	}
	record := Record{Key: []byte(golden.Key), Value: value.Bytes()}
	for _, header := range golden.Headers {
		record.Headers = append(record.Headers, Header{header[0], []byte(header[1])})
	}
	return record, true
}
