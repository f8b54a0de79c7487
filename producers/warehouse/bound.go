package warehouse

import (
	"errors"
	"fmt"
	"io"

	"github.com/applylens/applylens/internal/printable"
)

// limits bound what an export may take, whatever its files claim: a small compressed file can unpack to any size. Rows of the
// view have some hundred bytes.
type limits struct {
	field    int   // bytes of a value
	list     int   // elements of a value
	row      int   // bytes of a row
	columns  int   // of a file
	rows     int64 // of all files
	unpacked int64 // bytes of all files
	memory   int64 // bytes that decoding a Parquet file may take
}

var exportLimits = limits{
	field: 64 << 10, list: 1000, row: 1 << 20, columns: 1000, rows: 10_000_000, unpacked: 32 << 30, memory: 512 << 20,
}

// boundError means that a file exceeds one of the limits, and that the rest of it is not read. Its text says which, and what
// to do.
type boundError struct{ detail string }

// Error implements error.
func (e *boundError) Error() string { return e.detail }

func exceeds(row int64, format string, arguments ...any) error {
	return &boundError{fmt.Sprintf("row %d: ", row) + fmt.Sprintf(format, arguments...)}
}

// bounded reads unpacked text. It returns an error once a row has more bytes than it may have, or all files together.
type bounded struct {
	in     io.Reader
	limits *limits
	row    int64  // number of the current row; the header is 0
	left   int    // bytes that may still be read for it
	total  *int64 // bytes of all files
	failed error
}

// next begins a row. The buffer above may read ahead for it.
func (b *bounded) next(buffer int) {
	b.row++
	b.left = b.limits.row + buffer
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.failed != nil:
	case b.left <= 0:
		b.failed = exceeds(b.row, "it has more than the %d bytes that a row may have: look for a missing quotation mark, or export fewer columns", b.limits.row)
	case *b.total >= b.limits.unpacked:
		b.failed = exceeds(b.row, "the files unpack to more than %d bytes: split the export into sources of their own", b.limits.unpacked)
	default:
		n, err := b.in.Read(p[:min(len(p), b.left)])
		b.left -= n
		*b.total += int64(n)
		return n, err
	}
	return 0, b.failed
}

// check returns a *RowError if a value of a row is larger than a value may be.
func (l *limits) check(row int64, column string, size, elements int) error {
	switch {
	case size > l.field:
		return &RowError{fmt.Sprintf("row %d cannot be read: column %s has %d bytes, the most is %d", row, printable.Text(column), size, l.field)}
	case elements > l.list:
		return &RowError{fmt.Sprintf("row %d cannot be read: column %s has more than %d elements", row, printable.Text(column), l.list)}
	}
	return nil
}

// isBound reports whether err is a *boundError.
func isBound(err error) bool {
	var bound *boundError
	return errors.As(err, &bound)
}
