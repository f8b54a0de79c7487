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

	"github.com/applylens/applylens/internal/printable"
)

// Export reads exports of vw_applications_enriched: CSV (also gzipped) and Parquet files. A pattern names all files that match
// it, since warehouses split large exports. A file has no cursor: it is always read completely.
type Export struct {
	pattern string
	limits  limits
}

// NewExport returns a source of a file, or of the files that match a pattern.
func NewExport(pattern string) (*Export, error) {
	if _, err := openerOf(pattern); err != nil {
		return nil, err
	}
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q is not a valid file pattern", pattern)
	}
	return &Export{pattern, exportLimits}, nil
}

// Name implements Source. It does not depend on the directory.
func (e *Export) Name() string { return "file:" + filepath.Base(e.pattern) }

// opener starts reading a file of a size. The caller closes the file.
type opener func(ctx context.Context, file *os.File, size int64, unpacked *int64, most *limits) (Rows, error)

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
func (e *Export) Open(ctx context.Context, _ time.Time) (Rows, error) {
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
	rows := &exportRows{limits: &e.limits, open: open, rest: paths}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		rows.size += info.Size()
	}
	if err := rows.advance(ctx); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return rows, nil
}

// exportRows are the rows of several files, one after another.
type exportRows struct {
	limits   *limits
	open     opener
	rest     []string // the files after the current one
	name     string   // of the current file
	file     *os.File
	current  Rows
	columns  []Column
	passed   int64 // bytes of finished files
	whole    int64 // bytes of the current file
	size     int64 // bytes of all files
	rows     int64 // read so far
	unpacked int64 // bytes so far
}

// advance opens the next file, which must have the columns of the first.
func (r *exportRows) advance(ctx context.Context) error {
	r.passed += r.whole
	path := r.rest[0]
	r.name, r.rest = printable.Text(filepath.Base(path)), r.rest[1:]
	var err error
	if r.file, err = os.Open(path); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	r.whole = info.Size()
	if r.current, err = r.open(ctx, r.file, r.whole, &r.unpacked, r.limits); err != nil {
		return fmt.Errorf("open %s: %w", r.name, err)
	}
	if n := len(r.current.Columns()); n > r.limits.columns {
		return &DriftError{fmt.Sprintf("%s has %d columns, the most is %d", r.name, n, r.limits.columns)}
	}
	if r.columns == nil {
		r.columns = r.current.Columns()
	}
	if !slices.Equal(r.columns, r.current.Columns()) {
		return &DriftError{"the columns of " + r.name + " differ from those of the first file"}
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
	if r.rows++; r.rows > r.limits.rows {
		return nil, fmt.Errorf("%s: the export has more than %d rows, the most that one may have: split it into sources of their own", r.name, r.limits.rows)
	}
	for {
		values, err := r.current.Next(ctx)
		switch {
		case isBound(err):
			return nil, fmt.Errorf("%s: %w", r.name, err)
		case !errors.Is(err, io.EOF) || len(r.rest) == 0:
			return values, err
		}
		if err := errors.Join(r.Close(), r.advance(ctx)); err != nil {
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
	limits  *limits
	read    *counted
	size    int64
	text    *bounded
	reader  *csv.Reader
	columns []Column
	values  []any
}

func openCSV(_ context.Context, file *os.File, size int64, total *int64, most *limits) (Rows, error) {
	r := &csvRows{limits: most, read: &counted{in: file}, size: size}
	in, err := unpacked(r.read)
	if err != nil {
		return nil, err
	}
	r.text = &bounded{in: in, limits: most, left: most.row, total: total}
	text := bufio.NewReaderSize(r.text, csvBuffer)
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = text.Discard(3)
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

// csvBuffer is how far a CSV file is read ahead, in bytes.
const csvBuffer = 64 << 10

// unpacked returns the content of a file.
func unpacked(in io.Reader) (io.Reader, error) {
	packed := bufio.NewReaderSize(in, csvBuffer)
	if magic, _ := packed.Peek(2); string(magic) != "\x1f\x8b" {
		return packed, nil
	}
	zipped, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return zipped, nil
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
	if r.text.failed != nil {
		return r.text.failed
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
	r.text.next(csvBuffer)
	fields, err := r.reader.Read()
	if r.text.failed != nil { // also in the middle of a quoted value, which is not the fault to report
		return nil, r.text.failed
	}
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return nil, &RowError{fmt.Sprintf("line %d cannot be read: %v", syntax.StartLine, syntax.Err)}
	}
	if err != nil {
		return nil, err
	}
	for i, field := range fields {
		if err := r.limits.check(r.text.row, r.columns[i].Name, len(field), 0); err != nil {
			return nil, err
		}
		r.values[i] = field
	}
	return r.values, nil
}

// Progress implements Rows, in bytes.
func (r *csvRows) Progress() (done, total int64) { return r.read.bytes, r.size }

// Close implements Rows.
func (r *csvRows) Close() error { return nil }
