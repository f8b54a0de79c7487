package mailimport

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/applylens/applylens/internal/private"
)

// whole is the offset of a completely imported file.
const whole = -1

// mark records how much of a file Kafka has acknowledged.
type mark struct {
	file     fingerprint
	offset   int64 // of the first message that may be missing, or whole
	messages int   // before it
}

// checkpoint records the progress of an import, so that the same import can resume after a crash. It is a file with a line
// per mark, written after Kafka has acknowledged the messages, so losing lines costs only time. Files are identified by
// their fingerprint: a changed file is read again, and one that a mail program renamed is recognised. The checkpoint
// contains no name, address or text.
type checkpoint struct {
	path  string
	file  *os.File
	marks map[fingerprint]mark // of earlier runs, the last of each file
}

// openCheckpoint opens the checkpoint of an identity: user, topic and path. With restart, existing marks are discarded.
func openCheckpoint(dir string, restart bool, identity ...string) (*checkpoint, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := private.Dir(dir) // whoever changes marks decides what is imported
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256(fmt.Appendf(nil, "1 %q", identity))
	c := &checkpoint{path: filepath.Join(dir, fmt.Sprintf("import-%x", name[:16])), marks: map[fingerprint]mark{}}
	flags := os.O_RDWR | os.O_APPEND
	if restart {
		flags |= os.O_TRUNC
	}
	if c.file, err = private.Open(c.path, flags); err != nil {
		return nil, err
	}
	if err := c.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", c.path, err), c.file.Close())
	}
	return c, nil
}

// load reads the marks. A line torn by a crash lacks the final dot; later marks start on a new line.
func (c *checkpoint) load() error {
	lines := bufio.NewScanner(c.file)
	for lines.Scan() {
		var m mark
		var file []byte
		if !strings.HasSuffix(lines.Text(), ".") {
			continue
		}
		fields, _ := fmt.Sscanf(lines.Text(), "%x %d %d.", &file, &m.offset, &m.messages)
		if fields == 3 && len(file) == len(m.file) {
			m.file = fingerprint(file)
			c.marks[m.file] = m
		}
	}
	if lines.Err() != nil || len(c.marks) == 0 {
		return lines.Err()
	}
	_, err := fmt.Fprintln(c.file)
	return err
}

// at returns where to resume a file; the zero mark is its beginning.
func (c *checkpoint) at(file fingerprint) mark {
	if c == nil {
		return mark{}
	}
	return c.marks[file]
}

// forget drops the mark of a file.
func (c *checkpoint) forget(file fingerprint) { delete(c.marks, file) }

// note appends marks for later runs.
func (c *checkpoint) note(marks []mark) error {
	if c == nil || len(marks) == 0 {
		return nil
	}
	var lines strings.Builder
	for _, m := range marks {
		fmt.Fprintf(&lines, "%x %d %d.\n", m.file, m.offset, m.messages)
	}
	_, err := c.file.WriteString(lines.String())
	return err
}

// close closes the checkpoint. It removes it after a complete import, and when it has no mark.
func (c *checkpoint) close(finished bool) error {
	if c == nil {
		return nil
	}
	info, err := c.file.Stat()
	finished = finished || err == nil && info.Size() == 0
	err = errors.Join(err, c.file.Close())
	if finished {
		if removed := os.Remove(c.path); !errors.Is(removed, fs.ErrNotExist) { // a concurrent import of the same path may have finished
			err = errors.Join(err, removed)
		}
	}
	return err
}
