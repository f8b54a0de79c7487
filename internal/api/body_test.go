package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// listen serves the API on a port until the test ends.
func (w *deployment) listen() (address string) {
	w.Helper()
	listener := httptest.NewUnstartedServer(nil).Listener
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serveUntil(ctx, listener, w.handler, slog.New(slog.DiscardHandler), 0) }()
	w.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			w.Error(err)
		}
	})
	return listener.Addr().String()
}

// begin sends the beginning of a request whose body never ends.
func begin(t *testing.T, address, method, path, headers string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%s\r\n", method, path, address, headers); err != nil {
		t.Fatal(err)
	}
	return conn
}

const (
	sized   = "Content-Length: 100\r\n"
	chunked = "Transfer-Encoding: chunked\r\n"
)

// ending returns the status of the answer, once the server has closed the connection.
func ending(conn net.Conn) (status int, err error) {
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, fmt.Errorf("no answer: %w", err)
	}
	if _, err := io.Copy(io.Discard, io.MultiReader(answer.Body, reader)); err != nil {
		return 0, fmt.Errorf("the connection stays open: %w", err)
	}
	return answer.StatusCode, nil
}

// TestBodiesThatNeverEnd: on no path they keep a connection open, and nobody waits for those of callers who are refused.
func TestBodiesThatNeverEnd(t *testing.T) {
	w := newDeployment(t)
	w.person("alice")
	address := w.listen()
	var all sync.WaitGroup
	f := func(method, path, headers string, want int) {
		t.Helper()
		conn := begin(t, address, method, path, headers)
		all.Go(func() { // all at once, since each takes as long as a refused body may
			if got, err := ending(conn); err != nil || got != want {
				t.Errorf("%s %s: status %d, %v; want %d", method, path, got, err, want)
			}
		})
	}
	for _, framing := range []string{sized, chunked} {
		for _, op := range routes(t, w) {
			path := strings.NewReplacer("{id}", "1", "{feature}", "category:promo").Replace(op.Path)
			f(op.Method, path, framing, http.StatusUnauthorized)
			f(op.Method, "/api"+path, "Authorization: Bearer x\r\n"+framing, http.StatusUnauthorized)
		}
		f("POST", "/openapi.json", framing, http.StatusMethodNotAllowed)
		f("GET", "/openapi.json", framing, http.StatusOK)
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			f("GET", path, framing, http.StatusOK)
			f("POST", "/api"+path, framing, http.StatusNotFound)
		}
		f("POST", "/nowhere", framing, http.StatusNotFound)
		f("GET", "/policy?x=%zz", framing, http.StatusBadRequest)
		f("POST", "/policy", "Origin: https://evil.example\r\n"+framing, http.StatusForbidden)
	}
	all.Wait()
}

func TestCallersHaveSomeTimeForABody(t *testing.T) {
	w := newDeployment(t)
	w.handler.(*server).bodyFor = 10 * time.Millisecond
	p := w.person("alice")
	address := w.listen()
	for _, framing := range []string{sized, chunked} {
		status, err := ending(begin(t, address, "POST", "/policy", "Authorization: Bearer "+p.token+"\r\n"+framing))
		if err != nil || status != http.StatusRequestTimeout {
			t.Errorf("status %d, %v", status, err)
		}
	}
}

// TestTheBodysDeadlineEndsWithIt: an answer may take longer than a body may.
func TestTheBodysDeadlineEndsWithIt(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	body, deadline := `{"condition":`+anySubject+`}`, &deadlines{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/policy/test", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Content-Type", "application/json")
	w.handler.ServeHTTP(deadline, r)
	same(t, deadline.Code, http.StatusOK)
	if n := len(deadline.set); n < 2 || deadline.set[0].IsZero() || !deadline.set[n-1].IsZero() {
		t.Errorf("read deadlines %v, want one that is taken back", deadline.set)
	}
	deadline.set = nil
	w.handler.ServeHTTP(deadline, httptest.NewRequestWithContext(t.Context(), "GET", "/policy", nil))
	if len(deadline.set) != 1 || !deadline.set[0].IsZero() {
		t.Errorf("read deadlines %v without a body, want none", deadline.set)
	}
}

// deadlines collects the read deadlines of a connection.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// TestDrainingEnds: what does not end in time is cut, and that is no failure.
func TestDrainingEnds(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	begun := make(chan struct{}, 2)
	handler := http.HandlerFunc(func(writer http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if r.URL.Path == "/endless" {
			<-r.Context().Done()
			return
		}
		w.handler.ServeHTTP(writer, r)
	})
	listener := httptest.NewUnstartedServer(nil).Listener
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serveUntil(ctx, listener, handler, slog.New(slog.DiscardHandler), 10*time.Millisecond)
	}()
	begin(t, listener.Addr().String(), "POST", "/policy", "Authorization: Bearer "+p.token+"\r\n"+sized)
	begin(t, listener.Addr().String(), "GET", "/endless", "")
	<-begun
	<-begun
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
