package mailimport

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Source is the ce_source of imported mail. It is not the deployment's own source, since imported records do not pass
// through the outbox and have no relay sequence.
const Source = "/applylens/import"

// Stdin names standard input.
const Stdin = "-"

// input is one file to import.
type input struct {
	path   string
	size   int64 // 0 if it is a stream
	folder folder

	// Of a member of an archive.
	member   func() (io.ReadCloser, error) // opens it
	held     int64                         // its bytes on disk, if it can be passed over without being read
	unpacked *allowance                    // the archive's
}

// stream tells whether an input can be read once only, and may let its reader wait: standard input, or a pipe.
func (i input) stream() bool { return i.size == 0 }

// onDisk is how many bytes on disk are passed over when it is not read.
func (i input) onDisk() int64 {
	if i.member != nil {
		return i.held
	}
	return i.size
}

// fault is a file or directory that cannot be read.
type fault struct {
	path string
	err  error
}

// mailEndings are the extensions of mail files in a directory. All files in a Maildir's cur and new, and other files that begin like
// an mbox, are mail files too: mail programs give folders any name.
var mailEndings = []string{".mbox", ".mbx", ".eml", emlxEnding, ".mbox.gz", ".mbx.gz", ".eml.gz"}

// inputs returns path itself, or the mail files below it in the order of their names. Symbolic links below it are not
// followed, so there are no loops. Unreadable directories are reported as faults, and the rest is returned.
func inputs(path string) (found []input, faults []fault, err error) {
	if path == Stdin {
		return []input{{path: Stdin}}, nil, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, nil, err
	case info.Mode().IsRegular():
		return []input{{path: path, size: info.Size(), folder: folderOfFile(path)}}, nil, nil
	case !info.IsDir():
		return []input{{path: path}}, nil, nil
	}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, nil, err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			faults = append(faults, fault{path, err})
		case entry.Type().IsRegular() && isMailFile(path):
			if info, err := entry.Info(); err == nil { // otherwise a mail program has just moved it
				found = append(found, input{path: path, size: info.Size(), folder: folderBelow(root, path)})
			}
		}
		return nil
	})
	if err == nil && len(found)+len(faults) == 0 {
		err = fmt.Errorf("no mail file below %s: expected a Maildir, mbox files or files ending in %s", path, strings.Join(mailEndings, ", "))
	}
	return found, faults, err
}

// folderBelow returns the folder that a file is in: by its flags, or by the names below the directory that was given.
func folderBelow(root, path string) folder {
	if kind := folderOfFile(path); kind != noFolder {
		return kind
	}
	below, err := filepath.Rel(root, path)
	if err != nil {
		return noFolder
	}
	return folderOf(below)
}

func isMailFile(path string) bool {
	if hasMailName(path) {
		return true
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, maxHeader)
	n, _ := io.ReadFull(file, head)
	return beginsAsMbox(head[:n])
}

