package plans

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/applylens/applylens/schema"
)

// free are the packages whose statements PostgreSQL plans each time, or that have no parameters.
var free = []string{"internal/search/postgres", "producers/warehouse"}

// TestEveryUserOfAFunctionIsHeld: each package whose statements call a function or a view of ours that calls one holds
// their plans.
func TestEveryUserOfAFunctionIsHeld(t *testing.T) {
	uses := regexp.MustCompile(`\b(live_ats|touched_mails)\b|\b(` + strings.Join(functions(t), "|") + `)\(`)
	users, held := map[string]bool{}, map[string]bool{}
	for _, root := range []string{"cmd", "consumers", "internal", "producers"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			directory := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../../")
			switch {
			case strings.HasPrefix(directory, "internal/testkit"):
			case strings.HasSuffix(path, "_test.go"):
				held[directory] = held[directory] || strings.Contains(string(text), "plans.Hold(")
			default:
				users[directory] = users[directory] || uses.MatchString(withoutComments(string(text)))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, directory := range free {
		held[directory] = true
	}
	for directory, is := range users {
		if is && !held[directory] {
			t.Errorf("%s calls an SQL function: hold its statements with plans.Hold", directory)
		}
	}
}

// functions are the names of the functions that statements can call.
func functions(t *testing.T) []string {
	t.Helper()
	var names []string
	declared := regexp.MustCompile(`CREATE (?:OR REPLACE )?FUNCTION (\w+)\([^)]*\) RETURNS (\w+)`)
	files, err := fs.Glob(schema.Migrations, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := fs.ReadFile(schema.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
			if found[2] != "trigger" {
				names = append(names, found[1])
			}
		}
	}
	if len(names) == 0 {
		t.Fatal("the migrations declare no function")
	}
	return names
}

func withoutComments(text string) string {
	return regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(text, "")
}
