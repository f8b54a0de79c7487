package layout_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// packagesInMap returns the packages that README.md names under "Where things are": the first word of each indented line.
func packagesInMap(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n## Where things are\n")
	if !found {
		t.Fatal(`README.md has no section "Where things are"`)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	var named []string
	for line := range strings.Lines(section) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "    ") && len(fields) > 0 {
			named = append(named, fields[0])
		}
	}
	return named
}

func TestReadmeNamesEveryPackageOnce(t *testing.T) {
	named := packagesInMap(t)
	count := map[string]int{}
	for _, path := range named {
		count[path]++
	}
	for path := range imports(t) {
		switch count[path] {
		case 0:
			t.Errorf(`README.md, "Where things are": %s is missing; add a line with half a sentence on it`, path)
		case 1:
		default:
			t.Errorf(`README.md, "Where things are": %s is listed %d times`, path, count[path])
		}
	}
	if slices.ContainsFunc(named, func(path string) bool { return strings.Contains(path, "...") || strings.HasSuffix(path, "/") }) {
		t.Error(`README.md, "Where things are": a line names a whole folder; name each package`)
	}
}
