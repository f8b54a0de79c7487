package warehouse

import (
	"context"
	"time"
)

// Source is a source of applications: a view in a warehouse, or an export.
type Source interface {
	// Name identifies the source across restarts. It contains no secret.
	Name() string

	// Open starts reading the rows whose synced_at is since or later; the zero time means all. A source without a
	// cursor always returns all. It returns a *DriftError if the warehouse rejects the query because its tables have
	// changed; every other error counts as an outage.
	Open(ctx context.Context, since time.Time) (Rows, error)
}

// Rows are the rows of one read, in any order. They are not safe for concurrent use.
type Rows interface {
	// Columns returns the names and kinds of the values, in order.
	Columns() []Column

	// Next returns the values of the next row, valid until the next call, and io.EOF after the last. A *RowError means
	// that one row cannot be read; the next call continues after it.
	Next(ctx context.Context) ([]any, error)

	// Progress returns how much was read, and the total, in any unit. The total is 0 if unknown.
	Progress() (done, total int64)

	Close() error
}

// Column is a column of a source.
type Column struct {
	Name string
	Kind Kind
}

// Kind is the type of a column's values: string for KindText, []string for KindTexts, time.Time for KindTime, bool for
// KindBool and int64 or float64 for KindNumber; nil means null for all.
type Kind string

// The kinds. A source without types, such as CSV, has KindUnknown for all: its values are texts of any kind.
const (
	KindUnknown Kind = ""
	KindText    Kind = "text"
	KindTexts   Kind = "list of texts"
	KindTime    Kind = "time"
	KindBool    Kind = "boolean"
	KindNumber  Kind = "number"
	KindOther   Kind = "other"
)

// DriftError means that the source does not have the required columns. Its text says what is wrong.
type DriftError struct{ Detail string }

// Error implements error.
func (e *DriftError) Error() string { return e.Detail }

// RowError means that one row cannot be read. Its text contains only the position of the row.
type RowError struct{ Detail string }

// Error implements error.
func (e *RowError) Error() string { return e.Detail }
