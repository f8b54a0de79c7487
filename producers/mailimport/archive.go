package mailimport

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"
)

// Limits of an archive. Mail that is packed well takes a twentieth of its size; a bomb that is let through as far as this costs some
// seconds and no memory.
const (
	mostMembers   = 500_000
	directorySize = 32 << 20 // of a zip's list of members, which is kept in memory while it is read
	unpackedBase  = 256 << 20
	unpackedTimes = 64
)

var (
	errUnpacked = errors.New("it unpacks to far more than mail does: unpack it and look at what is in it")
	errMembers  = fmt.Errorf("it has more than %d files: unpack it, and import the directory", mostMembers)
	errChanged  = errors.New("it was changed since the import was interrupted: start over with --restart")
)

// allowance bounds what comes out of a packed file, with all that is packed within it. It belongs to one goroutine.
type allowance struct {
	most func() int64
	used int64
}

// bounded reads what is unpacked of a file.
type bounded struct {
	in io.Reader
	of *allowance
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if b.of.used += int64(n); b.of.used > b.of.most() {
		return 0, errUnpacked
	}
	return n, err
}

// mostUnpacked is how much may come out of a file of some size.
func mostUnpacked(size int64) int64 { return unpackedBase + unpackedTimes*size }

// member is a file in an archive. Its name is shown and tells its folder; it is never a path here.
type member struct {
	name string
	size int64                         // unpacked
	held int64                         // bytes on disk that are passed over when it is not opened
	head func() ([]byte, error)        // its beginning
	open func() (io.ReadCloser, error) // only once, in a tar
}

// isMail tells whether a member can be mail, as isMailFile does of files.
func (m *member) isMail() bool {
	if m.size <= 0 || strings.HasPrefix(m.name, "__MACOSX/") {
		return false
	}
	if hasMailName(m.name) {
		return true
	}
	head, err := m.head()
	return err == nil && beginsAsMbox(head)
}

// input is the member as a file to import.
func (m *member) input(archive string, unpacked *allowance) input {
	in := input{path: archive + ": " + m.name, size: m.size, held: m.held, folder: folderOfFile(m.name), member: m.open, unpacked: unpacked}
	if in.folder == noFolder {
		in.folder = folderOf(m.name)
	}
	return in
}

// readArchive reads the mail files of an archive, in its order. A member that cannot be read is skipped; the error tells that there
// was one, after the rest.
func (r *run) readArchive(ctx context.Context, file input, s *source) error {
	mails, unread := 0, 0
	err := s.members(func(m *member) error {
		if err := ctx.Err(); err != nil || !m.isMail() {
			return err
		}
		mails++
		in := m.input(file.path, s.unpacked)
		err := r.readFile(ctx, in)
		if err == nil || ctx.Err() != nil || errors.Is(err, errUnpacked) {
			return err
		}
		r.fail(in.path, err)
		unread++
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("unpack %s: %w", file.path, err)
	case mails == 0:
		return fmt.Errorf("no mail file in %s: expected a Maildir, mbox files or files ending in %s", file.path, strings.Join(mailEndings, ", "))
	case unread > 0:
		return fmt.Errorf("%d files in %s could not be read completely", unread, file.path)
	}
	return nil
}

// members calls each with the files of an archive. What each returns ends it.
func (s *source) members(each func(*member) error) error {
	if s.holds == zipArchive {
		return s.zipped(each)
	}
	return s.tarred(each)
}

func (s *source) zipped(each func(*member) error) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	counted := &countedAt{in: s.file, read: s.counter.read, left: directorySize}
	archive, err := zip.NewReader(counted, info.Size())
	if err != nil {
		return err
	}
	if len(archive.File) > mostMembers {
		return errMembers
	}
	counted.left = -1
	for _, file := range archive.File {
		if !file.Mode().IsRegular() {
			continue
		}
		open := func() (io.ReadCloser, error) {
			if file.Flags&encrypted != 0 {
				return nil, errors.New("it is encrypted: unpack it, and import the directory")
			}
			content, err := file.Open()
			if err != nil {
				return nil, err
			}
			return closing{&bounded{content, s.unpacked}, content}, nil
		}
		m := &member{name: displayed(file.Name), size: int64(min(file.UncompressedSize64, 1<<62)), held: int64(min(file.CompressedSize64, 1<<62)), open: open}
		m.head = func() ([]byte, error) {
			content, err := open()
			if err != nil {
				return nil, err
			}
			defer content.Close()
			head := make([]byte, maxHeader)
			n, _ := io.ReadFull(content, head)
			return head[:n], nil
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

// encrypted is the flag of a member of a zip that needs a password.
const encrypted = 0x1

func (s *source) tarred(each func(*member) error) error {
	archive := tar.NewReader(s.Reader)
	content := bufio.NewReaderSize(nil, maxHeader)
	for count := 0; ; count++ {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case count >= mostMembers:
			return errMembers
		case header.Typeflag != tar.TypeReg:
			continue
		}
		content.Reset(archive)
		opened := false
		m := &member{name: displayed(header.Name), size: header.Size,
			head: func() ([]byte, error) {
				head, _ := content.Peek(maxHeader) // an error is returned again by the next read
				return head, nil
			},
			open: func() (io.ReadCloser, error) {
				if opened {
					return nil, errChanged
				}
				opened = true
				return io.NopCloser(content), nil
			}}
		if err := each(m); err != nil {
			return err
		}
	}
}

// displayed is the name of a member with slashes, and of a length that can be shown.
func displayed(name string) string {
	name = path.Clean(strings.ToValidUTF8(strings.ReplaceAll(name, `\`, "/"), "\ufffd"))
	if over := len(name) - 1000; over > 0 {
		name = strings.ToValidUTF8(name[over:], "")
	}
	return name
}

// closing is a reader with what closes it.
type closing struct {
	io.Reader
	io.Closer
}

// countedAt counts the bytes read from a file, and bounds them unless left is negative.
type countedAt struct {
	in   io.ReaderAt
	read *atomic.Int64
	left int64
}

// ReadAt implements io.ReaderAt, for one goroutine.
func (c *countedAt) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.in.ReadAt(p, at)
	c.read.Add(int64(n))
	if c.left >= 0 {
		if c.left -= int64(n); c.left < 0 {
			return 0, errMembers
		}
	}
	return n, err
}
