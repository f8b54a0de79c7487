package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Rows are rows in the binary format of COPY (see "COPY", "Binary Format" in PostgreSQL's manual). The memory is reused after
// Copy. The zero value is ready for use.
type Rows struct{ text []byte }

// copyHeader is the signature without flags and extension; copyTrailer replaces the column count of a row.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// The epochs of PostgreSQL's dates and timestamps, relative to the Unix epoch.
var (
	epoch      = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	epochDay   = int32(epoch.Unix() / 86400)
	epochMicro = epoch.UnixMicro()
)

// Begin begins a row. That many values must follow, in the order of the columns.
func (r *Rows) Begin(columns int) {
	if len(r.text) == 0 {
		r.text = append(r.text, copyHeader...)
	}
	r.text = binary.BigEndian.AppendUint16(r.text, uint16(columns))
}

// Text adds a value of type text.
func (r *Rows) Text(value string) {
	r.text = binary.BigEndian.AppendUint32(r.text, uint32(len(value)))
	r.text = append(r.text, value...)
}

// Integer adds a value of type integer.
func (r *Rows) Integer(value int32) {
	r.text = binary.BigEndian.AppendUint32(r.text, 4)
	r.text = binary.BigEndian.AppendUint32(r.text, uint32(value))
}

// Bigint adds a value of type bigint.
func (r *Rows) Bigint(value int64) {
	r.text = binary.BigEndian.AppendUint32(r.text, 8)
	r.text = binary.BigEndian.AppendUint64(r.text, uint64(value))
}

// Date adds a value of type date, in days since 1970-01-01.
func (r *Rows) Date(day int32) { r.Integer(day - epochDay) }

// Timestamp adds a value of type timestamptz, in microseconds since 1970-01-01 00:00 UTC.
func (r *Rows) Timestamp(micro int64) { r.Bigint(micro - epochMicro) }

// Copy sends the rows to columns of a table within tx, and empties Rows.
func (r *Rows) Copy(ctx context.Context, tx *Tx, table string, columns ...string) error {
	if len(r.text) == 0 {
		return nil
	}
	r.text = append(r.text, copyTrailer...)
	defer func() { r.text = r.text[:0] }()
	quoted := make([]string, len(columns))
	for i, column := range columns {
		quoted[i] = pgx.Identifier{column}.Sanitize()
	}
	statement := fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", pgx.Identifier{table}.Sanitize(), strings.Join(quoted, ", "))
	if err := tx.Flush(ctx); err != nil {
		return err
	}
	conn := tx.conn.Conn()
	if limit, ok := conn.Config().Tracer.(deadlines); ok { // pgx does not see this statement
		ctx = limit.begin(ctx)
		defer end(ctx)
	}
	if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(r.text), statement); err != nil {
		return fmt.Errorf("copy to %s: %w", table, err)
	}
	return nil
}

// Fresh runs insert, which inserts rows that should not exist yet. If one already exists, it rolls back to a savepoint and
// returns false.
func Fresh(ctx context.Context, tx *Tx, insert func() error) (fresh bool, err error) {
	const uniqueViolation = "23505"
	err = tx.Savepoint(ctx, insert)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		return false, nil
	}
	return err == nil, err
}
