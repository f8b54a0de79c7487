package mailimport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/retry"
)

// Config has the settings of an import.
type Config struct {
	Paths     []string  // files, directories, or Stdin; each is read once
	Stdin     io.Reader // what Stdin stands for
	UserID    string    // the owner of the mail
	Addresses []string  // the owner's own addresses, in addition to those in Delivered-To
	StateDir  string    // directory of the checkpoint. Default: none, and the import cannot be resumed, like one from Stdin.
	Restart   bool      // ignore the checkpoint
	Trash     bool      // import also what is in trash, drafts and junk
	Now       func() time.Time
	Log       *slog.Logger
	Progress  Progress // Default: none.

	// Refused is told of each broken message, and of each file that cannot be read, beside the log. It is called from several
	// goroutines. Default: nobody is told.
	Refused func(Place, error)
}

// Validate lists every fault.
func (c *Config) Validate() error {
	var faults []error
	if len(c.Paths) == 0 {
		faults = append(faults, errors.New("no file is named"))
	}
	if c.UserID == "" {
		faults = append(faults, errors.New("no user is set"))
	}
	for i, address := range c.Addresses {
		c.Addresses[i] = strings.ToLower(strings.TrimSpace(address))
		if !isAddress(c.Addresses[i]) {
			faults = append(faults, fmt.Errorf("%q is not a mail address", address))
		}
	}
	return errors.Join(faults...)
}

// Result is the outcome of an import, in messages.
type Result struct {
	Passed     int // skipped, since an interrupted import had published them
	Imported   int
	Broken     int
	LeftOut    int // in trash, drafts or junk
	Unreadable int // files and directories
}

// Status is the progress of an import. Bytes are those on disk; Total is 0 if unknown.
type Status struct {
	Result
	Read, Passed, Total int64
}

// Progress receives the progress of an import. It is called from one goroutine at a time.
type Progress interface {
	// Update is called often.
	Update(Status)
	// Waiting is called with true when Kafka becomes unavailable and with false when it is available again.
	Waiting(bool)
}

// Run imports all mail of config.Paths. Broken messages are logged with their position and skipped. In a directory,
// unreadable files are logged and skipped too, and Run returns an error after importing the rest. When ctx ends before it is done, Run
// returns the result so far and ctx.Err(). One batch is parsed while the previous one is being published.
func Run(ctx context.Context, conn *broker.Conn, config Config) (Result, error) {
	if err := config.Validate(); err != nil {
		return Result{}, err
	}
	if config.Progress == nil {
		config.Progress = noProgress{}
	}
	if config.Refused == nil {
		config.Refused = func(Place, error) {}
	}
	var files []input
	var faults []fault
	for _, path := range config.Paths {
		found, unread, err := inputs(path)
		if err != nil {
			return Result{}, err
		}
		files, faults = append(files, found...), append(faults, unread...)
	}
	r := &run{config: config, told: map[string]bool{}, batches: make(chan batch), reader: NewReader(nil, ""), buffer: bufio.NewReaderSize(nil, bufferSize), members: bufio.NewReaderSize(nil, bufferSize)}
	for _, file := range files {
		r.total += file.size
	}
	publisher := newPublisher(conn, config.Log, config.Progress.Waiting)
	if err := r.resume(ctx, conn, publisher); err != nil {
		return Result{}, errors.Join(err, publisher.close())
	}
	group, groupCtx := errgroup.WithContext(ctx)
	var unread error // must not stop publishing the messages that were read
	group.Go(func() error {
		defer close(r.batches)
		unread = r.read(groupCtx, files, faults)
		return nil
	})
	group.Go(func() error { return r.publish(groupCtx, publisher) })
	err := errors.Join(group.Wait(), unread)
	err = errors.Join(err, closeOf(ctx, publisher), r.checkpoint.close(err == nil))
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.result, err
}

// bufferSize is how much of a file is read at once.
const bufferSize = 256 << 10

