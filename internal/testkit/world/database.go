package world

import (
	"github.com/jackc/pgx/v5"
)

// holder is a World or what embeds one.
type holder interface{ self() *World }

// Exec runs a statement.
func (w *World) Exec(sql string, args ...any) {
	w.Helper()
	_, err := w.Pool.Exec(w.Context(), sql, args...)
	w.Must(err)
}

// Int returns the number that a query gives.
func (w *World) Int(sql string, args ...any) int {
	w.Helper()
	return Scalar[int](w, sql, args...)
}

// Scalar returns the one value that a query gives.
func Scalar[T any](of holder, sql string, args ...any) T {
	w := of.self()
	w.Helper()
	var value T
	w.Must(w.Pool.QueryRow(w.Context(), sql, args...).Scan(&value))
	return value
}

// Column returns the values that a query gives, one for each row.
func Column[T any](of holder, sql string, args ...any) []T {
	w := of.self()
	w.Helper()
	return collect(w, pgx.RowTo[T], sql, args)
}

// Rows returns what a query gives, each row as a struct whose fields stand in the order of the columns.
func Rows[T any](of holder, sql string, args ...any) []T {
	w := of.self()
	w.Helper()
	return collect(w, pgx.RowToStructByPos[T], sql, args)
}

func collect[T any](w *World, row pgx.RowToFunc[T], sql string, args []any) []T {
	w.Helper()
	rows, err := w.Pool.Query(w.Context(), sql, args...)
	w.Must(err)
	list, err := pgx.CollectRows(rows, row)
	w.Must(err)
	return list
}

// Map returns what a query of two columns gives, the second by the first.
func Map[K comparable, V any](of holder, sql string, args ...any) map[K]V {
	w := of.self()
	w.Helper()
	type pair struct {
		Key   K
		Value V
	}
	found := map[K]V{}
	for _, row := range Rows[pair](w, sql, args...) {
		found[row.Key] = row.Value
	}
	return found
}
