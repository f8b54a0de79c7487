// Package doctable reads tables of the documents, so that tests can hold every row to the code.
package doctable

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Rows returns the rows of the table with this heading, cell by cell. There must be one such table, with rows of as many cells.
func Rows(t testing.TB, path string, heading ...string) [][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows := find(string(text), heading)
	if len(rows) == 0 {
		t.Fatalf("%s has no table, or several, with the heading %q", path, heading)
	}
	for _, row := range rows {
		if len(row) != len(heading) {
			t.Fatalf("%s: the row %q has %d cells, want %d", path, row, len(row), len(heading))
		}
	}
	return rows
}

var code = regexp.MustCompile("`([^`]*)`")

// Codes returns what stands in backquotes in a cell that has several.
func Codes(cell string) (list []string) {
	for _, found := range code.FindAllStringSubmatch(cell, -1) {
		list = append(list, found[1])
	}
	return list
}

// find returns the rows of the only table with a heading.
func find(text string, heading []string) (rows [][]string) {
	tables, within := 0, false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch row := cells(line); {
		case !strings.HasPrefix(line, "|"):
			within = false
		case within && strings.Trim(line, "|-: ") != "":
			rows = append(rows, row)
		case !within && slices.Equal(row, heading):
			tables, within = tables+1, true
		}
	}
	if tables != 1 {
		return nil
	}
	return rows
}

// cells returns the cells of a row. A bar within one is written with a backslash.
func cells(line string) []string {
	const bar = "\x00"
	list := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, bar), "|"), "|")
	for i, cell := range list {
		list[i] = strings.TrimSpace(strings.ReplaceAll(cell, bar, "|"))
	}
	return list
}
