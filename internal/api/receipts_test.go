package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/world"
)

func TestReceiptsAsCSV(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	const header = "date,merchant,amount,email_id,subject,category,currency\r\n"
	same(t, string(p.get("/money/receipts.csv").want(http.StatusOK).body), header)

	a := p.receipt("Paper & Pen", "24.9", "EUR", spring, `Your "receipt", Sam`)
	b := p.receipt("=cmd|' /C calc'!A0", "-41", "USD", spring.Add(time.Hour), "@SUM(1+1)\n=2")
	c := p.receipt("Sakura", "5000", "JPY", spring.Add(2*time.Hour), "ok;=HYPERLINK(1)")
	w.person("bob").receipt("Casino", "1", "EUR", spring, "bob's")
	for _, path := range []string{"/money/receipts.csv", "/api/money/receipts.csv"} {
		answer := p.get(path).want(http.StatusOK)
		same(t, string(answer.body), header+
			"2026-03-01,Sakura,5000.00,"+c+",ok;'=HYPERLINK(1),finance,JPY\r\n"+
			"2026-03-01,'=cmd|' /C calc'!A0,-41.00,"+b+",\"'@SUM(1+1)\r\n'=2\",finance,USD\r\n"+
			"2026-03-01,Paper & Pen,24.90,"+a+",\"Your \"\"receipt\"\", Sam\",finance,EUR\r\n")
		same(t, answer.header.Get("Content-Type"), "text/csv; charset=utf-8; header=present")
		name := answer.header.Get("Content-Disposition")
		if _, err := time.Parse(`attachment; filename="receipts-2006-01-02.csv"`, name); err != nil {
			t.Errorf("Content-Disposition: %q", name)
		}
	}
}

func TestHarmless(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := harmless(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("Paper & Pen", "Paper & Pen")
	f("=1+1", "'=1+1")
	f("+1", "'+1")
	f("-1", "'-1")
	f("@a", "'@a")
	f("\t=1", "'\t'=1")
	f("\r=1", "'\r'=1")
	f("\n1", "'\n1")
	f("＝1", "'＝1")
	f("a=b-c@d", "a=b-c@d")
	f("a;=1;b", "a;'=1;b")
	f("a\t+1", "a\t'+1")
}

// manyReceipts stores receipts in one statement, some of them at the same time, with so many bytes more in their subjects.
func (p *person) manyReceipts(count, more int) {
	p.Helper()
	p.Exec(`INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
	            recipients, list_id, received_at, category, quarantined, labels, text, truncated, content_hash, updated_at,
	            receipt_merchant, receipt_key, receipt_amount, receipt_currency)
	        SELECT 1, gen_random_uuid(), $1, n::text, '', 'Your receipt number ' || n || repeat('.', $3), 'a@x.example', '', 'x.example',
	            '{}', '', timestamptz '2026-03-01' + (n / 700) * interval '1 minute', 'finance', false, '{}', '', false, n, now(),
	            'Shop ' || n % 100, 'shop' || n % 100, n / 100.0, 'EUR'
	        FROM generate_series(1, $2) n`, p.id, count, more)
}

// Every receipt is exported once, in order, however many pages there are and however many share a time.
func TestEveryReceiptIsExportedOnce(t *testing.T) {
	p := newDeployment(t).person("alice")
	for _, count := range []int{receiptsAtOnce - 1, 1, receiptsAtOnce, 1} { // one less than a page, a whole one, two, and one more
		p.manyReceipts(count, 0)
		rows, err := csv.NewReader(strings.NewReader(string(p.get("/money/receipts.csv").want(http.StatusOK).body))).ReadAll()
		p.Must(err)
		seen := map[string]bool{}
		for _, row := range rows[1:] {
			seen[row[3]] = true
		}
		total := world.Scalar[int](p, `SELECT count(*) FROM mails`)
		if len(rows)-1 != total || len(seen) != total {
			t.Errorf("%d rows of %d receipts, want %d", len(rows)-1, len(seen), total)
		}
	}
}

// hooked is a client that something happens to when it has read so many bytes.
type hooked struct {
	*httptest.ResponseRecorder
	after int
	hook  func()
}

func (h *hooked) Write(b []byte) (int, error) {
	if h.hook != nil && h.Body.Len() >= h.after {
		h.hook()
		h.hook = nil
	}
	return h.ResponseRecorder.Write(b)
}

// An export that fails in between must not look complete: the connection is cut.
func TestABrokenExportIsCut(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.manyReceipts(3*receiptsAtOnce, 0)
	client := &hooked{httptest.NewRecorder(), 1, func() { p.Exec(`ALTER VIEW live_mails RENAME TO gone`) }}
	r := httptest.NewRequestWithContext(p.Context(), http.MethodGet, "/money/receipts.csv", nil)
	r.Header.Set("Authorization", "Bearer "+p.token)
	cause := func() (cause any) {
		defer func() { cause = recover() }()
		p.handler.ServeHTTP(client, r)
		return nil
	}()
	if cause != http.ErrAbortHandler {
		t.Errorf("the handler ended with %v after %d bytes", cause, client.Body.Len())
	}
	p.Exec(`ALTER VIEW gone RENAME TO live_mails`)
	p.get("/money/receipts.csv").want(http.StatusOK) // nothing is held
}

// serve serves the API on a port and returns its address.
func (w *deployment) serve() string {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.Must(err)
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- serveUntil(ctx, listener, w.handler, w.Logger, time.Millisecond) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
	return listener.Addr().String()
}

// slowClient opens an export and reads nothing of it but what its buffers take.
func (p *person) slowClient(address string) *bufio.Reader {
	p.Helper()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(p.Context(), "tcp", address)
	p.Must(err)
	p.Cleanup(func() { _ = conn.Close() })
	p.Must(conn.(*net.TCPConn).SetReadBuffer(64 << 10))
	_, err = fmt.Fprintf(conn, "GET /money/receipts.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", p.token)
	p.Must(err)
	return bufio.NewReader(conn)
}

// A client that stops reading is cut after a while, and what it has is not complete.
func TestAStalledExportIsCut(t *testing.T) {
	w := newDeployment(t)
	w.handler.(*server).stallFor = 100 * time.Millisecond
	p := w.person("alice")
	p.manyReceipts(5_000, 3_000)
	reader := p.slowClient(w.serve())
	_, err := reader.ReadString('\n')
	w.Must(err)
	metric := `applylens_api_requests_total{method="GET",route="/money/receipts.csv",status="200"} 1`
	w.Until("the export ends", func() bool { return strings.Contains(string(w.ask("", http.MethodGet, "/metrics", nil).body), metric) })
	response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), reader)), nil)
	w.Must(err)
	defer func() { _ = response.Body.Close() }()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil {
		t.Errorf("an export that was cut after %d bytes looks complete", n)
	}
}

