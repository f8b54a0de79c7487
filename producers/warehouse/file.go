package warehouse

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Export reads exports of vw_applications_enriched: CSV (also gzipped) and Parquet files. A pattern stands for all files
// that match it, as a warehouse writes a large export in parts. A file has no cursor: it is always read whole.
type Export struct{ pattern string }

// NewExport prepares to read a file, or the files that match a pattern.
func NewExport(pattern string) (*Export, error) {
	if _, err := openerOf(pattern); err != nil {
		return nil, err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q is not a pattern of files", pattern)
	}
	return &Export{pattern}, nil
}

// Name implements Source. Where the files lie does not matter.
func (e *Export) Name() string { return "file:" + filepath.Base(e.pattern) }

// opener opens one file.
type opener func(path string) (Rows, error)

func openerOf(pattern string) (opener, error) {
	name := strings.ToLower(filepath.Base(pattern))
	switch {
	case strings.HasSuffix(name, ".csv"), strings.HasSuffix(name, ".csv.gz"):
		return openCSV, nil
	case strings.HasSuffix(name, ".parquet"):
		return openParquet, nil
	}
	return nil, fmt.Errorf("%q is no export: its name must end in .csv, .csv.gz or .parquet", filepath.Base(pattern))
}

// Open implements Source.
func (e *Export) Open(context.Context, time.Time) (Rows, error) {
	open, err := openerOf(e.pattern)
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(e.pattern)
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file %s: %w", e.pattern, os.ErrNotExist)
	}
	rows := &exportRows{open: open, rest: paths}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		rows.size += info.Size()
	}
	return rows, rows.advance()
}

// exportRows are the rows of several files after each other.
type exportRows struct {
	open       opener
	rest       []string // the files after the current one
	current    Rows
	columns    []Column
	passed     int64 // bytes of files that are done
	currentAll int64
	size       int64
}

// advance opens the next file, which must have the columns of the first.
func (r *exportRows) advance() error {
	path := r.rest[0]
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	next, err := r.open(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	r.passed += r.currentAll
	r.current, r.rest, r.currentAll = next, r.rest[1:], info.Size()
	if r.columns == nil {
		r.columns = next.Columns()
	} else if !sameColumns(r.columns, next.Columns()) {
		return errors.Join(&DriftError{"the columns of " + printable(filepath.Base(path)) + " are not those of the first file"}, r.Close())
	}
	return nil
}

func sameColumns(a, b []Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Columns implements Rows.
func (r *exportRows) Columns() []Column { return r.columns }

// Next implements Rows.
func (r *exportRows) Next(ctx context.Context) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		values, err := r.current.Next(ctx)
		if !errors.Is(err, io.EOF) || len(r.rest) == 0 {
			return values, err
		}
		if err := errors.Join(r.current.Close(), r.advance()); err != nil {
			return nil, err
		}
	}
}

// Progress implements Rows, in bytes.
func (r *exportRows) Progress() (done, total int64) {
	part, whole := r.current.Progress()
	return r.passed + int64(float64(r.currentAll)*float64(part)/float64(max(whole, 1))), r.size
}

// Close implements Rows.
func (r *exportRows) Close() error { return r.current.Close() }

// csvRows are the rows of a CSV file below its header.
type csvRows struct {
	file    *os.File
	read    *counted
	size    int64
	reader  *csv.Reader
	columns []Column
	values  []any
}

func openCSV(path string) (_ Rows, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	r := &csvRows{file: file, read: &counted{in: file}, size: info.Size()}
	text, err := unpacked(r.read)
	if err != nil {
		return nil, err
	}
	return r, r.header(text)
}

// counted counts what is read of the file as it lies on the disk.
type counted struct {
	in    io.Reader
	bytes int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.bytes += int64(n)
	return n, err
}

// unpacked returns the text of a file, without a byte order mark.
func unpacked(in io.Reader) (*bufio.Reader, error) {
	text := bufio.NewReaderSize(in, 64<<10)
	if magic, _ := text.Peek(2); string(magic) == "\x1f\x8b" {
		zipped, err := gzip.NewReader(text)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		text = bufio.NewReaderSize(zipped, 64<<10)
	}
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = text.Discard(3)
	}
	return text, nil
}

// header reads the names of the columns, between commas, semicolons or tabs.
func (r *csvRows) header(text *bufio.Reader) error {
	separator := ','
	line, _ := text.Peek(4 << 10)
	first, _, _ := strings.Cut(string(line), "\n")
	for _, other := range []rune{';', '\t'} {
		if strings.Count(first, string(other)) > strings.Count(first, string(separator)) {
			separator = other
		}
	}
	r.reader = csv.NewReader(text)
	r.reader.Comma, r.reader.ReuseRecord = separator, true
	names, err := r.reader.Read()
	if errors.Is(err, io.EOF) {
		return &DriftError{"the file is empty: it has not even the names of the columns"}
	}
	if err != nil {
		return &DriftError{"the names of the columns cannot be read"}
	}
	for _, name := range names {
		r.columns = append(r.columns, Column{Name: strings.TrimSpace(name)})
	}
	r.values = make([]any, len(r.columns))
	return nil
}

// Columns implements Rows.
func (r *csvRows) Columns() []Column { return r.columns }

// Next implements Rows.
func (r *csvRows) Next(context.Context) ([]any, error) {
	fields, err := r.reader.Read()
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return nil, &RowError{fmt.Sprintf("line %d cannot be read: %v", syntax.StartLine, syntax.Err)}
	}
	if err != nil {
		return nil, err
	}
	for i, field := range fields {
		r.values[i] = field
	}
	return r.values, nil
}

// Progress implements Rows, in bytes.
func (r *csvRows) Progress() (done, total int64) { return r.read.bytes, r.size }

// Close implements Rows.
func (r *csvRows) Close() error { return r.file.Close() }
