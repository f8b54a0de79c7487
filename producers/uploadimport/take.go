package uploadimport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/kafkalog"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/uploads"
	"github.com/applylens/applylens/producers/mailimport"
)

// maxReason bounds the text of a reason, in bytes.
const maxReason = 300

// errGone tells that the upload, or its person, was deleted.
var errGone = errors.New("the upload is gone")

// errLater tells that an import could not be done now, which says nothing about the file.
var errLater = errors.New("the database cannot be reached")

// job is the import of one file.
type job struct {
	*importer
	upload *uploads.Upload
	path   string

	mu       sync.Mutex
	progress uploads.Progress
}

// take imports a file and notes what became of it. The error is what keeps it from being imported now; it is tried again.
func (i *importer) take(ctx context.Context, u *uploads.Upload) error {
	j := &job{importer: i, upload: u, path: i.Store.Path(u.ID)}
	result, err := j.run(ctx)
	switch {
	case errors.Is(err, errGone):
		i.observers.imports.WithLabelValues("deleted").Inc()
		return os.RemoveAll(i.Store.Folder(u.ID))
	case ctx.Err() != nil:
		return nil // whoever leads next goes on
	case err != nil && passes(err):
		return err
	}
	state, fault := uploads.Done, ""
	if err != nil && !errors.Is(err, mailimport.ErrNoMail) {
		fault = j.told(err.Error())
	}
	if j.mails(result) == 0 {
		state = uploads.Failed
		if fault == "" {
			fault = fmt.Sprintf("there is no mail in %s: expected an mbox, a message, or a zip or tar archive of such files or of a Maildir", u.Name)
		}
	}
	end, err := j.end(ctx)
	if err != nil {
		return err
	}
	if err := i.Store.Finish(ctx, u.ID, state, fault, end); err != nil {
		return err
	}
	i.observers.imports.WithLabelValues(state).Inc()
	for outcome, count := range map[string]int{"imported": result.Imported, "broken": result.Broken, "left_out": result.LeftOut} {
		i.observers.mails.WithLabelValues(outcome).Add(float64(count))
	}
	return nil
}

// passes tells whether an error is about this moment, and not about the file.
func passes(err error) bool {
	return errors.Is(err, errLater) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

func (j *job) mails(result mailimport.Result) int {
	return result.Imported + result.Passed + result.LeftOut
}

// run imports the file, and ends with errGone soon after the upload was deleted.
func (j *job) run(ctx context.Context) (result mailimport.Result, err error) {
	owner, err := auth.NewStore(j.Pool).Find(ctx, j.upload.UserID)
	if errors.Is(err, auth.ErrNoUser) {
		return result, errGone
	}
	if err != nil {
		return result, errors.Join(errLater, err)
	}
	if err := j.last(ctx, nil); err != nil { // it may have been deleted before its person's imports were locked
		return result, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var noting sync.WaitGroup
	noting.Go(func() { j.note(ctx, cancel) })
	if err = j.check(ctx); err == nil {
		result, err = mailimport.Run(ctx, j.Conn, mailimport.Config{
			Paths: []string{j.path}, UserID: owner.ID, Addresses: owner.Addresses, StateDir: j.Store.Folder(j.upload.ID),
			Now: time.Now, Log: j.Log, Progress: j, Refused: j.refused,
		})
	}
	gone := errors.Is(context.Cause(ctx), errGone)
	cancel(nil)
	noting.Wait()
	if gone {
		return result, errGone
	}
	return result, j.last(context.WithoutCancel(ctx), err)
}

// last notes the progress, and returns err unless that fails or the upload is gone.
func (j *job) last(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	there, fault := j.Store.Note(ctx, j.upload.ID, j.now())
	switch {
	case fault != nil:
		return errors.Join(errLater, err, fault)
	case !there:
		return errGone
	}
	return err
}

// noteTime bounds how long noting the last progress may take.
const noteTime = 5 * time.Second

// note notes the progress now and then until ctx ends. It ends ctx when the upload is gone.
func (j *job) note(ctx context.Context, cancel context.CancelCauseFunc) {
	for ; ctx.Err() == nil; _ = retry.Wait(ctx, j.Poll) {
		// Not cut by ctx: a statement that is given up may still be done, after the last progress was noted.
		if err := j.last(context.WithoutCancel(ctx), nil); errors.Is(err, errGone) {
			cancel(errGone)
		}
	}
}

func (j *job) now() uploads.Progress {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.progress
}

// check compares the file with the hash that was announced.
func (j *job) check(ctx context.Context) error {
	if j.upload.SHA256 == nil {
		return nil
	}
	file, err := os.Open(j.path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha256.New()
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(sum, file, uploads.MaxChunk)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), j.upload.SHA256) {
		return fmt.Errorf("what was uploaded as %s is not the file that was announced: its SHA-256 is %x. Upload it again", j.upload.Name, sum.Sum(nil))
	}
	return nil
}

// Update implements mailimport.Progress.
func (j *job) Update(status mailimport.Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Read = min(status.Read, j.upload.Size)
	j.progress.Imported, j.progress.Broken = status.Imported+status.Result.Passed, status.Broken
	j.progress.LeftOut, j.progress.Unreadable = status.LeftOut, status.Unreadable
}

// Waiting implements mailimport.Progress.
func (j *job) Waiting(waiting bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Stalled = waiting
}

// refused keeps why a message or a file was refused.
func (j *job) refused(place mailimport.Place, err error) {
	reason := place.File
	if place.Number > 0 {
		reason = place.String()
	}
	reason = j.told(reason + ": " + err.Error())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Refused(reason)
}

// told is a text for the person: with the name of their file, not where it is here.
func (j *job) told(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, j.path, j.upload.Name), "\ufffd")
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// end returns where the person's mail ends in the log now.
func (j *job) end(ctx context.Context) (*uploads.Place, error) {
	name := j.Conn.Topic(events.TopicMail)
	topic, err := j.Conn.DescribeTopic(ctx, name)
	if err != nil {
		return nil, err
	}
	partition := events.Partition([]byte(j.upload.UserID), topic.Partitions)
	_, end, err := kafkalog.Bounds(ctx, j.Conn, name, partition)
	if err != nil {
		return nil, err
	}
	return &uploads.Place{Partition: partition, End: end}, nil
}
