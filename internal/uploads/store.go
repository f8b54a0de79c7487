package uploads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/private"
)

// columns are those of an Upload. It is visible when the live version of the mailbox has read the log beyond its end.
const columns = `
    id, user_id, name, size, stored, sha256, fingerprint, state, read_bytes, imported, broken, left_out, unreadable, reasons, stalled, error,
    coalesce(end_offset <= (
        SELECT max(o.next_offset) FROM projections p
        JOIN positions o ON o.group_name = p.group_name AND o.version = p.live_version
        WHERE p.group_name = 'mailbox' AND o.topic = '` + events.TopicMail + `' AND o.partition = uploads.partition AND o.state <> 'replaced'), false),
    created_at, updated_at`

const (
	// selectUsed tells how much of a person is stored or announced, and how many uploads are unfinished.
	selectUsed = `
SELECT coalesce(sum(size), 0), count(*) FILTER (WHERE state = 'receiving')
FROM uploads WHERE user_id = $1 AND state IN ('receiving', 'waiting', 'importing')`

	insertUpload = `INSERT INTO uploads (id, user_id, name, size, sha256, fingerprint) VALUES ($1, $2, $3, $4, $5, $6)`

	selectOne = `SELECT` + columns + ` FROM uploads WHERE id = $1 AND user_id = $2`

	selectNewest = `SELECT` + columns + ` FROM uploads WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT $2`

	// selectNext finds the oldest upload of each person that is to be imported.
	selectNext = `SELECT DISTINCT ON (user_id)` + columns + ` FROM uploads WHERE state IN ('waiting', 'importing') ORDER BY user_id, created_at, id`

	// lockUpload keeps others from appending.
	lockUpload = `SELECT stored, size, state FROM uploads WHERE id = $1 AND user_id = $2 FOR UPDATE`

	// updateStored tells what is stored; the last byte makes the file wait for its import.
	updateStored = `
UPDATE uploads SET stored = $2::bigint, updated_at = now(), state = CASE WHEN $2::bigint = size THEN 'waiting' ELSE 'receiving' END WHERE id = $1`

	updateProgress = `
UPDATE uploads
SET state = 'importing', read_bytes = $2, imported = $3, broken = $4, left_out = $5, unreadable = $6, reasons = $7, stalled = $8, updated_at = now()
WHERE id = $1 AND state IN ('waiting', 'importing')`

	updateFinished = `
UPDATE uploads SET state = $2, error = $3, partition = $4, end_offset = $5, stalled = false, updated_at = now()
WHERE id = $1 AND state IN ('waiting', 'importing')`

	deleteUpload = `DELETE FROM uploads WHERE id = $1 AND user_id = $2`

	deleteExpired = `
DELETE FROM uploads
WHERE state = 'receiving' AND updated_at < now() - $1::interval OR state IN ('done', 'failed') AND updated_at < now() - $2::interval`

	selectKept = `SELECT id::text FROM uploads WHERE id::text = ANY ($1) AND state NOT IN ('done', 'failed')`
)

// Store keeps uploads. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	dir    string
	limits Limits
}

// Open returns a store in a directory, which it makes if it is not there. Only this user may be able to change it.
func Open(pool *pgxpool.Pool, dir string, limits Limits) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	dir, err := private.Dir(dir)
	if err != nil {
		return nil, err
	}
	return &Store{pool, dir, limits}, os.MkdirAll(filepath.Join(dir, incoming), 0o700)
}

// Limits returns what the store keeps at most.
func (s *Store) Limits() Limits { return s.limits }

// Create announces a file of a person within their lock. The error is ErrMany or ErrQuota if there is no room for it.
func (s *Store) Create(ctx context.Context, db DB, u *Upload) error {
	used, unfinished, err := s.used(ctx, db, u.UserID)
	switch {
	case err != nil:
		return err
	case unfinished >= s.limits.Unfinished:
		return ErrMany
	case u.Size > s.limits.Quota-used:
		return ErrQuota
	}
	u.ID, u.State = events.NewUUIDv7(time.Now()), Receiving
	if _, err := db.Exec(ctx, insertUpload, u.ID, u.UserID, u.Name, u.Size, u.SHA256, u.Fingerprint); err != nil {
		return fmt.Errorf("insert upload: %w", err)
	}
	return nil
}

func (s *Store) used(ctx context.Context, db DB, userID string) (bytes int64, unfinished int, err error) {
	if err := db.QueryRow(ctx, selectUsed, userID).Scan(&bytes, &unfinished); err != nil {
		return 0, 0, fmt.Errorf("count uploads: %w", err)
	}
	return bytes, unfinished, nil
}

// Find returns an upload of a person. The error is ErrNone if they have no such upload.
func (s *Store) Find(ctx context.Context, userID string, id events.UUID) (*Upload, error) {
	rows, err := s.pool.Query(ctx, selectOne, id, userID)
	if err != nil {
		return nil, fmt.Errorf("read upload: %w", err)
	}
	u, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read upload: %w", err)
	}
	return &u, nil
}

