package person

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/private"
)

// part is one file of an export: the person's rows of one table, one JSON object per line. The first column of the query
// is the object; further columns are bytes that are added to it under their names. Of projections it exports the live
// version; the others are copies. Of job applications it exports those that belong to the person's mail. $1 is the person.
type part struct{ file, table, rows string }

var parts = []part{
	{"user.jsonl", "users", `SELECT to_jsonb(t) FROM users t WHERE id = $1`},
	{"tokens.jsonl", "tokens", `SELECT to_jsonb(t) - 'hash' - 'parent' FROM tokens t WHERE user_id = $1 ORDER BY created_at, hash`},
	{"policies.jsonl", "policies", `SELECT to_jsonb(t) FROM policies t WHERE user_id = $1 ORDER BY id`},
	{"actions.jsonl", "actions", `SELECT to_jsonb(t) FROM actions t WHERE user_id = $1 ORDER BY created_at, id`},
	{"preferences.jsonl", "weight_counts", `
SELECT to_jsonb(t) - 'version' FROM live_weight_counts t WHERE user_id = $1 ORDER BY feature`},
	{"statistics.jsonl", "policy_days", `
SELECT to_jsonb(t) - 'version' FROM live_policy_days t WHERE user_id = $1 ORDER BY policy_id, day`},
	{"mails.jsonl", "mails", `
SELECT to_jsonb(t) - '{version,search_words}'::text[] FROM live_mails t
WHERE user_id = $1
ORDER BY received_at DESC, id`},
	{"addresses.jsonl", "mail_addresses", `
SELECT to_jsonb(t) - 'version' FROM live_mail_addresses t WHERE user_id = $1 ORDER BY address`},
	{"own_addresses.jsonl", "own_addresses", `SELECT to_jsonb(t) FROM own_addresses t WHERE user_id = $1 ORDER BY address`},
	{"correspondents.jsonl", "mail_correspondents", `
SELECT to_jsonb(t) - 'version' FROM live_mail_correspondents t WHERE user_id = $1 ORDER BY address`},
	{"performed.jsonl", "performed_actions", `SELECT to_jsonb(t) FROM performed_actions t WHERE user_id = $1 ORDER BY performed_at, id`},
	{"new_mails.jsonl", "new_mails", `SELECT to_jsonb(t) FROM new_mails t WHERE user_id = $1 ORDER BY folded_at, mail_id`},
	{"forgotten.jsonl", "forgotten_features", `SELECT to_jsonb(t) FROM forgotten_features t WHERE user_id = $1 ORDER BY forget, feature`},
	{"applications.jsonl", "live_ats", `SELECT to_jsonb(t) FROM live_ats t WHERE user_id = $1 ORDER BY mail_id`},
	{"accounts.jsonl", "accounts", `SELECT to_jsonb(t) - 'secret' FROM accounts t WHERE user_id = $1 ORDER BY created_at, id`},
	{"account_watch.jsonl", "account_leases", `SELECT to_jsonb(t) FROM account_leases t WHERE user_id = $1 ORDER BY account_id`},
	{"account_folders.jsonl", "account_folders", `SELECT to_jsonb(t) FROM account_folders t WHERE user_id = $1 ORDER BY id`},
	{"account_mails.jsonl", "account_mails", `SELECT to_jsonb(t) FROM account_mails t WHERE user_id = $1 ORDER BY folder_id, uidvalidity, uid`},
	{"events.jsonl", "outbox", `
SELECT to_jsonb(t) - '{aggregateid,payload}'::text[], aggregateid, payload FROM outbox t
WHERE user_id = $1
ORDER BY seq`},
	{"answers.jsonl", "idempotency_keys", `
SELECT to_jsonb(t) - '{request_hash,response}'::text[], response FROM idempotency_keys t
WHERE user_id = $1
ORDER BY created_at, key`},
	{"chat.jsonl", "chat_streams", `SELECT to_jsonb(t) - 'hash' FROM chat_streams t WHERE user_id = $1 ORDER BY created_at, hash`},
	{"chat_usage.jsonl", "chat_usage", `SELECT to_jsonb(t) FROM chat_usage t WHERE user_id = $1`},
	{"uploads.jsonl", "uploads", `SELECT to_jsonb(t) FROM uploads t WHERE user_id = $1 ORDER BY created_at, id`},
	{"dead_letters.jsonl", "dead_letters", `
SELECT to_jsonb(t) - '{key,value}'::text[], key, value FROM dead_letters t
WHERE user_id = $1
ORDER BY id`},
}

// leftOut tells in the manifest what the export does not contain.
var leftOut = []string{
	"tokens: their secrets are not kept, and the hashes that are would help nobody but a thief",
	"accounts: what they sign in with is sealed, and is not shown",
	"what search looks up: it is made of the mails",
	"versions of preferences, statistics and mails that are not live: they are copies",
	"numbers by which repeated events and requests are known: they hold hashes only",
	"files that are uploaded but not imported yet: the person has them",
	"the Kafka log: it has every event since the beginning, under the key of the user id",
}

// ErrUnknown tells that nothing is stored about a person.
var ErrUnknown = errors.New("nothing is kept of this user")

// Manifest lists the files of an export. It is written last: an export without it is not complete.
type Manifest struct {
	Format     int       `json:"format"`
	UserID     string    `json:"user_id"`
	ExportedAt time.Time `json:"exported_at"` // when the snapshot was taken
	Files      []File    `json:"files"`
	LeftOut    []string  `json:"left_out"`
}

