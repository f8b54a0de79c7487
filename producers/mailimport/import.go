package mailimport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/broker"
)

// Config is what an import needs.
type Config struct {
	Path      string    // a file, a directory or Stdin
	Stdin     io.Reader // read when Path is Stdin
	UserID    string    // whose mail it is
	Addresses []string  // the person's own addresses, in addition to those that Delivered-To names
	Skip      int       // messages to pass over at the start: those that an interrupted import reports as done
	Now       func() time.Time
	Log       *slog.Logger
	Progress  Progress // Default: none.
}

// Validate lists every fault.
func (c *Config) Validate() error {
	var faults []error
	if c.UserID == "" {
		faults = append(faults, errors.New("no user is given"))
	}
	if c.Skip < 0 {
		faults = append(faults, errors.New("the number of messages to skip is negative"))
	}
	for i, address := range c.Addresses {
		c.Addresses[i] = strings.ToLower(strings.TrimSpace(address))
		if !isAddress(c.Addresses[i]) {
			faults = append(faults, fmt.Errorf("%q is not a mail address", address))
		}
	}
	return errors.Join(faults...)
}

// Result is what an import did. Done counts messages from the start that need not be imported again.
type Result struct {
	Done     int
	Imported int
	Broken   int
}

// Progress is told how an import goes on. It is called from one goroutine at a time.
type Progress interface {
	// Update is called often; total and read are bytes on disk, total is 0 when it is not known.
	Update(messages, broken int, read, total int64)
	// Waiting is called with true when Kafka is away and with false when it is back.
	Waiting(bool)
}

// Run imports all mail of config.Path. A message that is broken is logged with its place and skipped; a file that
// cannot be read ends the import with an error, as does the end of ctx; Result then tells how far it came. The parser
// works on one batch while Kafka takes another.
func Run(ctx context.Context, conn *broker.Conn, config Config) (Result, error) {
	if err := config.Validate(); err != nil {
		return Result{}, err
	}
	files, err := inputs(config.Path)
	if err != nil {
		return Result{}, err
	}
	if config.Progress == nil {
		config.Progress = noProgress{}
	}
	r := &run{config: config, batches: make(chan batch)}
	for _, file := range files {
		r.total += file.size
	}
	publisher := newPublisher(conn, config.Log, config.Progress.Waiting)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(r.batches)
		return r.read(groupCtx, files)
	})
	group.Go(func() error { return r.publish(groupCtx, publisher) })
	err = errors.Join(group.Wait(), publisher.close())
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.result, err
}

type noProgress struct{}

func (noProgress) Update(int, int, int64, int64) {}
func (noProgress) Waiting(bool)                  {}

// batch is a run of messages in the order of the files.
type batch struct {
	messages []kafka.Message
	places   []Place
	bytes    int
	seen     int // messages read, the broken ones too
	broken   int
}

// run is one import. The reading goroutine owns current, the publishing one result.
type run struct {
	config    Config
	bytesRead atomic.Int64
	total     int64
	batches   chan batch
	current   batch
	toSkip    int
	result    Result
}

func (r *run) read(ctx context.Context, files []input) error {
	r.toSkip = r.config.Skip
	for _, file := range files {
		if err := r.readFile(ctx, file); err != nil {
			return errors.Join(err, r.flush(ctx))
		}
	}
	return r.flush(ctx)
}

func (r *run) readFile(ctx context.Context, file input) (err error) {
	in, closeFile, err := file.open(r.config.Stdin, &r.bytesRead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFile()) }()
	reader := NewReader(in, file.path)
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.take(raw)
		if len(r.current.messages) >= batchMessages || r.current.bytes >= batchBytes || r.current.seen >= 10*batchMessages {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// take adds one message to the current batch.
func (r *run) take(raw *Raw) {
	r.current.seen++
	if r.toSkip > 0 {
		r.toSkip--
		return
	}
	event, err := Parse(raw, Options{r.config.UserID, r.config.Addresses, r.config.Now().UTC().Truncate(time.Microsecond)})
	if err != nil {
		r.report(raw.Place, err)
		r.current.broken++
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
	for next := range r.batches {
		err := publisher.publish(ctx, next.messages, func(index int, err error) {
			r.report(next.places[index], err)
			next.broken++
			r.result.Imported--
		})
		if err != nil {
			return err
		}
		r.result.Done += next.seen
		r.result.Imported += len(next.messages)
		r.result.Broken += next.broken
		r.config.Progress.Update(r.result.Done, r.result.Broken, r.bytesRead.Load(), r.total)
	}
	return nil
}
