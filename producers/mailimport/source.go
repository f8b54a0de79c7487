package mailimport

import (
	"bufio"
	"compress/gzip"
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

// mailEndings are the names under which mail files are found in a directory, beside all files of a Maildir's cur and
// new.
var mailEndings = []string{".mbox", ".mbx", ".eml", ".mbox.gz", ".mbx.gz", ".eml.gz"}

// inputs returns path itself, or the mail files below it in the order of their names.
func inputs(path string) ([]input, error) {
	if path == Stdin {
		return []input{{path: Stdin}}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []input{{path, info.Size()}}, nil
	}
	var found []input
	err = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !isMailFile(path) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) { // a mail reader moved it from new to cur
			return nil
		}
		if err == nil {
			found = append(found, input{path, info.Size()})
		}
		return err
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no mail file below %s: expected a Maildir or files ending in %s", path, strings.Join(mailEndings, ", "))
	}
	return found, err
}

func isMailFile(path string) bool {
	folder := filepath.Base(filepath.Dir(path))
	if folder == "cur" || folder == "new" {
		return true
	}
	name := strings.ToLower(filepath.Base(path))
	return slices.ContainsFunc(mailEndings, func(ending string) bool { return strings.HasSuffix(name, ending) })
}

// open returns the unpacked bytes of the file and adds what is read of the packed ones to read.
func (i input) open(stdin io.Reader, read *atomic.Int64) (io.Reader, func() error, error) {
	packed, closeFile := stdin, func() error { return nil }
	if i.path != Stdin {
		file, err := os.Open(i.path)
		if err != nil {
			return nil, nil, err
		}
		packed, closeFile = file, file.Close
	}
	buffered := bufio.NewReaderSize(&counted{packed, read}, 256<<10)
	if magic, _ := buffered.Peek(2); string(magic) != "\x1f\x8b" {
		return buffered, closeFile, nil
	}
	unpacked, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("unpack %s: %w", i.path, err), closeFile())
	}
	return unpacked, closeFile, nil
}

type counted struct {
	in   io.Reader
	read *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.read.Add(int64(n))
	return n, err
}
