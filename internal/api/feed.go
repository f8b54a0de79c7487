package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	// heartbeat is how long a stream may be silent: programs on the way end connections that are silent for long.
	heartbeat = 15 * time.Second

	// eventTimeout is how long a client may take to read an event. It is shorter than a server drains.
	eventTimeout = 5 * time.Second

	// reconnectAfter is when a browser whose stream broke asks again.
	reconnectAfter = 3 * time.Second
)

// eventStream is the content type of server-sent events.
const eventStream = "text/event-stream"

// feed writes server-sent events to one client. The id of each is the stream's id with the event's number, and the last one's says
// that nothing follows: so a client that reconnects says what it had.
type feed struct {
	writer   http.ResponseWriter
	control  *http.ResponseController
	id       string
	beat     time.Duration
	writeFor time.Duration
	count    int
}

// message is one event.
type message struct {
	event string
	data  any
}

// The names of the events that end a stream.
const (
	doneName  = "done"
	errorName = "error"
)

// endMark stands for the number of the last event.
const endMark = "end"

// run writes what work sends, and a comment whenever nothing came for a while, until work ends. When the client does not read, or has
// gone, work's context ends, and run returns when work has: so nothing of a stream outlives it.
func (f *feed) run(ctx context.Context, work func(ctx context.Context, send func(event string, data any) error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	messages, ended := make(chan message), make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil { // a bug of ours, which must not end the process
				loggerFrom(ctx).Error("stream panicked", "cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
				ended <- errors.New("the stream panicked")
			}
		}()
		ended <- work(ctx, func(event string, data any) error {
			select {
			case messages <- message{event, data}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	beat := time.NewTicker(f.beat)
	defer beat.Stop()
	for {
		var err error
		select {
		case m := <-messages:
			beat.Reset(f.beat)
			err = f.write(m)
		case <-beat.C:
			err = f.put([]byte(": alive\n\n"))
		case err := <-ended:
			return err
		}
		if err != nil {
			cancel()
			<-ended
			return fmt.Errorf("%w: %w", errClientGone, err)
		}
	}
}

// errClientGone tells that a client does not read its stream any more.
var errClientGone = errors.New("the client does not read the stream")

// begin writes the header.
func (f *feed) begin() error {
	f.writer.Header().Set("Content-Type", eventStream)
	f.writer.Header().Set("X-Accel-Buffering", "no") // or proxies would collect events
	f.writer.WriteHeader(http.StatusOK)
	return f.put(fmt.Appendf(nil, "retry: %d\n\n", reconnectAfter.Milliseconds()))
}

// write writes one event. JSON has no line breaks, so that no text of a mail or a model can begin an event.
func (f *feed) write(m message) error {
	data, err := json.Marshal(m.data)
	if err != nil {
		return err
	}
	f.count++
	number := fmt.Sprint(f.count)
	if m.event == doneName || m.event == errorName {
		number = endMark
	}
	return f.put(fmt.Appendf(nil, "event: %s\nid: %s.%s\ndata: %s\n\n", m.event, f.id, number, data))
}

// put sends bytes at once, within the time that a client has to read them.
func (f *feed) put(b []byte) error {
	_ = f.control.SetWriteDeadline(time.Now().Add(f.writeFor)) // there is no connection in some tests
	if _, err := f.writer.Write(b); err != nil {
		return err
	}
	if err := f.control.Flush(); !errors.Is(err, http.ErrNotSupported) { // a page in this process collects the whole stream
		return err
	}
	return nil
}
