package page

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/testkit/mailboxes"
	"github.com/applylens/applylens/internal/testkit/world"
)

// BenchmarkPages opens each page of a person with 100,000 mails, hundreds of proposals and a year of decisions, and reports the 99th
// percentiles of the time until the first byte, and how long the compressed page is.
func BenchmarkPages(b *testing.B) {
	o := newSiteOn(b, world.New(b), nil, func(*api.Config) {}).owner("alice").signIn()
	mailboxes.Fill(b, o.Pool, "alice", 100_000)
	o.propose()
	ids := make([]string, 0, 400)
	for _, p := range o.tray() {
		if ids = append(ids, p.ID); len(ids) == cap(ids) {
			break
		}
	}
	for i, id := range ids[:len(ids)/2] {
		o.json(http.MethodPost, "/actions/"+id+"/"+[]string{"approve", "reject"}[i%3/2], "", nil)
	}
	o.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at)
		SELECT 1, 'alice', 'sender_domain:shop' || n || '.example', n % 20, n % 7, now() FROM generate_series(1, 2000) n`)
	newPolicyDays(o)
	o.Exec(`VACUUM ANALYZE`)
	var mail string
	o.Must(o.Pool.QueryRow(b.Context(), `SELECT id::text FROM live_mails WHERE user_id = 'alice' ORDER BY received_at DESC LIMIT 1`).Scan(&mail))
	paths := []string{"/", "/tray", "/history", "/mail/" + mail, "/preferences", "/preferences?all=1", "/policies", "/accuracy", "/money", "/?tool=spending"}
	paths = append(paths, regexp.MustCompile(`/static/[^"]+`).FindAllString(o.get("/").text, -1)...)
	for _, path := range paths {
		b.Run(path[:min(len(path), 20)], func(b *testing.B) {
			var first []time.Duration
			var size int64
			for b.Loop() {
				took, read := firstByte(b, o, path)
				first, size = append(first, took), read
			}
			slices.Sort(first)
			b.ReportMetric(float64(first[len(first)/2].Microseconds())/1000, "first-p50-ms")
			b.ReportMetric(float64(first[len(first)*99/100].Microseconds())/1000, "first-p99-ms")
			b.ReportMetric(float64(size)/1000, "kB")
		})
	}
}

// firstByte asks for a page as a browser does, and tells how long its first byte took and how many compressed bytes it has.
func firstByte(b *testing.B, o *owner, path string) (took time.Duration, size int64) {
	b.Helper()
	began := time.Now()
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { took = time.Since(began) }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(b.Context(), trace), http.MethodGet, o.url+path, nil)
	o.Must(err)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Encoding", "gzip") // set by hand, it is not undone
	answer, err := o.http.Do(r)
	o.Must(err)
	size, err = io.Copy(io.Discard, answer.Body)
	o.Must(err)
	o.Must(answer.Body.Close())
	if answer.StatusCode != http.StatusOK {
		b.Fatal(fmt.Errorf("%s: %s", path, answer.Status))
	}
	return took, size
}