// closeLimit is how long an import that is told to end waits for what is on its way to a Kafka that does not answer.
const closeLimit = 2 * time.Second

func closeOf(ctx context.Context, publisher *publisher) (err error) {
	if ctx.Err() == nil {
		return publisher.close()
	}
	retry.AtMost(closeLimit, func() { _ = publisher.close() })
	return nil
}

type noProgress struct{}

func (noProgress) Update(Status) {}
func (noProgress) Waiting(bool)  {}

// batch is a run of messages in the order of the files.
type batch struct {
	messages []kafka.Message
	places   []Place
	marks    []mark // valid once Kafka has acknowledged the messages
	bytes    int
	seen     int // messages read, including broken ones
	passed   int
	broken   int
	left     int // in folders that are left out
	failed   int // files
}

func (b *batch) full() bool {
	return len(b.messages) >= batchMessages || b.bytes >= batchBytes || b.seen+len(b.marks) >= 10*batchMessages
}

// run is one import. The reading goroutine owns reader, buffer and current, the publishing one result.
type run struct {
	config      Config
	checkpoint  *checkpoint // nil if there is none
	total       int64
	bytesRead   atomic.Int64
	bytesPassed atomic.Int64
	batches     chan batch
	reader      *Reader
	buffer      *bufio.Reader
	members     *bufio.Reader // the buffer for members of an archive, while buffer is its own
	current     batch
	told        map[string]bool // directories of which something was left out
	result      Result
}

// resume opens the checkpoint of this import, identified by user, current topic id, paths and what is left out. Without a checkpoint
// the import runs all the same.
func (r *run) resume(ctx context.Context, conn *broker.Conn, publisher *publisher) error {
	if r.config.StateDir == "" || r.total == 0 {
		return nil
	}
	topic, err := publisher.describe(ctx, conn)
	if err != nil {
		return err
	}
	identity := []string{r.config.UserID, topic.Cluster, fmt.Sprintf("%x", topic.ID), conn.Topic(events.TopicMail), strconv.FormatBool(r.config.Trash)}
	for _, path := range r.config.Paths {
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		identity = append(identity, path)
	}
	r.checkpoint, err = openCheckpoint(r.config.StateDir, r.config.Restart, identity...)
	if err != nil {
		r.config.Log.Warn("import without a checkpoint: if interrupted, it starts over", "error", err)
	}
	return nil
}

