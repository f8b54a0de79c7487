package warehouse

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/applylens/applylens/internal/printable"
)

// A Parquet file is decoded in a process of its own. Its pages say how large they become, in a dozen ways, and the library
// allocates what they say: 25 KB can take gigabytes. The process may take limits.memory, and ends alone if that is not enough.

// childCommand is the argument of that process.
const childCommand = "decode-parquet"

// parquetPatience is how long decoding may take to the next row.
const parquetPatience = time.Minute

// startable is set once this program is known to call Child, so that it can be started as the process that decodes.
var startable atomic.Bool

// Child decodes a Parquet file and does not return, if the process was started for that. main calls it first; without it no
// Parquet file can be read.
func Child() {
	if len(os.Args) != 2 || os.Args[1] != childCommand {
		startable.Store(true)
		return
	}
	if err := decodeForParent(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// decoding is the first thing that the parent sends, after which the child reads the file from descriptor 3.
type decoding struct {
	Size   int64
	Memory int64
	Limits [3]int // bytes of a value, its elements, bytes of a row
}

// decoded is one message of the child: the columns first, then a row each, and last the end or an error.
type decoded struct {
	Columns []Column
	Total   int64
	Row     []cell
	Broken  string // why the row cannot be read
	End     bool
	Error   string
}

// cell is a value of a row, in the member that Kind says.
type cell struct {
	Kind   Kind // empty: null
	Text   string
	Texts  []string
	Time   time.Time
	Number int64
	Flag   bool
}

func cellOf(value any) cell {
	switch v := value.(type) {
	case string:
		return cell{Kind: KindText, Text: v}
	case []string:
		return cell{Kind: KindTexts, Texts: v}
	case time.Time:
		return cell{Kind: KindTime, Time: v}
	case int64:
		return cell{Kind: KindNumber, Number: v}
	case bool:
		return cell{Kind: KindBool, Flag: v}
	}
	return cell{}
}

func (c *cell) value() any {
	switch c.Kind {
	case KindText:
		return c.Text
	case KindTexts:
		return c.Texts
	case KindTime:
		return c.Time
	case KindNumber:
		return c.Number
	case KindBool:
		return c.Flag
	}
	return nil
}

// decodeForParent reads what to do from input, and writes the file's rows.
func decodeForParent(input io.Reader, output io.Writer) error {
	var d decoding
	if err := gob.NewDecoder(input).Decode(&d); err != nil {
		return fmt.Errorf("read what to decode: %w", err)
	}
	if err := limitMemory(d.Memory); err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(output, 64<<10)
	encoder := gob.NewEncoder(buffer)
	if err := decodeRows(os.NewFile(3, "export"), &d, encoder); err != nil {
		if err := encoder.Encode(decoded{Error: err.Error()}); err != nil {
			return err
		}
	}
	return buffer.Flush()
}

func decodeRows(file *os.File, d *decoding, to *gob.Encoder) error {
	rows, err := openParquetHere(file, d.Size, &limits{field: d.Limits[0], list: d.Limits[1], row: d.Limits[2]})
	if err != nil {
		return err
	}
	_, total := rows.Progress()
	if err := to.Encode(decoded{Columns: rows.Columns(), Total: total}); err != nil {
		return err
	}
	row := make([]cell, len(rows.Columns()))
	for {
		values, err := rows.Next(context.Background())
		var broken *RowError
		switch {
		case errors.Is(err, io.EOF):
			return to.Encode(decoded{End: true})
		case errors.As(err, &broken):
			err = to.Encode(decoded{Broken: broken.Detail})
		case err == nil:
			for i, value := range values {
				row[i] = cellOf(value)
			}
			err = to.Encode(decoded{Row: row})
		}
		if err != nil {
			return err
		}
	}
}

// parquetProcess are the rows that a child decodes.
type parquetProcess struct {
	limits  *limits
	command *exec.Cmd
	cancel  context.CancelFunc
	late    atomic.Bool
	timer   *time.Timer // ends a child that decodes for too long
	stderr  *opening
	from    *gob.Decoder
	columns []Column
	total   int64
	read    int64
	values  []any
}

// openParquet starts a child for the file.
func openParquet(ctx context.Context, file *os.File, size int64, _ *int64, most *limits) (Rows, error) {
	if !startable.Load() {
		return nil, errors.New("this program does not call warehouse.Child, and cannot read Parquet files")
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &parquetProcess{limits: most, cancel: cancel, stderr: &opening{}, command: exec.CommandContext(ctx, program, childCommand)}
	p.command.ExtraFiles = []*os.File{file}
	p.command.Stderr = p.stderr
	p.timer = time.AfterFunc(parquetPatience, func() {
		p.late.Store(true)
		cancel()
	})
	if err := p.start(size); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *parquetProcess) start(size int64) error {
	input, err := p.command.StdinPipe()
	if err != nil {
		return err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.command.Start(); err != nil {
		return fmt.Errorf("start the process that decodes: %w", err)
	}
	p.from = gob.NewDecoder(bufio.NewReaderSize(output, 64<<10))
	request := decoding{Size: size, Memory: p.limits.memory, Limits: [3]int{p.limits.field, p.limits.list, p.limits.row}}
	if err := errors.Join(gob.NewEncoder(input).Encode(request), input.Close()); err != nil {
		return p.ended(err)
	}
	first, err := p.receive()
	if err != nil {
		return err
	}
	p.columns, p.total, p.values = first.Columns, first.Total, make([]any, len(first.Columns))
	return nil
}

// receive returns the child's next message, or why there is none.
func (p *parquetProcess) receive() (*decoded, error) {
	p.timer.Reset(parquetPatience)
	defer p.timer.Stop() // the caller may take its time
	var message decoded
	if err := p.from.Decode(&message); err != nil {
		return nil, p.ended(err)
	}
	if message.Error != "" {
		return nil, errors.New(message.Error)
	}
	return &message, nil
}

// ended says why the child ended without saying so.
func (p *parquetProcess) ended(err error) error {
	p.timer.Stop()
	p.cancel()
	_ = p.command.Wait() // its output says more than its status
	said := p.stderr.String()
	switch {
	case p.late.Load():
		return exceeds(p.read+1, "decoding took more than %s to the next row: write the file again, with smaller pages", parquetPatience)
	case strings.Contains(said, "out of memory"), strings.Contains(said, "address space"): // the latter with the race detector
		return exceeds(p.read+1, "decoding needs more than the %d bytes of memory that it may take: write the file again, with smaller pages or row groups", p.limits.memory)
	}
	return fmt.Errorf("the file is damaged after row %d: decoding ended: %w: %s", p.read, err, printable.Text(said))
}

// Columns implements Rows.
func (p *parquetProcess) Columns() []Column { return p.columns }

// Next implements Rows.
func (p *parquetProcess) Next(context.Context) ([]any, error) {
	message, err := p.receive()
	switch {
	case err != nil:
		return nil, err
	case message.End:
		return nil, io.EOF
	}
	p.read++
	if message.Broken != "" {
		return nil, &RowError{message.Broken}
	}
	if len(message.Row) != len(p.values) {
		return nil, errors.New("the process that decodes sent a row of other columns")
	}
	for i := range message.Row {
		p.values[i] = message.Row[i].value()
	}
	return p.values, nil
}

// Progress implements Rows, in rows.
func (p *parquetProcess) Progress() (done, total int64) { return p.read, p.total }

// Close implements Rows.
func (p *parquetProcess) Close() error {
	p.timer.Stop()
	p.cancel()
	if p.command.Process != nil {
		_ = p.command.Wait() // it was killed, or has ended
	}
	return nil
}

// opening keeps the beginning of what a process prints, and takes the rest.
type opening struct{ text strings.Builder }

// Write implements io.Writer.
func (t *opening) Write(p []byte) (int, error) {
	if room := 4<<10 - t.text.Len(); room > 0 {
		t.text.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// String returns what was kept.
func (t *opening) String() string { return t.text.String() }
