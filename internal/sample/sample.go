// Package sample holds mail to try ApplyLens with: real list mail, newsletters and advertising of 2002, and invented
// mail about meetups, purchases and job applications. README.md beside this file tells where it comes from.
//
// The messages are in the order of their dates. The same time gives the same bytes for ever.
package sample

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"time"
)

// Owner is the address to which all of the sample was delivered.
const Owner = "sam@home.example"

// Span is the time over which Recent spreads the messages.
const Span = 6 * 7 * 24 * time.Hour

//go:embed mail.mbox.gz
var packed []byte

// Open returns the sample as an mbox with the dates that the messages came with.
func Open() io.Reader {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(fmt.Sprintf("sample: the embedded file is no gzip: %v", err)) // our bug, made when the file was
	}
	return unpacked
}

// Recent returns the sample as an mbox with the messages spread evenly over the Span before now, the last of them
// just before now. Only dates differ from Open. It holds the unpacked sample, some megabytes, in memory.
func Recent(now time.Time) io.Reader {
	text, err := io.ReadAll(Open())
	if err != nil {
		panic(fmt.Sprintf("sample: the embedded file is damaged: %v", err)) // as above
	}
	now = now.UTC().Truncate(time.Second)
	// The maker quotes all lines of texts that begin like a separator.
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
