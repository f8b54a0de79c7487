// Package sample has sample mail: real list mail, newsletters and advertising from 2002, and invented mail about meetups,
// purchases and job applications. README.md in this directory says where it comes from.
//
// The messages are ordered by date. The same time always yields the same bytes.
package sample

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"time"
)

// Owner is the address to which the sample mail was delivered.
const Owner = "sam@home.example"

// Span is the time over which Recent spreads the messages.
const Span = 6 * 7 * 24 * time.Hour

//go:embed mail.mbox.gz
var packed []byte

// Open returns the sample as an mbox with its original dates.
func Open() io.Reader {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(fmt.Sprintf("sample: the embedded file is no gzip: %v", err)) // a bug in the file
	}
	return unpacked
}

// Recent returns the sample as an mbox with the messages spread evenly over the Span before now, the last one just before
// now. Only dates differ from Open. It keeps the unpacked sample, some megabytes, in memory.
func Recent(now time.Time) io.Reader {
	text, err := io.ReadAll(Open())
	if err != nil {
		panic(fmt.Sprintf("sample: the embedded file is damaged: %v", err)) // a bug in the file
	}
	now = now.UTC().Truncate(time.Second)
	// In the file, all text lines that begin like a separator are quoted.
	count := bytes.Count(text, []byte("\n"+separator)) + 1
	var out bytes.Buffer
	out.Grow(len(text) + 8*count)
	var at time.Time
	number, header := 0, false
	for line := range bytes.Lines(text) {
		switch {
		case bytes.HasPrefix(line, []byte(separator)):
			number, header = number+1, true
			at = now.Add(-Span / time.Duration(count) * time.Duration(count-number)).Add(-time.Minute)
			fmt.Fprintf(&out, "%ssample@home.example %s\n", separator, at.Format(time.ANSIC))
		case header && bytes.HasPrefix(line, []byte("Date: ")):
			fmt.Fprintf(&out, "Date: %s\n", at.Format(time.RFC1123Z))
		default:
			header = header && len(line) > 1
			out.Write(line)
		}
	}
	return &out
}

const separator = "From "
