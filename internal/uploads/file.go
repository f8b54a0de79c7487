package uploads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
)

// incoming is the folder of chunks that are being received.
const incoming = "incoming"

// formFiles begins the names of temporary files of Go's mime/multipart, where this directory is the one for them too.
const formFiles = "multipart-"

// abandoned is how old a chunk is that nobody receives any more.
const abandoned = time.Hour

// folder has the file of an upload, and the checkpoint of its import.
func (s *Store) folder(id events.UUID) string { return filepath.Join(s.dir, id.String()) }

// Folder is where the import of an upload keeps its checkpoint.
func (s *Store) Folder(id events.UUID) string { return s.folder(id) }

// Path is that of an upload's file.
func (s *Store) Path(id events.UUID) string { return filepath.Join(s.folder(id), "mail") }

// Chunk is one that was received and checked.
type Chunk struct {
	Size int64
	path string
}

// Receive reads a chunk, which must have the SHA-256 digest unless that is nil. The error is ErrChunk, ErrDigest or that of in; nothing
// is kept then.
func (s *Store) Receive(in io.Reader, digest []byte) (c *Chunk, err error) {
	file, err := os.CreateTemp(filepath.Join(s.dir, incoming), "chunk-")
	if err != nil {
		return nil, fmt.Errorf("receive a chunk: %w", err)
	}
	c = &Chunk{path: file.Name()}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			c.Discard()
			c = nil
		}
	}()
	sum := sha256.New()
	if c.Size, err = io.Copy(io.MultiWriter(file, sum), io.LimitReader(in, MaxChunk+1)); err != nil {
		return c, fmt.Errorf("receive a chunk: %w", err)
	}
	switch {
	case c.Size > MaxChunk:
		return c, ErrChunk
	case digest != nil && !bytes.Equal(sum.Sum(nil), digest):
		return c, ErrDigest
	}
	return c, nil
}

// Discard removes the chunk.
func (c *Chunk) Discard() { _ = os.Remove(c.path) } // what is left is swept

func (c *Chunk) copyTo(out io.Writer) error {
	file, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}

// Put stores a whole file of a person, who has to exist, to be imported.
func (s *Store) Put(ctx context.Context, userID, name string, content []byte) error {
	u := &Upload{UserID: userID, Name: name, Size: int64(len(content))}
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.Create(ctx, tx, u) }); err != nil {
		return err
	}
	at := int64(0)
	for piece := range slices.Chunk(content, MaxChunk) {
		c, err := s.Receive(bytes.NewReader(piece), nil)
		if err != nil {
			return err
		}
		at, err = s.Append(ctx, userID, u.ID, at, c)
		c.Discard()
		if err != nil {
			return err
		}
	}
	return nil
}

// Sweep deletes uploads that have expired, and files that belong to none: of persons who were erased, and of what was interrupted.
func (s *Store) Sweep(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, deleteExpired, s.limits.Expires, s.limits.Kept); err != nil {
		return fmt.Errorf("delete expired uploads: %w", err)
	}
	entries, err := os.ReadDir(s.dir) // before the rows are read: a folder is made after its row
	if err != nil {
		return err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if entry.Name() != incoming {
			names = append(names, entry.Name())
		}
	}
	rows, err := s.pool.Query(ctx, selectKept, names)
	if err != nil {
		return fmt.Errorf("look for the uploads of files: %w", err)
	}
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for the uploads of files: %w", err)
	}
	has := map[string]bool{}
	for _, name := range kept {
		has[name] = true
	}
	var faults []error
	for _, name := range names {
		if _, err := events.ParseUUID(name); err == nil && !has[name] {
			faults = append(faults, os.RemoveAll(filepath.Join(s.dir, name)))
		}
	}
	now := time.Now()
	faults = append(faults, sweepOld(filepath.Join(s.dir, incoming), "", now), sweepOld(s.dir, formFiles, now))
	return errors.Join(faults...)
}

// sweepOld removes files of a folder whose names begin so, and that nobody writes any more.
func sweepOld(folder, begins string, now time.Time) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasPrefix(entry.Name(), begins) && now.Sub(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(folder, entry.Name())) // its writer may have
		}
	}
	return nil
}