// File is one file of an export.
type File struct {
	Name   string `json:"name"`
	Table  string `json:"table"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// format is the value of Manifest.Format; it grows when the meaning of the files changes.
const format = 1

// Export writes everything that is stored about a person into dir, which must be empty or not exist: one file per table,
// all of one snapshot, and manifest.json. Only the caller can read the files. Rows are streamed, so that memory stays
// bounded. progress, unless nil, is called with the rows so far and their total. When Export fails, it removes what it
// wrote.
func Export(ctx context.Context, pool *pgxpool.Pool, id, dir string, progress func(rows, of int64)) (*Manifest, error) {
	target, err := newTarget(dir)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	manifest := &Manifest{Format: format, UserID: id, LeftOut: leftOut}
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, pool, snapshot, func(tx pgx.Tx) error { return manifest.export(ctx, tx, target, progress) })
	if err == nil {
		err = target.write("manifest.json", func(w io.Writer) error {
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			return encoder.Encode(manifest)
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("export person: %w", err), target.remove())
	}
	return manifest, nil
}

// export writes all parts.
func (m *Manifest) export(ctx context.Context, tx pgx.Tx, to *target, progress func(rows, of int64)) error {
	ctx, cancel := postgres.Patient(ctx)
	defer cancel()
	if _, err := tx.Exec(ctx, unhurried); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, "SELECT now()").Scan(&m.ExportedAt); err != nil {
		return fmt.Errorf("begin snapshot: %w", err)
	}
	total, err := m.count(ctx, tx)
	if err != nil {
		return err
	}
	if total == 0 {
		return ErrUnknown
	}
	var rows int64
	for _, p := range parts {
		file, err := p.export(ctx, tx, m.UserID, to, func(n int64) { progress(rows+n, total) })
		if err != nil {
			return fmt.Errorf("write %s: %w", p.file, err)
		}
		m.Files = append(m.Files, *file)
		rows += file.Rows
	}
	return nil
}

// count returns how many rows all parts have.
func (m *Manifest) count(ctx context.Context, tx pgx.Tx) (total int64, err error) {
	for _, p := range parts {
		var rows int64
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM ("+p.rows+") t", m.UserID).Scan(&rows); err != nil {
			return 0, fmt.Errorf("count rows of %s: %w", p.table, err)
		}
		total += rows
	}
	return total, nil
}

// export writes one part, and counts and hashes it.
func (p *part) export(ctx context.Context, tx pgx.Tx, id string, to *target, progress func(rows int64)) (*File, error) {
	file := &File{Name: p.file, Table: p.table}
	err := to.write(p.file, func(w io.Writer) error {
		rows, err := tx.Query(ctx, p.rows, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		sum := summed{Writer: w, hash: sha256.New()}
		for rows.Next() {
			line, err := lineOf(rows)
			if err != nil {
				return err
			}
			if _, err := sum.Write(line); err != nil {
				return err
			}
			file.Rows++
			progress(file.Rows)
		}
		file.Bytes, file.SHA256 = sum.bytes, hex.EncodeToString(sum.hash.Sum(nil))
		return rows.Err()
	})
	return file, err
}

// lineOf returns a row as one line of JSON.
func lineOf(rows pgx.Rows) ([]byte, error) {
	columns := rows.FieldDescriptions()
	values := make([][]byte, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return nil, err
	}
	line := bytes.TrimSuffix(values[0], []byte("}"))
	for i := 1; i < len(columns); i++ {
		name, text := rendered(columns[i].Name, values[i])
		line = fmt.Appendf(line, ", %q: %s", name, text)
	}
	return append(line, '}', '\n'), nil
}

// rendered returns bytes as JSON: an object as it is, other text as a string, and anything else as base64 under a name
// that says so.
func rendered(name string, value []byte) (string, []byte) {
	var text []byte
	switch {
	case value == nil:
		return name, []byte("null")
	case bytes.HasPrefix(value, []byte("{")) && utf8.Valid(value) && json.Valid(value):
		var compact bytes.Buffer
		_ = json.Compact(&compact, value) // valid
		return name, compact.Bytes()
	case utf8.Valid(value):
		text, _ = json.Marshal(string(value)) // a string can always be written
	default:
		name += "_base64"
		text, _ = json.Marshal(value)
	}
	return name, text
}

// summed counts and hashes what is written through it.
type summed struct {
	io.Writer
	hash  hash.Hash
	bytes int64
}

func (s *summed) Write(b []byte) (int, error) {
	s.hash.Write(b)
	n, err := s.Writer.Write(b)
	s.bytes += int64(n)
	return n, err
}

// target is the directory of an export.
type target struct {
	dir     string
	made    bool
	written []string
}

// newTarget uses an empty directory that others cannot change, or creates one that only its owner can enter.
func newTarget(dir string) (*target, error) {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return &target{dir: dir, made: true}, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if dir, err = private.Dir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	return &target{dir: dir}, nil
}

// write creates a file that only its owner can read, and syncs it to disk.
func (t *target) write(name string, content func(io.Writer) error) (err error) {
	path := filepath.Join(t.dir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	t.written = append(t.written, path)
	defer func() { err = errors.Join(err, file.Close()) }()
	buffer := bufio.NewWriterSize(file, 64<<10)
	if err := content(buffer); err != nil {
		return err
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// remove deletes what was written.
func (t *target) remove() error {
	var faults []error
	for _, path := range t.written {
		faults = append(faults, os.Remove(path))
	}
	if t.made {
		faults = append(faults, os.Remove(t.dir))
	}
	return errors.Join(faults...)
}
