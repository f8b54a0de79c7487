package mailimport

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// Source is the ce_source of imported mail. It is not the deployment's own source, since imported records do not pass
// through the outbox and have no relay sequence.
const Source = "/applylens/import"

// Stdin names standard input.
const Stdin = "-"

// input is one file to import. Its size is 0 if unknown.
type input struct {
	path string
	size int64
}

// fault is a file or directory that cannot be read.
type fault struct {
	path string
	err  error
}

// mailEndings are the extensions of mail files in a directory. All files in a Maildir's cur and new, and files without
// extension that begin like an mbox, are mail files too.
var mailEndings = []string{".mbox", ".mbx", ".eml", ".mbox.gz", ".mbx.gz", ".eml.gz"}

// inputs returns path itself, or the mail files below it in the order of their names. Symbolic links below it are not
// followed, so there are no loops. Unreadable directories are reported as faults, and the rest is returned.
func inputs(path string) (found []input, faults []fault, err error) {
	if path == Stdin {
		return []input{{path: Stdin}}, nil, nil
	}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		return []input{{path, info.Size()}}, nil, nil
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			faults = append(faults, fault{path, err})
		case entry.Type().IsRegular() && isMailFile(path):
			if info, err := entry.Info(); err == nil { // otherwise a mail program has just moved it
				found = append(found, input{path, info.Size()})
			}
		}
		return nil
	})
	if err == nil && len(found)+len(faults) == 0 {
		err = fmt.Errorf("no mail file below %s: expected a Maildir, mbox files or files ending in %s", path, strings.Join(mailEndings, ", "))
	}
	return found, faults, err
}

func isMailFile(path string) bool {
	folder := filepath.Base(filepath.Dir(path))
	if folder == "cur" || folder == "new" {
		return true
	}
	name := strings.ToLower(filepath.Base(path))
	if !strings.Contains(name, ".") {
		return beginsAsMbox(path)
	}
	return slices.ContainsFunc(mailEndings, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// beginsAsMbox checks the beginning of a file: mail programs store folders in files without extension.
func beginsAsMbox(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, maxHeader)
	n, _ := io.ReadFull(file, head)
	return separates(head[:n], true)
}

// fingerprint identifies a file by its size and beginning, whatever its name.
type fingerprint [16]byte

// known is how many bytes of a file its fingerprint covers.
const known = 64 << 10

// source is a file that is being read.
type source struct {
	io.Reader
	fingerprint fingerprint
	file        *os.File // nil for standard input
	packed      bool
	buffer      *bufio.Reader
	counter     *counter
}

// open opens a file. It uses buffer as memory, and adds the bytes read from disk to read.
func (i input) open(stdin io.Reader, buffer *bufio.Reader, read *atomic.Int64) (*source, error) {
	s := &source{buffer: buffer, counter: &counter{stdin, read}}
	if i.path != Stdin {
		file, err := os.Open(i.path)
		if err != nil {
			return nil, err
		}
		s.file, s.counter.in = file, file
	}
	buffer.Reset(s.counter)
	head, _ := buffer.Peek(known) // an error is returned again by the next read
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", i.size, head))
	copy(s.fingerprint[:], sum[:])
	s.Reader = buffer
	if s.packed = kindOf(head) == gzipped; s.packed {
		unpacked, err := gzip.NewReader(buffer)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: %w", i.path, err), s.close())
		}
		inner := bufio.NewReader(unpacked)
		head, _ = inner.Peek(tarMagic + len("ustar"))
		s.Reader = inner
	}
	if kind := kindOf(head); kind != "" {
		return nil, errors.Join(fmt.Errorf("%s is %s: unpack it, and import the directory", i.path, kind), s.close())
	}
	return s, nil
}

// The kinds of files that hold others, and how they begin.
const (
	gzipped  = "a gzip file"
	tarMagic = 257 // where a tar file has its magic
)

var kinds = []struct {
	magic string
	at    int
	name  string
}{
	{"\x1f\x8b", 0, gzipped}, {"PK\x03\x04", 0, "a zip archive"}, {"PK\x05\x06", 0, "a zip archive"}, {"ustar", tarMagic, "a tar archive"},
	{"BZh", 0, "a bzip2 file"}, {"\xfd7zXZ\x00", 0, "an xz file"}, {"(\xb5/\xfd", 0, "a zstd file"}, {"7z\xbc\xaf\x27\x1c", 0, "a 7z archive"},
	{"Rar!\x1a\x07", 0, "a rar archive"}, {"!BDN", 0, "an Outlook data file"},
}

// kindOf names what a file is that holds others; empty for all other files.
func kindOf(head []byte) string {
	for _, kind := range kinds {
		if end := kind.at + len(kind.magic); len(head) >= end && string(head[kind.at:end]) == kind.magic {
			return kind.name
		}
	}
	return ""
}

// skip skips the first bytes of the unpacked file. Nothing may have been read before.
func (s *source) skip(offset int64) error {
	if s.packed || s.file == nil {
		_, err := io.CopyN(io.Discard, s.Reader, offset)
		return err
	}
	if _, err := s.file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	s.counter.read.Add(offset - int64(s.buffer.Buffered()))
	s.buffer.Reset(s.counter)
	return nil
}

func (s *source) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// counter counts the bytes read.
type counter struct {
	in   io.Reader
	read *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.read.Add(int64(n))
	return n, err
}
