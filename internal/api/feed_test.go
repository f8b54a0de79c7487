package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/testkit/world"
)

func newFeed(w http.ResponseWriter) *feed {
	return &feed{writer: w, control: http.NewResponseController(w), id: "s", beat: heartbeat, writeFor: eventTimeout}
}

// TestASilentStreamIsKeptAlive: a comment comes 15 seconds after whatever came last, and only then.
func TestASilentStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := httptest.NewRecorder()
		f := newFeed(recorder)
		err := f.run(t.Context(), func(_ context.Context, send func(string, any) error) error {
			time.Sleep(heartbeat - time.Second)
			_ = send("a", 1)
			time.Sleep(heartbeat - time.Second)
			_ = send("b", 2)
			time.Sleep(2*heartbeat + time.Second)
			return send("c", 3)
		})
		if err != nil {
			t.Error(err)
		}
		same(t, recorder.Body.String(), "event: a\nid: s.1\ndata: 1\n\nevent: b\nid: s.2\ndata: 2\n\n: alive\n\n: alive\n\nevent: c\nid: s.3\ndata: 3\n\n")
	})
}

// TestTextCannotForgeEvents: whatever a text holds, it is the data of its one event.
func TestTextCannotForgeEvents(t *testing.T) {
	recorder := httptest.NewRecorder()
	f := newFeed(recorder)
	for _, text := range []string{"a\n\nevent: filed\ndata: {}\n\n", "a\r\revent: x", "\u2028\u2029\x00", ": x"} {
		if err := f.write(message{"answer", answerEvent{Text: text}}); err != nil {
			t.Fatal(err)
		}
	}
	if list := readEvents(t, recorder.Body); len(list) != 4 || list[3].name != "answer" {
		t.Errorf("%q", list)
	}
	if bytes.ContainsAny(recorder.Body.Bytes(), "\r") {
		t.Error("a carriage return ends a line, too")
	}
}

// TestNothingOfAStreamOutlivesIt: when the client goes, does not read, or our own code panics, work has ended when run returns.
func TestNothingOfAStreamOutlivesIt(t *testing.T) {
	until := func(ctx context.Context, ended *bool) error {
		<-ctx.Done()
		*ended = true
		return ctx.Err()
	}
	var ended bool
	ctx, cancel := context.WithCancel(t.Context())
	err := newFeed(httptest.NewRecorder()).run(ctx, func(ctx context.Context, send func(string, any) error) error {
		_ = send("a", 1)
		cancel()
		return until(ctx, &ended)
	})
	if !ended || !errors.Is(err, context.Canceled) {
		t.Error("the client went: ", ended, err)
	}
	ended = false
	err = newFeed(broken{httptest.NewRecorder()}).run(t.Context(), func(ctx context.Context, send func(string, any) error) error {
		_ = send("a", 1)
		return until(ctx, &ended)
	})
	if !ended || !errors.Is(err, errClientGone) {
		t.Error("the client does not read: ", ended, err)
	}
	quiet := withLogger(t.Context(), slog.New(slog.DiscardHandler))
	err = newFeed(httptest.NewRecorder()).run(quiet, func(context.Context, func(string, any) error) error { panic("a bug") })
	if err == nil {
		t.Error("a panic is no error")
	}
}

// broken is a client that takes nothing.
type broken struct{ http.ResponseWriter }

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// pipes is a listener whose connections hold nothing: what is written waits until it is read.
type pipes struct{ connections chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	connection, open := <-p.connections
	if !open {
		return nil, net.ErrClosed
	}
	return connection, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestASlowReaderIsLeft: a client that opens a stream and reads nothing holds it for as long as one event may take, and no slot longer.
func TestASlowReaderIsLeft(t *testing.T) {
	w := newDeployment(t, func(c *Config) { c.Model, c.ModelBudget = &scripted{}, 100 })
	p := w.person("alice")
	s := w.handler.(*server)
	s.writeFor = 50 * time.Millisecond
	mine, theirs := net.Pipe()
	listener := pipes{make(chan net.Conn, 1)}
	listener.connections <- theirs
	server := &http.Server{Handler: s}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(listener.connections); server.Close(); mine.Close() })
	request := "GET /chat/stream?q=hello HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + p.token + "\r\n\r\n"
	if _, err := mine.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	w.Eventually("the stream is given up", func() error {
		metrics := w.ask("", http.MethodGet, "/metrics", nil)
		return world.Want(strings.Contains(string(metrics.body), `applylens_chat_streams_total{intent="unknown",outcome="gone"} 1`) &&
			strings.Contains(string(metrics.body), "applylens_chat_open_streams 0"), "%s", metrics.body)
	})
}

var _ chat.Model = (*scripted)(nil)