// hasMailName tells whether a file is mail by its name, and by that of its directory.
func hasMailName(path string) bool {
	parent := filepath.Base(filepath.Dir(path))
	if parent == "cur" || parent == "new" {
		return true
	}
	name := strings.ToLower(filepath.Base(path))
	return slices.ContainsFunc(mailEndings, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// beginsAsMbox checks the beginning of a file.
func beginsAsMbox(head []byte) bool {
	_, header, _ := bytes.Cut(head, []byte("\n"))
	return separates(head, true) && len(header) > 0
}

// fingerprint identifies a file by its size and beginning, whatever its name.
type fingerprint [16]byte

// known is how many bytes of a file its fingerprint covers.
const known = 64 << 10

// source is a file that is being read.
type source struct {
	io.Reader
	fingerprint fingerprint
	file        *os.File  // nil for standard input and for members of an archive
	closer      io.Closer // nil for standard input
	folder      folder
	packed      bool
	holds       string // the kind of archive that it is; empty for all others
	unpacked    *allowance
	buffer      *bufio.Reader
	counter     *counter
}

// open opens a file. It uses buffer as memory, and adds the bytes read from disk to read. When ctx ends, a stream that waits for
// more is given up.
func (i input) open(ctx context.Context, stdin io.Reader, buffer *bufio.Reader, read *atomic.Int64) (*source, error) {
	s := &source{folder: i.folder, buffer: buffer, counter: &counter{in: stdin, read: read}, unpacked: i.unpacked}
	if err := s.openAs(ctx, i); err != nil {
		return nil, err
	}
	if i.stream() {
		s.counter.in = &interruptible{ctx, s.counter.in, nil}
	}
	if s.unpacked == nil {
		s.unpacked = &allowance{most: func() int64 { return mostUnpacked(max(i.size, s.counter.count)) }}
	}
	buffer.Reset(s.counter)
	head, _ := buffer.Peek(known) // an error is returned again by the next read
	// A copy that is left out, since it lies in the trash, is not the one that is imported.
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", i.size, i.folder, head))
	copy(s.fingerprint[:], sum[:])
	s.Reader = buffer
	if s.packed = kindOf(head) == gzipped; s.packed {
		unpacked, err := gzip.NewReader(buffer)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: %w", i.path, err), s.close())
		}
		inner := bufio.NewReader(&bounded{unpacked, s.unpacked})
		head, _ = inner.Peek(tarMagic + len("ustar"))
		s.Reader = inner
	}
	switch kind := kindOf(head); {
	case kind == tarArchive && i.member == nil, kind == zipArchive && s.file != nil && !i.stream() && !s.packed:
		s.holds = kind
	case kind != "":
		return nil, errors.Join(fmt.Errorf("%s is %s: unpack it, and import the directory", i.path, kind), s.close())
	case strings.HasSuffix(strings.ToLower(i.path), emlxEnding):
		s.unwrap()
	}
	return s, nil
}

// openAs opens what is behind an input.
func (s *source) openAs(ctx context.Context, i input) error {
	switch {
	case i.member != nil:
		content, err := i.member()
		if err != nil {
			return err
		}
		s.counter = &counter{in: content, read: new(atomic.Int64)} // the archive counts what is read from disk
		s.closer = content
	case i.path != Stdin:
		file, err := unlessEnded(ctx, func() (*os.File, error) { return os.Open(i.path) }) // a pipe waits for its writer
		if err != nil {
			return err
		}
		s.file, s.closer, s.counter.in = file, file, file
	}
	return nil
}

// emlxEnding is the extension of Apple Mail's files: the number of bytes of a message in a line, the message, and a property list.
const emlxEnding = ".emlx"

// The bits of the property flags of such a file.
const (
	emlxDeleted = 1 << 1
	emlxDraft   = 1 << 6
)

var (
	emlxLength = regexp.MustCompile(`^\s*(\d{1,12})\s*\n`)
	emlxFlags  = regexp.MustCompile(`<key>flags</key>\s*<integer>(\d{1,18})</integer>`)
)

// unwrap makes a source of the message in one of Apple Mail's files. A file of another form is read as it is.
func (s *source) unwrap() {
	head, _ := s.buffer.Peek(known)
	found := emlxLength.FindSubmatch(head)
	if found == nil || s.Reader != io.Reader(s.buffer) {
		return
	}
	length, _ := strconv.ParseInt(string(found[1]), 10, 64) // it has few digits
	if s.file != nil {
		list := make([]byte, known)
		n, _ := s.file.ReadAt(list, int64(len(found[0]))+length)
		if set := emlxFlags.FindSubmatch(list[:n]); set != nil && s.folder == noFolder {
			flags, _ := strconv.ParseInt(string(set[1]), 10, 64)
			s.folder = flagged(flags&emlxDeleted != 0, flags&emlxDraft != 0)
		}
	}
	_, _ = s.buffer.Discard(len(found[0]))
	s.Reader = io.LimitReader(s.buffer, length)
}

// unlessEnded returns what work returns, or the error of ctx if that ends before. What work returns later is not closed: it is for the
// end of a process.
func unlessEnded[T any](ctx context.Context, work func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := work()
		done <- result{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// interruptible reads a stream that may let its reader wait, until ctx ends.
type interruptible struct {
	ctx    context.Context
	in     io.Reader
	buffer []byte
}

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err // the last read may still be under way
	}
	if len(r.buffer) < len(p) {
		r.buffer = make([]byte, len(p)) // its own: a read that is given up still writes into it
	}
	n, err := unlessEnded(r.ctx, func() (int, error) { return r.in.Read(r.buffer[:len(p)]) })
	return copy(p, r.buffer[:n]), err
}

// The kinds of files that hold others, and how they begin.
const (
	gzipped    = "a gzip file"
	zipArchive = "a zip archive"
	tarArchive = "a tar archive"
	tarMagic   = 257 // where a tar file has its magic
)

var kinds = []struct {
	magic string
	at    int
	name  string
}{
	{"\x1f\x8b", 0, gzipped}, {"PK\x03\x04", 0, zipArchive}, {"PK\x05\x06", 0, zipArchive}, {"ustar", tarMagic, tarArchive},
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
	if s.closer == nil {
		return nil
	}
	return s.closer.Close()
}

// counter counts the bytes read.
type counter struct {
	in    io.Reader
	read  *atomic.Int64 // of all files
	count int64         // of this one
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.read.Add(int64(n))
	c.count += int64(n)
	return n, err
}
