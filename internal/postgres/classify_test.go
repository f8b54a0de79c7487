package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestClassify(t *testing.T) {
	f := func(err error, want Class) {
		t.Helper()
		got := Classify(fmt.Errorf("wrapped: %w", err))
		if got != want {
			t.Errorf("%v is of class %d, want %d", err, got, want)
		}
		if passes := want != Permanent && want != Halt; got.Passes() != passes {
			t.Errorf("%v passes: %t, want %t", err, got.Passes(), passes)
		}
	}
	// Lost and refused connections, full and read-only servers, locks that took too long, outages.
	for _, code := range []string{"08006", "40003", "53300", "53100", "57P01", "57P03", "58030", "55P03", "25006", "25P03"} {
		f(&pgconn.PgError{Code: code}, Transient)
	}
	f(errors.New("connection reset by peer"), Transient)
	f(&pgconn.PgError{Code: "57014"}, Timeout)
	f(context.DeadlineExceeded, Timeout)
	f(&pgconn.PgError{Code: "40001"}, Conflict)
	f(&pgconn.PgError{Code: "40P01"}, Conflict)
	f(&pgconn.PgError{Code: "23505", ConstraintName: "processed_effects_weights_1_pkey"}, Conflict)
	f(&pgconn.PgError{Code: "22001"}, Permanent)
	f(&pgconn.PgError{Code: "54000"}, Permanent)
	f(&pgconn.PgError{Code: "23514", ConstraintName: "outbox_state"}, Permanent)
	f(&pgconn.PgError{Code: "23514"}, Halt) // no partition takes the row
	for _, code := range []string{"42P01", "42501", "25001", "28P01", "3D000", "23505", "XX001"} {
		f(&pgconn.PgError{Code: code}, Halt)
	}
}
