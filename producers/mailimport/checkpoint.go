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
)

// whole stands for the offset of a file that is imported to its end.
const whole = -1

// mark notes how much of a file Kafka has.
type mark struct {
	file     fingerprint
	offset   int64 // of the first message that may be missing, or whole
	messages int   // before it
}

// checkpoint remembers how far an import came, so that the same import goes on there after a crash. It is a file with a
// line for each mark, written after Kafka took the messages: what is lost of it costs only time. Files are known by
// their fingerprint, so one that was changed, or renamed as mail readers do, is never passed over by mistake. It holds
// no name, address or text.
type checkpoint struct {
	path  string
	file  *os.File
	marks map[fingerprint]mark // of earlier runs, the last of each file
}

// openCheckpoint opens the checkpoint that the identity names: user, topic and path. Restart forgets what it says.
func openCheckpoint(dir string, restart bool, identity ...string) (*checkpoint, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	name := sha256.Sum256(fmt.Appendf(nil, "1 %q", identity))
	c := &checkpoint{path: filepath.Join(dir, fmt.Sprintf("import-%x", name[:16])), marks: map[fingerprint]mark{}}
	flags := os.O_CREATE | os.O_RDWR | os.O_APPEND
	if restart {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(c.path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	c.file = file
	if err := c.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", c.path, err), file.Close())
	}
	return c, nil
}

// load reads the marks. A line that a crash tore lacks the dot at its end; what is noted from now on begins a new line.
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

// at returns where the import of a file goes on; the zero mark is its beginning.
func (c *checkpoint) at(file fingerprint) mark {
	if c == nil {
		return mark{}
	}
	return c.marks[file]
}

// forget drops what is known of a file.
func (c *checkpoint) forget(file fingerprint) { delete(c.marks, file) }

// note adds marks, for later runs.
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

// close closes the checkpoint, and removes it when there is nothing left to go on with.
func (c *checkpoint) close(finished bool) error {
	if c == nil {
		return nil
	}
	err := c.file.Close()
	if finished {
		if removed := os.Remove(c.path); !errors.Is(removed, fs.ErrNotExist) { // another import of the same may have finished
			err = errors.Join(err, removed)
		}
	}
	return err
}