// mostListed is how many uploads a list has.
const mostListed = 50

// List returns a person's newest uploads, and how many bytes of files are stored or announced.
func (s *Store) List(ctx context.Context, userID string) (list []Upload, used int64, err error) {
	if used, _, err = s.used(ctx, s.pool, userID); err != nil {
		return nil, 0, err
	}
	rows, err := s.pool.Query(ctx, selectNewest, userID, mostListed)
	if err == nil {
		list, err = pgx.CollectRows(rows, scan)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list uploads: %w", err)
	}
	return list, used, nil
}

// Next returns for each person the upload that is to be imported first.
func (s *Store) Next(ctx context.Context) ([]Upload, error) {
	rows, err := s.pool.Query(ctx, selectNext)
	if err != nil {
		return nil, fmt.Errorf("look for complete uploads: %w", err)
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("look for complete uploads: %w", err)
	}
	return list, nil
}

func scan(row pgx.CollectableRow) (u Upload, err error) {
	err = row.Scan(&u.ID, &u.UserID, &u.Name, &u.Size, &u.Stored, &u.SHA256, &u.Fingerprint, &u.State, &u.Read, &u.Imported, &u.Broken,
		&u.LeftOut, &u.Unreadable, &u.Reasons, &u.Stalled, &u.Error, &u.Visible, &u.CreatedAt, &u.UpdatedAt)
	return u, err
}

// Append adds a checked chunk of a person's upload at an offset, and returns how much is stored then; the upload is complete when that
// is its size. The error is ErrNone, ErrComplete or ErrBeyond, or an OffsetError that tells where the next chunk has to begin. The
// chunk can be discarded afterwards.
func (s *Store) Append(ctx context.Context, userID string, id events.UUID, offset int64, c *Chunk) (stored int64, err error) {
	var late *OffsetError
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var size int64
		var state string
		err := tx.QueryRow(ctx, lockUpload, id, userID).Scan(&stored, &size, &state)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return ErrNone
		case err != nil:
			return err
		case state != Receiving:
			return ErrComplete
		}
		stored, err = s.append(id, stored, offset, size, c)
		if err != nil && !errors.As(err, &late) {
			return err
		}
		_, err = tx.Exec(ctx, updateStored, id, stored) // also if bytes are missing that were there: the file counts
		return err
	})
	if err == nil && late != nil {
		err = late
	}
	if err != nil {
		return 0, fmt.Errorf("append to upload: %w", err)
	}
	return stored, nil
}

// append returns how many bytes of the file are stored afterwards, also with an OffsetError.
func (s *Store) append(id events.UUID, stored, offset, size int64, c *Chunk) (int64, error) {
	if err := os.Mkdir(s.folder(id), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return stored, err
	}
	file, err := private.Open(s.Path(id), os.O_RDWR)
	if err != nil {
		return stored, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return stored, err
	}
	if info.Size() < stored { // it was lost with a disk, or the database was copied without it
		return info.Size(), &OffsetError{info.Size()}
	}
	if offset != stored {
		return stored, &OffsetError{stored}
	}
	if c.Size > size-offset {
		return stored, ErrBeyond
	}
	if err := c.copyTo(io.NewOffsetWriter(file, offset)); err != nil {
		return stored, err
	}
	if err := file.Sync(); err != nil {
		return stored, err
	}
	if err := syncFolders(s.folder(id), s.dir); err != nil {
		return stored, err
	}
	return offset + c.Size, nil
}

// syncFolders makes names of new files last.
func syncFolders(names ...string) error {
	for _, name := range names {
		folder, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Note tells how far the import of an upload is. It returns false if the upload is gone, and its import has to end.
func (s *Store) Note(ctx context.Context, id events.UUID, p Progress) (bool, error) {
	tag, err := s.pool.Exec(ctx, updateProgress, id, p.Read, p.Imported, p.Broken, p.LeftOut, p.Unreadable, texts(p.Reasons), p.Stalled)
	if err != nil {
		return false, fmt.Errorf("note the progress of an import: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// texts is a list that is no NULL.
func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Finish tells what the import of an upload came to, and removes the file. fault is empty if nothing was wrong; end is nil if it is not
// known.
func (s *Store) Finish(ctx context.Context, id events.UUID, state, fault string, end *Place) error {
	var partition, offset *int64
	if end != nil {
		number := int64(end.Partition)
		partition, offset = &number, &end.End
	}
	if _, err := s.pool.Exec(ctx, updateFinished, id, state, fault, partition, offset); err != nil {
		return fmt.Errorf("note the end of an import: %w", err)
	}
	return os.RemoveAll(s.folder(id))
}

// Delete removes an upload of a person, whose import ends soon after. The error is ErrNone if they have no such upload.
func (s *Store) Delete(ctx context.Context, userID string, id events.UUID) error {
	tag, err := s.pool.Exec(ctx, deleteUpload, id, userID)
	if err != nil {
		return fmt.Errorf("delete upload: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNone
	}
	return os.RemoveAll(s.folder(id))
}
