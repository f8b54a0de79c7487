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

// Source is what ce_source says of imported mail. It is not the deployment's own source, since the import does not
// pass through the outbox and its records carry no stamp.
const Source = "/applylens/import"

// Stdin names standard input.
const Stdin = "-"

// input is one file to import. Its size is 0 when it is not known.
type input struct {
	path string
	size int64
}

// fault is a file or directory that cannot be read.
type fault struct {
	path string
	err  error
}

// mailEndings are the names under which mail files are found in a directory, beside all files of a Maildir's cur and
// new, and files without an ending that begin as an mbox does.
var mailEndings = []string{".mbox", ".mbx", ".eml", ".mbox.gz", ".mbx.gz", ".eml.gz"}

// inputs returns path itself, or the mail files below it in the order of their names. Links below it are not followed, so
// there are no loops. What cannot be looked into is no reason to leave the rest out.
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
			if info, err := entry.Info(); err == nil { // otherwise a mail reader has just moved it
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

// beginsAsMbox looks at the first line of a file, as mail readers keep folders in files that are named as the folder.
func beginsAsMbox(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, maxSeparator)
	n, _ := io.ReadFull(file, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	return isSeparator([]byte(line))
}

// fingerprint tells files apart by their size and their beginning, whatever they are called.
type fingerprint [16]byte

// known is how much of a file goes into its fingerprint, in bytes.
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

// open opens a file; buffer is memory for it, and what is read of the bytes on disk is added to read.
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
	head, _ := buffer.Peek(known) // an error comes again when it is read
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", i.size, head))
	copy(s.fingerprint[:], sum[:])
	s.Reader = buffer
	if s.packed = len(head) > 1 && string(head[:2]) == "\x1f\x8b"; s.packed {
		unpacked, err := gzip.NewReader(buffer)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("unpack %s: %w", i.path, err), s.close())
		}
		s.Reader = unpacked
	}
	return s, nil
}

// skip passes over bytes of the unpacked file, of which nothing was read yet.
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

// counter counts what is read.
type counter struct {
	in   io.Reader
	read *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.read.Add(int64(n))
	return n, err
}
