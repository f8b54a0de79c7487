package doctable

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFind(t *testing.T) {
	const text = "# A\n\n| a | b |\n|---|---|\n| `x, y` | z |\n| ` ` and `w` | |\n\ntext | a | b |\n\n| c |\n|---|\n| `1\\|2` |\n"
	f := func(heading []string, want ...[]string) {
		t.Helper()
		if diff := cmp.Diff(want, find(text, heading)); diff != "" {
			t.Error(diff)
		}
	}
	f([]string{"a", "b"}, []string{"`x, y`", "z"}, []string{"` ` and `w`", ""})
	f([]string{"c"}, []string{"`1|2`"})
	f([]string{"d"})
	if diff := cmp.Diff([]string{" ", "w"}, Codes("` ` and `w`, x")); diff != "" {
		t.Error(diff)
	}
	if find(text+"\n\n"+text, []string{"c"}) != nil {
		t.Error("of two tables one is taken")
	}
}
