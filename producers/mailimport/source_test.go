package mailimport

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree creates files and their directories in a temporary directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestInputs(t *testing.T) {
	dir := tree(t, map[string]string{
		"Maildir/cur/1:2,S": "x", "Maildir/new/2": "x", "Maildir/tmp/3": "x", "Maildir/.Jobs/cur/4": "x", "Maildir/dovecot.index": "x",
		"a.EML": "x", "b.mbox.gz": "x", "notes.txt": from, "Inbox": from + "A: 1\n", "Inbox.msf": from, "README": "From here on\n",
		"Lists.2024": from + "Subject: 1\n", "V/1.partial.emlx": "x",
	})
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(dir, "Maildir/cur/loop")
	link("../a.EML", "Maildir/cur/5")
	link("gone", "c.eml")
	f := func(path string) {
		t.Helper()
		files, faults, err := inputs(path)
		if err != nil || len(faults) > 0 {
			t.Fatal(err, faults)
		}
		var names []string
		for _, file := range files {
			name, _ := filepath.Rel(dir, file.path)
			names = append(names, name)
		}
		want := []string{"Inbox", "Lists.2024", "Maildir/.Jobs/cur/4", "Maildir/cur/1:2,S", "Maildir/new/2", "V/1.partial.emlx", "a.EML", "b.mbox.gz"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Error(diff)
		}
	}
	f(dir)
	outside := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, outside); err != nil {
		t.Fatal(err)
	}
	f(outside)
	if _, _, err := inputs(filepath.Join(dir, "Maildir/tmp")); err == nil {
		t.Error("a directory without mail is accepted")
	}
	if _, _, err := inputs(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
