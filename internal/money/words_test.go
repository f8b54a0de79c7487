package money

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// A phrase that a list has twice would count twice.
func TestNoListHasAPhraseTwice(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "words.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	ast.Inspect(file, func(node ast.Node) bool {
		list, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		seen := map[string]bool{}
		for _, element := range list.Elts {
			literal, ok := element.(*ast.BasicLit)
			if !ok {
				return true
			}
			phrase, _ := strconv.Unquote(literal.Value)
			if seen[phrase] {
				t.Errorf("words.go has %q twice in a list", phrase)
			}
			seen[phrase] = true
		}
		lists++
		return true
	})
	if lists < 20 {
		t.Errorf("only %d lists are found", lists)
	}
}
