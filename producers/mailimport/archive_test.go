package mailimport

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// file is one that an archive holds.
type archived struct{ name, content string }

func zipOf(t testing.TB, method uint16, files ...archived) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		member, err := w.CreateHeader(&zip.FileHeader{Name: f.name, Method: method})
		if err == nil {
			_, err = io.WriteString(member, f.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tarOf(t testing.TB, files ...archived) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.content)), Mode: 0o600})
		if err == nil {
			_, err = io.WriteString(w, f.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// single is a message with a subject.
func single(subject string) string {
	return "From: a@b.example\nSubject: " + subject + "\nMessage-Id: <" + subject + "@b>\nDate: 1 Mar 2025 10:00:00 +0000\n\nx\n"
}

// importFile imports one file and returns the subjects of what was published, sorted.
func importFile(t *testing.T, name, content string) (all []string, result Result, err error) {
	t.Helper()
	_, conn := connect(t)
	config, _ := configOf(t, nil)
	config.Paths = []string{filepath.Join(tree(t, map[string]string{name: content}), name)}
	result, err = Run(t.Context(), conn, config)
	return distinct(published(t, conn)), result, err
}

func TestArchivesAreRead(t *testing.T) {
	files := []archived{
		{"Takeout/Mail/All mail Including Spam and Trash.mbox", from + single("mbox") + "\n" + from + single("second")},
		{"Takeout/archive_browser.html", "<html>"},
		{"Takeout/Mail/User Settings/Vacation.json", "{}"},
		{"Maildir/cur/1:2,S", single("maildir")},
		{"Maildir/cur/2:2,T", single("deleted")},
		{"Maildir/new/3", single("new")},
		{"Maildir/tmp/4", single("half written")},
		{"Maildir/.Trash/cur/5:2,", single("trash")},
		{"../../../etc/passwd.eml", single("traversal")},
		{"/absolute.eml", single("absolute")},
		{`windows\cur\6`, single("windows")},
		{"__MACOSX/._a.eml", "\x00\x05\x16\x07"},
		{"packed.mbox.gz", gzipOf(t, from+single("packed"))},
		{"Inbox", from + single("no ending")},
		{"empty.eml", ""},
	}
	want := []string{"absolute", "maildir", "mbox", "new", "no ending", "packed", "second", "traversal", "windows"}
	for name, content := range map[string]string{
		"stored.zip": zipOf(t, zip.Store, files...), "deflated.zip": zipOf(t, zip.Deflate, files...),
		"a.tar": tarOf(t, files...), "a.tgz": gzipOf(t, tarOf(t, files...)), "no-ending": zipOf(t, zip.Deflate, files...),
	} {
		t.Run(name, func(t *testing.T) {
			all, result, err := importFile(t, name, content)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, all); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(Result{Imported: len(want), LeftOut: 2}, result); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestArchivesThatCannotBeRead(t *testing.T) {
	f := func(name, content, fault string, imported ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			all, _, err := importFile(t, name, content)
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%v, want %q", err, fault)
			}
			if diff := cmp.Diff(imported, all); diff != "" {
				t.Error(diff)
			}
		})
	}
	good := archived{"a.eml", single("good")}
	f("nothing.zip", zipOf(t, zip.Store, archived{"a.png", "\x89PNG"}), "no mail file in ")
	f("empty.zip", zipOf(t, zip.Store), "no mail file in ")
	f("nested.zip", zipOf(t, zip.Store, archived{"b.mbox", zipOf(t, zip.Store, good)}, good), "1 files in ", "good")
	f("nested.tar", tarOf(t, archived{"b.mbox", tarOf(t, good)}, good), "1 files in ", "good")
	whole := tarOf(t, good, archived{"b.eml", single("cut off") + strings.Repeat("x", 4000)})
	f("torn.tar", whole[:2048], "unexpected EOF", "good")
	f("torn.zip", zipOf(t, zip.Store, good)[:60], "not a valid zip file")
	damaged := []byte(zipOf(t, zip.Deflate, archived{"b.mbox", from + single(strings.Repeat("long ", 100))}, good))
	damaged[45] ^= 0xff
	f("damaged.zip", string(damaged), "1 files in ", "good")
	locked := zipOf(t, zip.Store, archived{"b.eml", single("secret")}, good)
	directory := strings.Index(locked, "PK\x01\x02")
	f("locked.zip", locked[:directory+8]+"\x01"+locked[directory+9:], "1 files in ", "good")
}

// drain reads a file, and what is in it, and returns how many bytes came out.
func drain(t *testing.T, in input) (int64, error) {
	t.Helper()
	s, err := in.open(t.Context(), nil, bufio.NewReaderSize(nil, known), new(atomic.Int64))
	if err != nil {
		return 0, err
	}
	defer s.close()
	if s.holds == "" {
		return io.Copy(io.Discard, s)
	}
	var total int64
	err = s.members(func(m *member) error {
		n, err := drain(t, m.input(in.path, s.unpacked))
		total += n
		return err
	})
	return total, err
}

// TestBombs: what comes out of an archive is bounded, however it is packed.
func TestBombs(t *testing.T) {
	part := gzipOf(t, strings.Repeat("x", unpackedBase/3+16<<20)) // gzip files one behind the other are one
	whole := strings.Repeat(part, 3)
	in := archived{"a.mbox.gz", part}
	for name, content := range map[string]string{
		"bomb.mbox.gz": whole, "bomb.tar": tarOf(t, in, in, in), "bomb.zip": zipOf(t, zip.Store, archived{"a.mbox.gz", whole}),
	} {
		path := filepath.Join(tree(t, map[string]string{name: content}), name)
		size := int64(len(content))
		if came, err := drain(t, input{path: path, size: size}); !errors.Is(err, errUnpacked) || came > mostUnpacked(size) || size > 1<<20 {
			t.Errorf("%s: %d bytes of %d, %v", name, came, size, err)
		}
	}
}

// TestZipsWithTooManyFiles are not kept in memory.
func TestZipsWithTooManyFiles(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	name := strings.Repeat("x", 30_000)
	for i := range directorySize/len(name) + 100 {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i, name)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := importFile(t, "many.zip", b.String()); !errors.Is(err, errMembers) {
		t.Errorf("%v", err)
	}
}

func TestArchivesResume(t *testing.T) {
	const count = 5 * batchMessages
	var files []archived
	var want []string
	for i := range count {
		files = append(files, archived{fmt.Sprintf("cur/%d", i), single(fmt.Sprint(i))})
		want = append(want, fmt.Sprint(i))
	}
	slices.Sort(want)
	for name, content := range map[string]string{
		"a.zip": zipOf(t, zip.Deflate, files...), "a.tar": tarOf(t, files...), "b.zip": zipOf(t, zip.Deflate, archived{"a.mbox", manyMessages(count)}),
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := connect(t)
			path := filepath.Join(tree(t, map[string]string{name: content}), name)
			ctx, end := context.WithCancel(t.Context())
			config, _ := configOf(t, nil)
			config.Paths, config.StateDir, config.Progress = []string{path}, t.TempDir(), &interrupt{after: count / 3, end: end}
			first, err := Run(ctx, conn, config)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%v after %+v", err, first)
			}
			var last Status
			config.Progress = lastStatus{&last}
			second, err := Run(t.Context(), conn, config)
			if err != nil {
				t.Fatal(err)
			}
			if second.Passed < count/3 || second.Passed+second.Imported != count {
				t.Errorf("first %+v, then %+v", first, second)
			}
			if last.Read > last.Total+directorySize || last.Read == 0 {
				t.Errorf("%d bytes of %d were read", last.Read, last.Total)
			}
			if all := distinct(published(t, conn)); len(all) != count {
				t.Errorf("%d subjects", len(all))
			} else if name != "b.zip" && !slices.Equal(all, want) {
				t.Errorf("%v", all)
			}
			if left, err := os.ReadDir(config.StateDir); err != nil || len(left) > 0 {
				t.Errorf("%v, %v", left, err)
			}
		})
	}
}

// lastStatus keeps the last status.
type lastStatus struct{ last *Status }

func (l lastStatus) Update(status Status) { *l.last = status }
func (l lastStatus) Waiting(bool)         {}
