package private

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect requires a regular file with the content that only its owner can read.
func expect(t *testing.T, path, content string) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("%s has mode %s", path, info.Mode())
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if string(text) != content {
		t.Errorf("%s contains %q, want %q", path, text, content)
	}
}

func TestWriteFileReplacesWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "env")
	must(t, os.WriteFile(victim, []byte("kept"), 0o600))
	f := func(prepare func()) {
		t.Helper()
		prepare()
		must(t, WriteFile(path, []byte("secret")))
		expect(t, path, "secret")
		expect(t, victim, "kept")
		must(t, os.Remove(path))
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("left %v, %v", left, err)
		}
	}
	f(func() {})
	f(func() {
		must(t, os.WriteFile(path, []byte("older, and longer than the secret"), 0o666))
		must(t, os.Chmod(path, 0o666))
	})
	f(func() { must(t, os.Symlink(victim, path)) })
	f(func() { must(t, os.Link(victim, path)) })
	f(func() { must(t, os.Symlink(victim, path+".part")) })
	f(func() { must(t, os.WriteFile(path+".part", []byte("torn"), 0o644)) })
}

func TestWriteFileLeavesNothingWhenItFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "env")
	must(t, os.Mkdir(path, 0o700))
	if err := WriteFile(path, []byte("secret")); err == nil {
		t.Error("a directory was replaced")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "log")
	must(t, os.WriteFile(victim, []byte("kept"), 0o600))
	must(t, os.Symlink(victim, path))
	if _, err := Open(path, os.O_WRONLY|os.O_TRUNC); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	expect(t, victim, "kept")
	must(t, os.Remove(path))
	must(t, syscall.Mkfifo(path, 0o600))
	if _, err := Open(path, os.O_RDWR); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a pipe: %v", err)
	}
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, []byte("before,"), 0o600))
	must(t, os.Chmod(path, 0o666))
	file, err := Open(path, os.O_WRONLY|os.O_APPEND)
	must(t, err)
	_, err = file.WriteString("after")
	must(t, err)
	must(t, file.Close())
	expect(t, path, "before,after")
}

func TestDirRefusesWhatOthersCanChange(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dir := filepath.Join(base, "data")
	must(t, os.Mkdir(dir, 0o700))
	f := func(ours, above fs.FileMode, want string) {
		t.Helper()
		must(t, os.Chmod(dir, ours))
		must(t, os.Chmod(base, above))
		switch _, err := Dir(dir); {
		case want == "" && err != nil:
			t.Errorf("mode %s below %s: %v", ours, above, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("mode %s below %s: %v, want %q", ours, above, err, want)
		}
	}
	f(0o700, 0o755, "")
	f(0o711, 0o711, "")
	f(0o755, 0o775, "")
	f(0o700, 0o777|fs.ModeSticky, "")
	f(0o777, 0o755, "(mode 0777): use another, or run: chmod go-w "+dir)
	f(0o770, 0o755, "chmod go-w "+dir)
	f(0o777|fs.ModeSticky, 0o755, "chmod go-w "+dir)
	f(0o700, 0o777, "chmod o-w "+base)
	must(t, os.Chmod(base, 0o755))
	must(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	if _, err := Dir(filepath.Join(base, "file")); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a file: %v", err)
	}
	must(t, os.Chmod(dir, 0o700))
	must(t, os.Symlink(dir, filepath.Join(base, "link")))
	if got, err := Dir(filepath.Join(base, "link")); err != nil || got != dir {
		t.Errorf("a link to a good directory: %s, %v", got, err)
	}
	if os.Geteuid() != 0 {
		return // only root can give a directory away
	}
	must(t, os.Chown(dir, 65534, 65534))
	if _, err := Dir(dir); err == nil || !strings.Contains(err.Error(), "chown root "+dir) {
		t.Errorf("another owner: %v", err)
	}
}
