package warehouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// parquetBatch is how many rows are decoded at once.
const parquetBatch = 256

// parquetRows are the rows of a Parquet file, group after group.
type parquetRows struct {
	limits  *limits
	groups  []parquet.RowGroup // after the current one
	rows    parquet.Rows       // of the current group; nil before the first and after the last
	total   int64
	read    int64
	columns []Column
	leaves  []leaf // by number of the leaf

	buffer []parquet.Row
	ready  []parquet.Row // decoded, not yet returned
	values []any
}

// leaf is a column of values in the file, and the column of the table that it belongs to.
type leaf struct {
	column int
	kind   Kind
	text   bool // its values have no fixed size
	read   func(parquet.Value) any
}

// openParquetHere decodes in this process, without a limit of its memory.
func openParquetHere(file *os.File, size int64, most *limits) (rows Rows, err error) {
	defer recoverDamage(&err)
	opened, err := parquet.OpenFile(file, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("read the file's footer: %w", err)
	}
	r := &parquetRows{limits: most, groups: opened.RowGroups(), total: opened.NumRows(), buffer: make([]parquet.Row, parquetBatch)}
	for i, field := range opened.Schema().Fields() {
		leaves := leavesOf(field, i)
		column := Column{Name: field.Name(), Kind: KindOther}
		if len(leaves) == 1 {
			column.Kind = leaves[0].kind
		}
		r.columns, r.leaves = append(r.columns, column), append(r.leaves, leaves...)
	}
	r.values = make([]any, len(r.columns))
	return r, nil
}

// leavesOf returns the leaves below a field in order. A field with one leaf is a value, or a list of values if a node on the
// path to the leaf is repeated.
func leavesOf(field parquet.Node, column int) []leaf {
	var all []leaf
	var walk func(node parquet.Node, repeated bool)
	walk = func(node parquet.Node, repeated bool) {
		repeated = repeated || node.Repeated()
		if !node.Leaf() {
			for _, below := range node.Fields() {
				walk(below, repeated)
			}
			return
		}
		kind, read := typeOf(node.Type())
		if repeated && kind == KindText {
			kind = KindTexts
		} else if repeated {
			kind = KindOther
		}
		all = append(all, leaf{column, kind, node.Type().Kind() == parquet.ByteArray, read})
	}
	walk(field, false)
	return all
}

// typeOf returns the kind of a type's values, and a function that reads them.
func typeOf(t parquet.Type) (Kind, func(parquet.Value) any) {
	if logical := t.LogicalType(); logical != nil {
		switch l := logical.Value.(type) {
		case *format.TimestampType:
			if l.Unit.Value == nil {
				return KindOther, nil
			}
			unit := int64(l.Unit.Value.Duration())
			return KindTime, func(v parquet.Value) any { return moment(v.Int64(), unit) }
		case *format.DateType:
			return KindTime, func(v parquet.Value) any { return time.Unix(int64(v.Int32())*24*60*60, 0) }
		case *format.DecimalType, *format.TimeType, *format.BsonType, *format.UUIDType:
			return KindOther, nil
		}
	}
	switch t.Kind() {
	case parquet.ByteArray:
		return KindText, func(v parquet.Value) any { return string(v.ByteArray()) }
	case parquet.Boolean:
		return KindBool, func(v parquet.Value) any { return v.Boolean() }
	case parquet.Int32:
		return KindNumber, func(v parquet.Value) any { return int64(v.Int32()) }
	case parquet.Int64:
		return KindNumber, func(v parquet.Value) any { return v.Int64() }
	case parquet.Int96:
		return KindTime, func(v parquet.Value) any { return oldTime(v.Int96()) }
	}
	return KindOther, nil
}

// moment is a time as a number of units since 1970.
func moment(n, unit int64) time.Time {
	perSecond := int64(time.Second) / unit
	return time.Unix(n/perSecond, n%perSecond*unit)
}

// oldTime reads the time format of older writers: nanoseconds of the day, and the Julian day number.
func oldTime(value deprecated.Int96) time.Time {
	const day1970 = 2_440_588
	return time.Unix((int64(value[2])-day1970)*24*60*60, value.Int64())
}

// Columns implements Rows.
func (r *parquetRows) Columns() []Column { return r.columns }

// Next implements Rows.
func (r *parquetRows) Next(ctx context.Context) ([]any, error) {
	for len(r.ready) == 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.decode(); err != nil {
			return nil, err
		}
	}
	row := r.ready[0]
	r.ready = r.ready[1:]
	r.read++
	clear(r.values)
	size := 0
	for _, value := range row {
		at := &r.leaves[value.Column()]
		if at.text {
			list, _ := r.values[at.column].([]string)
			bytes := len(value.ByteArray())
			if err := r.limits.check(r.read, r.columns[at.column].Name, bytes, len(list)+1); err != nil {
				return nil, err
			}
			if size += bytes; size > r.limits.row {
				return nil, &RowError{fmt.Sprintf("row %d cannot be read: it has more than %d bytes", r.read, r.limits.row)}
			}
		}
		switch {
		case at.kind == KindTexts:
			list, _ := r.values[at.column].([]string)
			if !value.IsNull() {
				list = append(list, string(value.ByteArray()))
			}
			r.values[at.column] = list
		case at.read != nil && !value.IsNull():
			r.values[at.column] = at.read(value)
		}
	}
	return r.values, nil
}

// recoverDamage returns an error where the library panics, as on some damaged pages.
func recoverDamage(err *error) {
	if damage := recover(); damage != nil {
		*err = errors.New("the file is damaged")
	}
}

// decode reads the next rows of the file.
func (r *parquetRows) decode() (err error) {
	defer recoverDamage(&err)
	if r.rows == nil {
		if len(r.groups) == 0 {
			return io.EOF
		}
		r.rows, r.groups = r.groups[0].Rows(), r.groups[1:]
	}
	n, err := r.rows.ReadRows(r.buffer)
	r.ready = r.buffer[:n]
	if errors.Is(err, io.EOF) {
		err = r.rows.Close()
		r.rows = nil
	}
	return err
}

// Progress implements Rows, in rows.
func (r *parquetRows) Progress() (done, total int64) { return r.read, r.total }

// Close implements Rows.
func (r *parquetRows) Close() error {
	if r.rows == nil {
		return nil
	}
	return r.rows.Close()
}
