package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/applylens/applylens/internal/printable"
)

// output is the flag of every command that prints a table.
type output struct {
	JSON bool `help:"Print JSON instead of a table."`
}

// print writes value as JSON, or the rows below the header as a table.
func (o output) print(w io.Writer, value any, header []string, rows [][]string) error {
	if o.JSON {
		return printJSON(w, value)
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable.Text(cell)
		}
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// quote writes a word for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// printJSON writes one value.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(printable.JSONWriter(w))
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