func (r *run) read(ctx context.Context, files []input, faults []fault) error {
	for _, fault := range faults {
		r.fail(fault.path, fault.err)
	}
	for _, file := range files {
		err := r.readFile(ctx, file)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && len(r.config.Paths) == 1 && file.path == r.config.Paths[0] {
			return errors.Join(err, r.flush(ctx))
		}
		if err != nil {
			r.fail(file.path, err)
			faults = append(faults, fault{file.path, err})
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d files or directories of %s could not be read completely", len(faults), strings.Join(r.config.Paths, ", "))
	}
	return nil
}

func (r *run) fail(path string, err error) {
	r.config.Log.Warn("skip unreadable file", "file", path, "error", err)
	r.config.Refused(Place{File: path}, err)
	r.current.failed++
}

func (r *run) readFile(ctx context.Context, file input) (err error) {
	source, done, err := r.open(ctx, file)
	if err != nil || done {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if source.holds != "" {
		return r.readArchive(ctx, file, source)
	}
	if dir := filepath.Dir(file.path); source.folder != noFolder && !r.config.Trash && !r.told[dir] {
		r.told[dir] = true
		r.config.Log.Info("trash, drafts or junk is left out", "directory", dir)
	}
	count := 0
	for {
		raw, err := r.reader.Next()
		if errors.Is(err, io.EOF) {
			if !file.stream() {
				r.current.marks = append(r.current.marks, mark{source.fingerprint, whole, count})
			}
			return nil
		}
		if err != nil {
			return err
		}
		count = raw.Number
		r.take(raw, source.folder)
		if r.current.full() {
			if next, ok := r.reader.position(); ok && !file.stream() {
				r.current.marks = append(r.current.marks, mark{source.fingerprint, next.Offset, next.Number})
			}
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// open makes the reader read a file from where an interrupted import stopped. done reports that all of it was imported.
func (r *run) open(ctx context.Context, file input) (s *source, done bool, err error) {
	before, buffer := r.bytesRead.Load(), r.buffer
	if file.member != nil {
		buffer = r.members
	}
	s, err = file.open(ctx, r.config.Stdin, buffer, &r.bytesRead)
	if err != nil || s.holds != "" {
		return s, false, err
	}
	at := mark{}
	if !file.stream() {
		at = r.checkpoint.at(s.fingerprint)
	}
	switch {
	case at.offset == whole:
		r.bytesRead.Store(max(r.bytesRead.Load(), before+file.onDisk()))
		r.pass(at.messages, file.onDisk())
		return nil, true, s.close()
	case at.offset == 0:
		r.reader.reset(s, Place{File: file.path})
		return s, false, nil
	}
	if err := s.skip(at.offset); err != nil {
		return nil, false, errors.Join(err, s.close())
	}
	r.reader.reset(s, Place{file.path, at.messages, at.offset})
	if ok, err := r.reader.resumes(); !ok { // the file was changed, but its size and beginning are the same
		r.bytesRead.Store(before)
		r.checkpoint.forget(s.fingerprint)
		if err := errors.Join(err, s.close()); err != nil {
			return nil, false, err
		}
		return r.open(ctx, file)
	}
	r.pass(at.messages, r.bytesRead.Load()-before)
	return s, false, nil
}

// pass counts what an earlier run imported.
func (r *run) pass(messages int, bytes int64) {
	r.current.passed += messages
	r.bytesPassed.Add(bytes)
}

// take adds one message to the current batch, from a file in a folder.
func (r *run) take(raw *Raw, from folder) {
	r.current.seen++
	event, in, err := parseMessage(raw, Options{r.config.UserID, r.config.Addresses, r.config.Now().UTC().Truncate(time.Microsecond), from})
	if err != nil {
		r.report(raw.Place, err)
		r.current.broken++
		return
	}
	if in != noFolder && !r.config.Trash {
		r.current.left++
		return
	}
	message, err := messageOf(event)
	if err != nil {
		r.report(raw.Place, err)
		r.current.broken++
		return
	}
	r.current.messages = append(r.current.messages, message)
	r.current.places = append(r.current.places, raw.Place)
	r.current.bytes += len(message.Value)
}

func (r *run) report(place Place, err error) {
	r.config.Log.Warn("skip broken message", "file", place.File, "message", place.Number, "byte", place.Offset, "error", err)
	r.config.Refused(place, err)
}

func (r *run) flush(ctx context.Context) error {
	full := r.current
	r.current = batch{}
	select {
	case r.batches <- full:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) publish(ctx context.Context, publisher *publisher) error {
	noting := true
	for next := range r.batches {
		err := publisher.publish(ctx, next.messages, func(index int, err error) {
			r.report(next.places[index], err)
			next.broken++
			r.result.Imported--
		})
		if err != nil {
			return err
		}
		if noting {
			if err := r.checkpoint.note(next.marks); err != nil {
				r.config.Log.Warn("the checkpoint cannot be written: if interrupted, the import resumes from an earlier position", "error", err)
				noting = false
			}
		}
		r.result.Passed += next.passed
		r.result.Imported += len(next.messages)
		r.result.Broken += next.broken
		r.result.LeftOut += next.left
		r.result.Unreadable += next.failed
		r.config.Progress.Update(Status{Result: r.result, Read: r.bytesRead.Load(), Passed: r.bytesPassed.Load(), Total: r.total})
	}
	return nil
}