// A client that reads slowly, but reads, gets everything, however long it takes, and holds no connection to PostgreSQL meanwhile. Memory
// does not grow with the number of receipts.
func TestALongExportInBoundedMemory(t *testing.T) {
	w := newDeployment(t)
	const stall = 3 * time.Second
	w.handler.(*server).stallFor = stall
	p := w.person("alice")
	const count = 40_000 // 120 MB
	p.manyReceipts(count, 3_000)
	reader := p.slowClient(w.serve())
	response, err := http.ReadResponse(reader, nil)
	w.Must(err)
	defer func() { _ = response.Body.Close() }()
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	lines, peak, began := 0, uint64(0), time.Now()
	for scanner := bufio.NewScanner(response.Body); ; lines++ {
		if lines%20_000 == 1 { // a pause that is shorter than what is allowed, in all longer
			end := time.NewTimer(stall * 2 / 3)
			if taken := w.Pool.Stat().AcquiredConns(); taken > 1 {
				t.Errorf("%d connections are taken while the client rests", taken)
			}
			<-end.C
			runtime.GC() // what is held, and not what was: other tests run beside this one
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
		if !scanner.Scan() {
			w.Must(scanner.Err())
			break
		}
	}
	if lines != count+1 {
		t.Errorf("%d lines, want %d", lines, count+1)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 64<<20 {
		t.Errorf("%d MiB more memory", grown>>20)
	}
	if took := time.Since(began); took < stall {
		t.Errorf("it took only %v: nothing was slow", took)
	}
}

func TestReceiptsWait(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.action()
	event := p.events()[0].ID
	for _, path := range []string{"/money/receipts.csv", "/money/receipts", "/money/summary", "/money/duplicates"} {
		p.get(path + "?wait=" + event).want(http.StatusOK) // mail does not depend on it
		p.get(path + "?timeout=2h&wait=" + event).want(http.StatusUnprocessableEntity)
		p.get(path + "?unknown=1").want(http.StatusUnprocessableEntity)
	}
}

// Without the database the answer is a problem and no empty file.
func TestReceiptsWithoutADatabase(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.receipt("a", "1", "EUR", spring, "")
	p.Exec(`ALTER VIEW live_mails RENAME TO gone`)
	answer := p.get("/money/receipts.csv").want(http.StatusInternalServerError)
	same(t, answer.header.Get("Content-Disposition"), "")
}
