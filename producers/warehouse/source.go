package warehouse

import (
	"context"
	"time"
)

// Source is where a sync reads applications: a view of a warehouse, or an export of one.
type Source interface {
	// Name identifies the source over restarts and holds no secret.
	Name() string

	// Open begins to read the rows whose synced_at is since or later; the zero time asks for all. A source without a
	// cursor returns all in any case. It returns a *DriftError when the warehouse refuses because its tables are not
	// what they were; every other error is taken for an outage.
	Open(ctx context.Context, since time.Time) (Rows, error)
}

// Rows are what one read brings, in any order. They are not for concurrent use.
type Rows interface {
	// Columns tells the names and kinds of the values, in their order.
	Columns() []Column

	// Next returns the values of the next row, which are good until the next call, and io.EOF after the last. A
	// *RowError stands for one row that cannot be read; reading goes on behind it.
	Next(ctx context.Context) ([]any, error)

	// Progress tells how much was read of how much, in whatever unit; the total is 0 when it is not known.
	Progress() (done, total int64)

	Close() error
}

// Column is a column of a source.
type Column struct {
	Name string
	Kind Kind
}

// Kind is what a column's values are: string for KindText, []string for KindTexts, time.Time for KindTime, bool for
// KindBool and int64 or float64 for KindNumber; nil stands for null in all.
type Kind string

// The kinds. A source that knows no types, such as CSV, has KindUnknown for all: its values are texts that mean any kind.
const (
	KindUnknown Kind = ""
	KindText    Kind = "text"
	KindTexts   Kind = "list of texts"
	KindTime    Kind = "time"
	KindBool    Kind = "boolean"
	KindNumber  Kind = "number"
	KindOther   Kind = "other"
)

// DriftError tells that the source is not of the form that it should have. Its text names what is wrong.
type DriftError struct{ Detail string }

// Error implements error.
func (e *DriftError) Error() string { return e.Detail }

// RowError tells that one row cannot be read. Its text holds nothing of the row but its place.
type RowError struct{ Detail string }

// Error implements error.
func (e *RowError) Error() string { return e.Detail }
