package rebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	// columnsSQL lists the columns of a table without the version, in order.
	columnsSQL = `
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attname <> 'version'
ORDER BY attnum`

	// digestSQL hashes every row of a version, and counts and adds up the hashes in buckets. Neither depends on the order of
	// the rows, so that nothing is sorted.
	digestSQL = `
SELECT (hash & %d)::integer, count(*), sum(hash)::text
FROM (SELECT hashtextextended(ROW(%s)::text COLLATE "C", 0) AS hash FROM %s t WHERE version = $1) rows
GROUP BY 1`

	// bucketsSQL reads the rows of some buckets in the order of their text, and as JSON.
	bucketsSQL = `
SELECT line, (to_jsonb(t) - 'version')::text
FROM %s t, LATERAL (SELECT ROW(%s)::text COLLATE "C" AS line) l
WHERE version = $1 AND hashtextextended(line, 0) & %d = ANY ($2::bigint[])
ORDER BY line`
)

// buckets is into how many parts the rows of a table are divided by their hash; a power of 2. When versions differ in a few
// rows, only the buckets of these rows are read and sorted.
const buckets = 4096

// side is one version of a table in a transaction.
type side struct {
	tx      pgx.Tx
	table   string
	version int
}

// bucket is what is known of the rows of one bucket.
type bucket struct {
	rows int64
	sum  string // of their hashes
}

// digest is the buckets of a version of a table.
type digest [buckets]bucket

// compareTable compares digests, and reads the rows of the buckets in which they differ.
func compareTable(ctx context.Context, left, right side) (*TableComparison, error) {
	columns, err := left.columns(ctx)
	if err != nil {
		return nil, err
	}
	var of [2]*digest
	reading, rctx := errgroup.WithContext(ctx)
	for i, s := range []side{left, right} {
		reading.Go(func() (err error) {
			of[i], err = s.digest(rctx, columns)
			return err
		})
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	result := &TableComparison{Table: left.table, LiveRows: of[0].rows(), Rows: of[1].rows(), LiveDigest: of[0].String(), Digest: of[1].String()}
	var differing []int64
	for i := range of[0] {
		if of[0][i] != of[1][i] {
			differing = append(differing, int64(i))
		}
	}
	if len(differing) == 0 {
		return result, nil
	}
	return result, result.walk(ctx, left, right, columns, differing)
}

// columns returns the columns of the table as they stand in a statement.
func (s *side) columns(ctx context.Context) (string, error) {
	rows, err := s.tx.Query(ctx, columnsSQL, quoted(s.table))
	if err != nil {
		return "", err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	for i, name := range names {
		names[i] = "t." + quoted(name)
	}
	return strings.Join(names, ", "), nil
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func (s *side) digest(ctx context.Context, columns string) (*digest, error) {
	rows, err := s.tx.Query(ctx, fmt.Sprintf(digestSQL, buckets-1, columns, quoted(s.table)), s.version)
	if err != nil {
		return nil, err
	}
	var d digest
	var at int
	var b bucket
	_, err = pgx.ForEachRow(rows, []any{&at, &b.rows, &b.sum}, func() error {
		d[at] = b
		return nil
	})
	return &d, err
}

func (d *digest) rows() (count int64) {
	for _, b := range d {
		count += b.rows
	}
	return count
}

// String is SHA-256 over the buckets.
func (d *digest) String() string {
	sum := sha256.New()
	for _, b := range d {
		fmt.Fprintf(sum, "%d %s\n", b.rows, b.sum)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// openRows reads the rows of some buckets as text, in bytewise order.
func (s *side) openRows(ctx context.Context, columns string, of []int64) (*sortedRows, error) {
	rows, err := s.tx.Query(ctx, fmt.Sprintf(bucketsSQL, quoted(s.table), columns, buckets-1), s.version, of)
	if err != nil {
		return nil, err
	}
	return &sortedRows{rows: rows}, nil
}

// walk reads the rows of the differing buckets side by side.
func (t *TableComparison) walk(ctx context.Context, left, right side, columns string, differing []int64) error {
	of, err := left.openRows(ctx, columns, differing)
	if err != nil {
		return err
	}
	defer of.rows.Close()
	other, err := right.openRows(ctx, columns, differing)
	if err != nil {
		return err
	}
	defer other.rows.Close()
	return t.merge(of, other)
}
