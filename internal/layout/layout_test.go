// Package layout_test checks which packages may import which, and that README.md names every package.
package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/applylens/applylens/"

// goList runs go list once for all tests.
var goList = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
})

// imports returns the direct imports of every package of the module, tests left out, by path without the module's name.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	out, err := goList()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	result := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		result[strings.TrimPrefix(fields[0], module)] = fields[1:]
	}
	return result
}

// sources parses every Go file of the module outside of tests, by path below the module's folder.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	root := filepath.Join("..", "..")
	result := map[string]*ast.File{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err == nil {
			result[name], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// parse parses a Go file that a test made up.
func parse(t *testing.T, source string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "made_up.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func TestPackagesDependInOneDirection(t *testing.T) {
	// A rule: packages in from may not import packages in any of to.
	rules := []struct {
		from string
		to   []string
	}{
		{"events", []string{"cmd", "consumers", "producers", "internal", "schema"}},
		{"schema", []string{"cmd", "consumers", "producers", "internal", "events"}},
		{"consumers", []string{"producers", "cmd", "internal/api", "internal/testkit/crash", "internal/search/postgres", "internal/search/elastic"}},
		{"producers", []string{"consumers", "cmd", "internal/api", "internal/testkit/crash"}},
		{"internal/api", []string{"consumers", "producers", "internal/search/postgres", "internal/search/elastic"}}, // it uses only the port
		{"internal/actions", []string{"internal/api", "consumers", "producers", "cmd"}},                             // the relay calls it too
		{"internal", []string{"cmd"}},
	}
	for path, list := range imports(t) {
		for _, imported := range list {
			own, isOwn := strings.CutPrefix(imported, module)
			for _, rule := range rules {
				for _, forbidden := range rule.to {
					if isOwn && within(path, rule.from) && within(own, forbidden) {
						t.Errorf("%s imports %s", path, own)
					}
				}
			}
		}
	}
}

// Pages have the rules of the API and the person's session, and no way around them. Attempts to sign in are counted before there is one.
func TestPagesAskTheAPI(t *testing.T) {
	all := imports(t)
	if len(all["web/page"]) == 0 {
		t.Error("there is no package web/page")
	}
	for path, list := range all {
		for _, imported := range list {
			own, isOwn := strings.CutPrefix(imported, module)
			if within(path, "web") && (isOwn && own != "web" && own != "internal/auth" && own != "internal/ratelimit" || within(imported, "github.com/jackc")) {
				t.Errorf("%s imports %s", path, imported)
			}
		}
	}
}

func TestProjectionsDoNotImportEachOther(t *testing.T) {
	all := imports(t)
	for _, one := range projections {
		for _, imported := range all[one] {
			for _, other := range projections {
				if other != one && imported == module+other {
					t.Errorf("%s imports %s", one, other)
				}
			}
		}
	}
}

func TestEventsUseTheStandardLibraryOnly(t *testing.T) {
	for _, imported := range imports(t)["events"] {
		if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
			t.Errorf("events imports %s", imported)
		}
	}
}

// The query language, and the keys stored for it, are the same for every engine: they import none of them.
func TestTheSearchPortKnowsNoEngine(t *testing.T) {
	allowed := map[string][]string{
		"internal/tokenize": nil, "internal/moment": nil, "internal/search/keys": {"internal/domain", "internal/tokenize"},
		"internal/search": {"events", "internal/domain", "internal/moment", "internal/tokenize"}, "internal/domain": nil,
	}
	all := imports(t)
	for path, list := range allowed {
		if len(all[path]) == 0 {
			t.Errorf("there is no package %s", path)
		}
		for _, imported := range all[path] {
			own, isOwn := strings.CutPrefix(imported, module)
			if isOwn && !slices.Contains(list, own) || within(imported, "github.com/jackc") {
				t.Errorf("%s imports %s", path, imported)
			}
		}
	}
}

// Pure files import no client, clock or logger, so that the same events always fold to the same rows.
func TestPureFilesImportNoClientClockOrLogger(t *testing.T) {
	pure := []string{"consumers/weights/learn.go", "consumers/policystats/fold.go", "consumers/mailbox/fold.go", "consumers/mailbox/category.go",
		"consumers/enrichment/fold.go", "producers/warehouse/application.go", "producers/warehouse/change.go", "producers/warehouse/column.go",
		"producers/warehouse/guard.go", "producers/warehouse/schedule.go", "producers/warehouse/value.go"}
	for _, name := range pure {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", name), nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, spec := range file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			for _, forbidden := range []string{"net", "os", "log", "math/rand", "github.com/jackc", "github.com/segmentio", "github.com/twmb", "github.com/prometheus"} {
				if within(path, forbidden) || strings.HasPrefix(path, forbidden+"/") {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
