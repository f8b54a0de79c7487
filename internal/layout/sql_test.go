package layout_test

import (
	"go/ast"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// statement finds an SQL statement, which begins with a keyword in capitals.
var statement = regexp.MustCompile(`^\s*(?:--.*\s+)*(?:SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|COPY|LOCK|TRUNCATE|CREATE|ALTER|DROP|SET|SAVEPOINT|ROLLBACK|BEGIN|COMMIT|LISTEN|NOTIFY|CALL|DO)\s`)

// withoutSQL are the folders whose statements are all in consumers/ledger.
var withoutSQL = []string{"consumers", "consumers/rebuild", "consumers/operate"}

// ownSQL are files there that have statements of their own, with the reason.
var ownSQL = map[string]string{
	"consumers/rebuild/compare.go": "it lets its snapshot live for long",
	"consumers/rebuild/digest.go":  "it reads the rows of a projection, whose tables its group names",
}

// statements lists the SQL statements of a Go file.
func statements(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(node ast.Node) bool {
		if n, ok := node.(*ast.BasicLit); ok && statement.MatchString(literal(n)) {
			found = append(found, literal(n))
		}
		return true
	})
	return found
}

// The loop and its tools leave all SQL to the ledger.
func TestTheLoopsSQLIsInTheLedger(t *testing.T) {
	all := sources(t)
	inLedger := 0
	for path, file := range all {
		folder := filepath.ToSlash(filepath.Dir(path))
		list := statements(file)
		if folder == "consumers/ledger" {
			inLedger += len(list)
		}
		if !slices.Contains(withoutSQL, folder) || ownSQL[filepath.ToSlash(path)] != "" {
			continue
		}
		for _, sql := range list {
			t.Errorf("%s has a statement: move it to consumers/ledger, or give a reason in ownSQL:\n%s", path, sql)
		}
	}
	for path := range ownSQL {
		if file := all[filepath.FromSlash(path)]; file == nil || len(statements(file)) == 0 {
			t.Errorf("%s is excused for having statements but has none", path)
		}
	}
	if inLedger < 30 {
		t.Errorf("only %d statements are found in consumers/ledger: the scan is blind", inLedger)
	}
}

// The scan must see what it is meant to see.
func TestStatementsAreFound(t *testing.T) {
	file := parse(t, "package p\n"+
		"const a = `\nSELECT 1`\n"+
		"const b = `\n-- why\nWITH x AS (SELECT 1) SELECT 2`\n"+
		"func f() { run(`DELETE FROM t`); run(\"SET LOCAL x = 0\"); fail(\"SELECTED nothing\"); fail(\"update it\") }\n")
	if got := statements(file); len(got) != 4 {
		t.Errorf("found %q, want four statements", got)
	}
}
