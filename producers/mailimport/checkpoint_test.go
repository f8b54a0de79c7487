package mailimport

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, dir string, restart bool, identity ...string) *checkpoint {
	t.Helper()
	c, err := openCheckpoint(dir, restart, identity...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.file.Close() })
	return c
}

func TestCheckpoint(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when", "needed")
	a, b := fingerprint{1}, fingerprint{2}
	first := open(t, dir, false, "u1", "t1")
	if err := first.note([]mark{{a, 100, 1}, {b, 7, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := first.note([]mark{{a, 200, 2}, {b, whole, 5}}); err != nil {
		t.Fatal(err)
	}
	if first.at(a) != (mark{}) {
		t.Error("a run uses its own marks")
	}
	if err := first.close(false); err != nil {
		t.Fatal(err)
	}
	second := open(t, dir, false, "u1", "t1")
	if diff := cmp.Diff(map[fingerprint]mark{a: {a, 200, 2}, b: {b, whole, 5}}, second.marks, cmp.AllowUnexported(mark{})); diff != "" {
		t.Error(diff)
	}
	for _, other := range [][]string{{"u2", "t1"}, {"u1", "t2"}, {"u1t1", ""}} {
		if got := open(t, dir, false, other...).marks; len(got) > 0 {
			t.Errorf("%v has the marks of another import", other)
		}
	}
	if got := open(t, dir, true, "u1", "t1").marks; len(got) > 0 {
		t.Error("--restart keeps marks")
	}
	if err := second.close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(second.path); !os.IsNotExist(err) {
		t.Error("a finished import leaves its checkpoint")
	}
	if err := open(t, dir, false, "u1", "t1").close(true); err != nil {
		t.Error(err)
	}
}

// TestCheckpointSurvivesATear checks that a line torn at any byte is ignored, and that marks written later are not.
func TestCheckpointSurvivesATear(t *testing.T) {
	dir := t.TempDir()
	a, b := fingerprint{1}, fingerprint{2}
	c := open(t, dir, false, "u")
	if err := c.note([]mark{{a, 100, 1}, {a, 20_000, 37}}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	first := len(fmt.Sprintf("%x 100 1.\n", a))
	for cut := first; cut <= len(text); cut++ {
		if err := os.WriteFile(c.path, text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		want := mark{a, 100, 1}
		if cut >= len(text)-1 {
			want = mark{a, 20_000, 37}
		}
		torn := open(t, dir, false, "u")
		if got := torn.at(a); got != want {
			t.Fatalf("cut at %d: %+v", cut, got)
		}
		if err := torn.note([]mark{{b, 5, 1}}); err != nil {
			t.Fatal(err)
		}
		if again := open(t, dir, false, "u"); again.at(a) != want || again.at(b) != (mark{b, 5, 1}) {
			t.Fatalf("cut at %d: %+v", cut, again.marks)
		}
	}
}
