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
	"slices"
	"strings"
	"time"
)

// Export reads exports of vw_applications_enriched: CSV (also gzipped) and Parquet files. A pattern names all files that match
// it, since warehouses split large exports. A file has no cursor: it is always read completely.
type Export struct{ pattern string }

// NewExport returns a source of a file, or of the files that match a pattern.
func NewExport(pattern string) (*Export, error) {
	if _, err := openerOf(pattern); err != nil {
		return nil, err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q is not a valid file pattern", pattern)
	}
	return &Export{pattern}, nil
}

// Name implements Source. It does not depend on the directory.
func (e *Export) Name() string { return "file:" + filepath.Base(e.pattern) }

// opener starts reading a file of a size. The caller closes the file.
type opener func(file *os.File, size int64) (Rows, error)

func openerOf(pattern string) (opener, error) {
	name := strings.ToLower(filepath.Base(pattern))
	switch {
	case strings.HasSuffix(name, ".csv"), strings.HasSuffix(name, ".csv.gz"):
		return openCSV, nil
	case strings.HasSuffix(name, ".parquet"):
		return openParquet, nil
	}
	return nil, fmt.Errorf("%q is not an export: the name must end in .csv, .csv.gz or .parquet", filepath.Base(pattern))
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
	if err := rows.advance(); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return rows, nil
}

// exportRows are the rows of several files, one after another.
type exportRows struct {
	open    opener
	rest    []string // the files after the current one
	file    *os.File
	current Rows
	columns []Column
	passed  int64 // bytes of finished files
	whole   int64 // bytes of the current file
	size    int64 // bytes of all files
}

// advance opens the next file, which must have the columns of the first.
func (r *exportRows) advance() error {
	r.passed += r.whole
	path := r.rest[0]
	r.rest = r.rest[1:]
	var err error
	if r.file, err = os.Open(path); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	r.whole = info.Size()
	if r.current, err = r.open(r.file, r.whole); err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	if r.columns == nil {
		r.columns = r.current.Columns()
	}
	if !slices.Equal(r.columns, r.current.Columns()) {
		return &DriftError{"the columns of " + shorten(filepath.Base(path)) + " differ from those of the first file"}
	}
	return nil
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
		if err := errors.Join(r.Close(), r.advance()); err != nil {
			return nil, err
		}
	}
}

// Progress implements Rows, in bytes.
func (r *exportRows) Progress() (done, total int64) {
	part, whole := r.current.Progress()
	return r.passed + int64(float64(r.whole)*float64(part)/float64(max(whole, 1))), r.size
}

// Close implements Rows.
func (r *exportRows) Close() error {
	var err error
	if r.current != nil {
		err = r.current.Close()
	}
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	r.current, r.file = nil, nil
	return err
}

// csvRows are the rows of a CSV file below its header.
type csvRows struct {
	read    *counted
	size    int64
	reader  *csv.Reader
	columns []Column
	values  []any
}

func openCSV(file *os.File, size int64) (Rows, error) {
	r := &csvRows{read: &counted{in: file}, size: size}
	text, err := unpacked(r.read)
	if err != nil {
		return nil, err
	}
	if err := r.header(text); err != nil {
		return nil, err
	}
	return r, nil
}

// counted counts the bytes read from disk.
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

// header reads the names of the columns, separated by commas, semicolons or tabs.
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
		return &DriftError{"the file is empty: it has no header"}
	}
	if err != nil {
		return &DriftError{"the header cannot be read"}
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
func (r *csvRows) Close() error { return nil }
