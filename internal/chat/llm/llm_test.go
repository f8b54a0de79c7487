package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/chat"
)

var prompt = chat.Prompt{System: "rules", User: "mail"}

// serve starts a server of models and returns a client of it.
func serve(t *testing.T, config Config, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	config.BaseURL, config.Model = server.URL+"/v1", "small"
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// say writes a piece as OpenAI's protocol does.
func say(w io.Writer, text string) {
	piece, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text}}}})
	fmt.Fprintf(w, "data: %s\n\n", piece)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// read returns all that the model writes.
func read(ctx context.Context, client *Client) (string, error) {
	var b strings.Builder
	err := client.Write(ctx, prompt, func(piece string) bool {
		b.WriteString(piece)
		return true
	})
	return b.String(), err
}

func TestWrite(t *testing.T) {
	client := serve(t, Config{Key: "secret"}, func(w http.ResponseWriter, r *http.Request) {
		var got struct {
			Model    string
			Stream   bool
			Messages []struct{ Role, Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer secret" || got.Model != "small" || !got.Stream ||
			len(got.Messages) != 2 || got.Messages[0].Content != "rules" || got.Messages[1].Content != "mail" {
			t.Errorf("%s %+v", r.URL, got)
		}
		fmt.Fprint(w, ": a comment\n\n")
		say(w, "Hello ")
		say(w, "")
		say(w, "there.\n")
		fmt.Fprint(w, "data: [DONE]\n\n")
	})
	if text, err := read(t.Context(), client); err != nil || text != "Hello there.\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWriteStopsWhenNoMoreIsTaken(t *testing.T) {
	ended := make(chan struct{})
	client := serve(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		say(w, "enough")
		<-r.Context().Done()
	})
	if err := client.Write(t.Context(), prompt, func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	<-ended
}

// TestHostileServers: whatever a server does, the request ends with an error, and soon.
func TestHostileServers(t *testing.T) {
	const soon = 100 * time.Millisecond
	for name, c := range map[string]struct {
		config Config
		answer http.HandlerFunc
		want   error // nil: any
	}{
		"hangs": {Config{FirstTimeout: soon}, func(_ http.ResponseWriter, r *http.Request) { hang(r) }, chat.ErrSlow},
		"hangs after the header": {Config{FirstTimeout: soon}, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			hang(r)
		}, chat.ErrSlow},
		"drips comments": {Config{FirstTimeout: soon}, func(w http.ResponseWriter, r *http.Request) { drip(w, r, ": still thinking\n\n") }, nil},
		"drips words": {Config{Timeout: 3 * soon, FirstTimeout: soon}, func(w http.ResponseWriter, r *http.Request) {
			drip(w, r, `data: {"choices":[{"delta":{"content":"x"}}]}`+"\n\n")
		}, nil},
		"a gigabyte": {Config{}, func(w http.ResponseWriter, r *http.Request) {
			for range 1 << 20 {
				if _, err := w.Write(bytes.Repeat([]byte("data: "), 200)); err != nil {
					return
				}
			}
		}, ErrTooMuch},
		"a gigabyte of words": {Config{}, func(w http.ResponseWriter, r *http.Request) {
			for range 1 << 20 {
				say(w, strings.Repeat("x", 1000))
				if r.Context().Err() != nil {
					return
				}
			}
		}, ErrTooMuch},
		"a gigabyte of an error": {Config{}, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for range 1 << 20 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
					return
				}
			}
		}, ErrTooMuch},
		"garbage":       {Config{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: {\x00\xff\n\n<html>") }, nil},
		"another shape": {Config{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `data: {"choices":"none"}`+"\n\n") }, nil},
		"nothing":       {Config{}, func(http.ResponseWriter, *http.Request) {}, ErrEmpty},
		"done at once":  {Config{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: [DONE]\n\n") }, ErrEmpty},
		"fails":         {Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, nil},
		"says an error": {Config{}, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `data: {"error":{"message":"overloaded"}}`+"\n\n")
		}, nil},
		"cuts": {Config{}, func(w http.ResponseWriter, _ *http.Request) {
			say(w, "half")
			panic(http.ErrAbortHandler)
		}, nil},
		"redirects": {Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("the mail was sent to another place")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := read(t.Context(), serve(t, c.config, c.answer))
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if len(text) > mostBytes {
				t.Errorf("%d bytes were taken", len(text))
			}
		})
	}
}

// TestErrorsRepeatNothing: a server that repeats the key and the mail in its errors does not bring them into our logs.
func TestErrorsRepeatNothing(t *testing.T) {
	for _, answer := range []string{`{"error":{"message":"secret is no key for rules, mail"}}`, `secret is no key for rules, mail`, `data: {"error":{"message":"secret, mail"}}` + "\n\n"} {
		for _, status := range []int{http.StatusOK, http.StatusUnauthorized} {
			client := serve(t, Config{Key: "secret"}, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				fmt.Fprint(w, answer)
			})
			_, err := read(t.Context(), client)
			if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "mail") {
				t.Errorf("%d %s: %v", status, answer, err)
			}
		}
	}
}

func hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the end of the connection is noticed
	<-r.Context().Done()
}

// drip writes a line again and again until nobody listens.
func drip(w http.ResponseWriter, r *http.Request, line string) {
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		if _, err := fmt.Fprint(w, line); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-every.C:
		case <-r.Context().Done():
			return
		}
	}
}

func TestACancelledRequestIsNotSlow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client := serve(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		say(w, "x")
		cancel()
		hang(r)
	})
	if _, err := read(ctx, client); !errors.Is(err, context.Canceled) || errors.Is(err, chat.ErrSlow) {
		t.Error(err)
	}
}

// TestFewAtOnce: while as many requests as may are under way, a further one waits and asks nothing.
func TestFewAtOnce(t *testing.T) {
	asked := make(chan struct{}, 2*atOnce)
	client := serve(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		hang(r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, atOnce)
	for range atOnce {
		go func() {
			_, err := read(ctx, client)
			results <- err
		}()
	}
	for range atOnce {
		<-asked
	}
	late, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := read(late, client); !errors.Is(err, context.DeadlineExceeded) || len(asked) > 0 {
		t.Errorf("%v, and %d more requests", err, len(asked))
	}
	cancel()
	for range atOnce {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
