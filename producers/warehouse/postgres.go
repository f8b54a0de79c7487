package warehouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/applylens/applylens/internal/postgres"
)

// View reads vw_applications_enriched, or a table with the same columns, from a PostgreSQL warehouse. It writes nothing
// there, and reads with one statement, so that all rows are of one point in time.
type View struct {
	config *pgx.ConnConfig
	view   pgx.Identifier
}

// NewView returns a source of a view, optionally named with its schema. It does not connect.
func NewView(url, view string) (*View, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the URL of the warehouse is not a PostgreSQL URL") // the error of pgx contains the password
	}
	config.ConnectTimeout = 10 * time.Second
	for name, value := range map[string]string{
		"application_name": "applylens-warehouse", "timezone": "UTC", "default_transaction_read_only": "on", "statement_timeout": "30min",
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	identifier := pgx.Identifier(strings.Split(view, "."))
	if view == "" || len(identifier) > 2 {
		return nil, fmt.Errorf("%q is not the name of a view", view)
	}
	return &View{config, identifier}, nil
}

// Name implements Source.
func (v *View) Name() string {
	return fmt.Sprintf("postgres://%s:%d/%s/%s", v.config.Host, v.config.Port, v.config.Database, strings.Join(v.view, "."))
}

// Open implements Source.
func (v *View) Open(ctx context.Context, since time.Time) (Rows, error) {
	conn, err := postgres.Dial(ctx, v.config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	conn.PgConn().Frontend().SetMaxBodyLen(exportLimits.row)
	rows, err := v.query(ctx, conn, since)
	if err != nil {
		postgres.Close(conn)
		return nil, refused(err)
	}
	return &viewRows{conn: conn, rows: rows}, nil
}

// query checks the view's columns and then selects the required ones, cast to types that work for all versions of the
// connectors' tables.
func (v *View) query(ctx context.Context, conn *pgx.Conn, since time.Time) (pgx.Rows, error) {
	name := v.view.Sanitize()
	described, err := conn.Prepare(ctx, "", "SELECT * FROM "+name)
	if err != nil {
		return nil, err
	}
	columns := columnsOf(described.Fields)
	at, err := locate(columns)
	if err != nil {
		return nil, err
	}
	list := "texts"
	if columns[at[columnAddresses]].Kind == KindText {
		list = "text"
	}
	sql := selectView[list] + name
	if since.IsZero() {
		return conn.Query(ctx, sql)
	}
	return conn.Query(ctx, sql+" WHERE synced_at >= $1", since)
}

// selectView are the columns in the view's order, for addresses as an array and as a text.
var selectView = map[string]string{
	"texts": selectColumns("addresses::text[]"),
	"text":  selectColumns("addresses::text"),
}

func selectColumns(addresses string) string {
	return `SELECT system::text, application_id::text, ` + addresses + `, company::text, stage::text, last_stage_change::timestamptz,
    interview_date::timestamptz, synced_at::timestamptz, deleted::boolean FROM `
}

func columnsOf(fields []pgconn.FieldDescription) []Column {
	columns := make([]Column, len(fields))
	for i, field := range fields {
		columns[i] = Column{field.Name, kindOfOID(field.DataTypeOID)}
	}
	return columns
}

func kindOfOID(oid uint32) Kind {
	switch oid {
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, pgtype.UUIDOID:
		return KindText
	case pgtype.TextArrayOID, pgtype.VarcharArrayOID:
		return KindTexts
	case pgtype.TimestamptzOID, pgtype.TimestampOID, pgtype.DateOID:
		return KindTime
	case pgtype.BoolOID:
		return KindBool
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID:
		return KindNumber
	}
	return KindOther
}

// refused converts an error that the view, or a table that it reads, is missing or has other columns to a *DriftError.
func refused(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.Code, "42") && pg.Code != "42501" {
		return &DriftError{"the warehouse rejects the view: " + shorten(pg.Message)}
	}
	return err
}

// viewRows are the rows of one statement.
type viewRows struct {
	conn *pgx.Conn
	rows pgx.Rows
	read int64
}

// Columns implements Rows.
func (r *viewRows) Columns() []Column {
	columns := make([]Column, columnCount)
	for i, name := range columnNames {
		columns[i].Name = name
	}
	return columns
}

// Next implements Rows. ctx is that of Open.
func (r *viewRows) Next(context.Context) ([]any, error) {
	if !r.rows.Next() {
		err := r.rows.Err()
		var long *pgproto3.ExceededMaxBodyLenErr
		switch {
		case errors.As(err, &long):
			return nil, exceeds(r.read+1, "it has %d bytes, the most that a row of the view may have is %d: leave the row out of the view, or mend it", long.ActualBodyLen, long.MaxExpectedBodyLen)
		case err != nil:
			return nil, refused(err)
		}
		return nil, io.EOF
	}
	r.read++
	values, err := r.rows.Values()
	if err != nil {
		return nil, &RowError{"a value of the row cannot be read"}
	}
	return values, nil
}

// Progress implements Rows.
func (r *viewRows) Progress() (done, total int64) { return r.read, 0 }

// Close implements Rows.
func (r *viewRows) Close() error {
	r.rows.Close()
	postgres.Close(r.conn)
	return nil
}
