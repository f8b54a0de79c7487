package mailimport

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// TestArchivesAreRefused by what they are, whatever their names: their members would be read as one mbox.
func TestArchivesAreRefused(t *testing.T) {
	zipped := func(name string, method uint16) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		member, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = member.Write([]byte(from + "A: 1\n\nx\n"))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	tarred := func() string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		content := from + "A: 1\n\nx\n"
		err := w.WriteHeader(&tar.Header{Name: "Takeout/Mail/All mail.mbox", Size: int64(len(content)), Mode: 0o600})
		if err == nil {
			_, err = w.Write([]byte(content))
		}
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	gzippedText := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write([]byte(text))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	mail := from + "A: 1\n\nx\n"
	for name, test := range map[string]struct{ content, refused string }{
		"mail.mbox":     {mail, ""},
		"mail.mbox.gz":  {gzippedText(mail), ""},
		"short.eml":     {"A: 1\n", ""},
		"empty.mbox":    {"", ""},
		"stored.mbox":   {zipped("a.mbox", zip.Store), "a zip archive"},
		"packed.eml":    {zipped("a.mbox", zip.Deflate), "a zip archive"},
		"takeout.mbox":  {tarred(), "a tar archive"},
		"takeout.tgz":   {gzippedText(tarred()), "a tar archive"},
		"twice.mbox.gz": {gzippedText(gzippedText(mail)), "a gzip file"},
		"zip.mbox.gz":   {gzippedText(zipped("a.mbox", zip.Store)), "a zip archive"},
		"mail.mbox.bz2": {"BZh91AY&SY", "a bzip2 file"},
		"mail.pst":      {"!BDN....", "an Outlook data file"},
	} {
		path := filepath.Join(tree(t, map[string]string{name: test.content}), name)
		s, err := input{path: path}.open(t.Context(), nil, bufio.NewReaderSize(nil, known), new(atomic.Int64))
		switch {
		case test.refused == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.refused == "":
			content, err := io.ReadAll(s)
			if err = errors.Join(err, s.close()); err != nil || string(content) != mail && name[0] == 'm' {
				t.Errorf("%s: %q, %v", name, content, err)
			}
		case err == nil || !strings.Contains(err.Error(), test.refused) || !strings.Contains(err.Error(), "unpack it"):
			t.Errorf("%s: %v, want %s", name, err, test.refused)
		}
	}
}
