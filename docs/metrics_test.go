// Package docs_test holds the documents to what they describe.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// metric is what both the table and the code say of one metric.
type metric struct {
	Kind   string
	Labels string // as in the table
}

func TestMetricsAreListed(t *testing.T) {
	documented, code := tableOfMetrics(t), metricsOfCode(t)
	if len(code) == 0 {
		t.Fatal("no metric was found in the code")
	}
	if diff := cmp.Diff(documented, code); diff != "" {
		t.Errorf("docs/metrics.md and the code differ (-document +code):\n%s", diff)
	}
}

var row = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([a-z_, ]*?) ?\\| .+ \\|$")

func tableOfMetrics(t *testing.T) map[string]metric {
	t.Helper()
	text, err := os.ReadFile("metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]metric{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if _, twice := found[m[1]]; twice {
			t.Errorf("%s is listed twice", m[1])
		}
		found[m[1]] = metric{m[2], m[3]}
	}
	return found
}

// metricsOfCode reads every file of the tree that is not a test.
func metricsOfCode(t *testing.T) map[string]metric {
	t.Helper()
	found := finder{t: t, files: token.NewFileSet(), metrics: map[string]metric{}}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".."):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(found.files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, found.visit)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found.metrics
}

// finder collects the metrics that are made by calls whose names and labels are literals.
type finder struct {
	t       *testing.T
	files   *token.FileSet
	metrics map[string]metric
}

func (f *finder) visit(node ast.Node) bool {
	call, ok := node.(*ast.CallExpr)
	if !ok {
		return true
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	pkg, ok := selector.X.(*ast.Ident)
	if !ok {
		return true
	}
	switch name := selector.Sel.Name; {
	case pkg.Name == "promauto":
		f.t.Errorf("%s: promauto registers globally", f.files.Position(call.Pos()))
	case pkg.Name == "metrics" && name == "Counter" && len(call.Args) >= 3: // our own
		f.add(call, call.Args[1], "counter", call.Args[3:])
	case pkg.Name == "metrics" && name == "NewCounterSet" && len(call.Args) >= 3: // our own
		f.addSet(call)
	case pkg.Name == "prometheus" && name == "NewDesc":
		f.addDesc(call)
	case pkg.Name == "prometheus" && strings.HasPrefix(name, "New"):
		f.addOpts(call, name)
	}
	return true
}

// addSet adds the counters of a set.
func (f *finder) addSet(call *ast.CallExpr) {
	for _, counter := range call.Args[3:] {
		for _, element := range elements(counter) {
			if pair, ok := element.(*ast.KeyValueExpr); ok && pair.Key.(*ast.Ident).Name == "Name" {
				f.add(call, pair.Value, "counter", elements(call.Args[1]))
			}
		}
	}
}

// addDesc adds a metric that a collector makes when it is asked; by its name it is a counter or a gauge.
func (f *finder) addDesc(call *ast.CallExpr) {
	if passed, ok := call.Args[0].(*ast.SelectorExpr); ok && passed.Sel.Name == "Name" {
		return // metrics.NewCounterSet itself; its callers are found
	}
	kind := "gauge"
	if name, _ := literal(call.Args[0]); strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
	f.add(call, call.Args[0], kind, elements(call.Args[2]))
}

// addOpts adds a metric such as prometheus.NewCounterVec(prometheus.CounterOpts{Name: ...}, labels) makes.
func (f *finder) addOpts(call *ast.CallExpr, function string) {
	if len(call.Args) == 0 {
		return
	}
	options, ok := call.Args[0].(*ast.CompositeLit)
	if !ok {
		return // such as NewRegistry and NewProcessCollector
	}
	kind := strings.TrimPrefix(function, "New")
	kind = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(kind, "Vec"), "Func"))
	var labels []ast.Expr
	if strings.HasSuffix(function, "Vec") {
		labels = elements(call.Args[1])
	}
	for _, element := range options.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key := pair.Key.(*ast.Ident).Name; key {
		case "Name":
			if passed, ok := pair.Value.(*ast.Ident); ok && passed.Name == "name" {
				return // metrics.Counter itself; its callers are found
			}
			f.add(call, pair.Value, kind, labels)
		case "Namespace", "Subsystem":
			f.t.Errorf("%s: %s hides the metric's name from a search: write it whole", f.files.Position(call.Pos()), key)
		}
	}
}

// add notes a metric; several places may make the same one.
func (f *finder) add(call *ast.CallExpr, name ast.Expr, kind string, labels []ast.Expr) {
	at := f.files.Position(call.Pos())
	text, ok := literal(name)
	if !ok {
		f.t.Errorf("%s: the metric's name is no literal", at)
		return
	}
	names := make([]string, len(labels))
	for i, label := range labels {
		if names[i], ok = literal(label); !ok {
			f.t.Errorf("%s: a label of %s is no literal", at, text)
		}
	}
	found := metric{kind, strings.Join(names, ", ")}
	if before, twice := f.metrics[text]; twice && before != found {
		f.t.Errorf("%s: %s is %v here and %v elsewhere", at, text, found, before)
	}
	f.metrics[text] = found
}

// elements are those of a literal such as []string{"group"}; nil has none.
func elements(expr ast.Expr) []ast.Expr {
	switch e := expr.(type) {
	case *ast.CompositeLit:
		return e.Elts
	case *ast.Ident:
		if e.Name == "nil" {
			return nil
		}
	}
	return []ast.Expr{expr} // which add refuses
}

func literal(expr ast.Expr) (string, bool) {
	basic, ok := expr.(*ast.BasicLit)
	if !ok || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}
