package api

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/mailboxes"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// BenchmarkChat asks about the mail of one person with 100,000 mails and 40 applications, and reports the 99th percentiles of the time
// until the first event and until the last.
func BenchmarkChat(b *testing.B) {
	pool, _ := testenv.Database(b)
	handler, secret := fast(b, pool)
	mailboxes.Fill(b, pool, "alice", 100_000)
	site := httptest.NewServer(handler)
	b.Cleanup(site.Close)
	for name, question := range map[string]string{
		"search":     "find the mail about the meeting from last month",
		"summary":    "summarise my inbox",
		"count":      "how many promos did I get this year?",
		"status":     "what's the stage at Firm3?",
		"networking": "any meetups in York?",
		"propose":    "archive old promos",
	} {
		b.Run(name, func(b *testing.B) {
			var first, last []time.Duration
			for b.Loop() {
				began := time.Now()
				response := openStream(b, b.Context(), site.URL, secret, question)
				reader := bufio.NewReader(response.Body)
				for line := ""; !strings.HasPrefix(line, "event: ready"); {
					var err error
					if line, err = reader.ReadString('\n'); err != nil {
						b.Fatal(err)
					}
				}
				first = append(first, time.Since(began))
				rest, err := io.ReadAll(reader)
				if err != nil || !strings.Contains(string(rest), "event: done") {
					b.Fatal(err, string(rest))
				}
				last = append(last, time.Since(began))
			}
			for _, took := range []struct {
				name string
				list []time.Duration
			}{{"first", first}, {"last", last}} {
				slices.Sort(took.list)
				b.ReportMetric(milliseconds(took.list[len(took.list)/2]), took.name+"-p50-ms")
				b.ReportMetric(milliseconds(took.list[len(took.list)*99/100]), took.name+"-p99-ms")
			}
		})
	}
}

// BenchmarkStreams holds 200 streams of 50 persons open while a model thinks, each after it has searched and read 20 long mails, with
// clients that read nothing, and reports by how much the process, clients included, has grown. One more stream is refused.
func BenchmarkStreams(b *testing.B) {
	pool, _ := testenv.Database(b)
	model := &scripted{asked: make(chan chat.Prompt, 200), hold: make(chan struct{})}
	handler, err := New(Config{Pool: pool, Search: postgres.New(pool), Log: slog.New(slog.DiscardHandler), Rate: 1e9, Burst: 1e9, Model: model, ModelBudget: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	users := auth.NewStore(pool)
	var secrets []string
	var list []events.Event
	mails := load.NewMails(7)
	for i := range 51 {
		id := fmt.Sprint("person", i)
		if _, err := users.CreateUser(b.Context(), auth.User{ID: id}); err != nil {
			b.Fatal(err)
		}
		secret, err := users.CreateToken(b.Context(), id, auth.Bearer, "", time.Time{})
		if err != nil {
			b.Fatal(err)
		}
		secrets = append(secrets, secret)
		for n := range 20 {
			m := mails.Next(id, n, time.Now().Add(-time.Duration(n)*time.Minute))
			m.Category, m.Text = "personal", strings.Repeat(fmt.Sprintf("The meeting of the board number %d is on a day of the week. ", n), 350)
			list = append(list, events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: m})
		}
	}
	mailboxes.Fold(b, pool, mailbox.Group(), list...)
	site := httptest.NewServer(handler)
	b.Cleanup(site.Close)
	for b.Loop() {
		debug.FreeOSMemory() // or the streams would grow into what was needed before
		before := resident(b)
		var open []net.Conn
		for _, secret := range secrets[1:] {
			for range mostStreams {
				connection, err := net.Dial("tcp", site.Listener.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				fmt.Fprintf(connection, "GET /chat/stream?q=summarise+my+inbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", secret)
				open = append(open, connection)
				select {
				case <-model.asked:
				case <-time.After(time.Minute):
					b.Fatal("a stream did not come to its model")
				}
			}
		}
		b.ReportMetric(float64(resident(b)-before)/(1<<20), "MiB")
		refused := requestStream(b, b.Context(), site.URL+"/chat/stream?q=x", "Authorization", "Bearer "+secrets[0])
		if refused.StatusCode != http.StatusServiceUnavailable || refused.Header.Get("Retry-After") == "" {
			b.Fatal(refused.Status)
		}
		for _, connection := range open {
			connection.Close()
		}
		for handler.(*server).isStreaming() {
			time.Sleep(time.Millisecond)
		}
	}
}

// isStreaming tells whether any stream is under way.
func (s *server) isStreaming() bool {
	s.allStreams.mu.Lock()
	defer s.allStreams.mu.Unlock()
	return len(s.allStreams.persons) > 0
}

// resident is how much memory this process has.
func resident(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if errors.Is(err, os.ErrNotExist) {
		b.Skip("only Linux tells how much memory a process has")
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
