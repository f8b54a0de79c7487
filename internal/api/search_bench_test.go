package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// BenchmarkSearch searches the mail of one person with 100,000 mails and 40 applications, and reports the median and the
// 99th percentile of the answers.
func BenchmarkSearch(b *testing.B) {
	pool, _ := testenv.Database(b)
	handler, secret := fast(b, pool)
	fill(b, pool, "alice", 100_000)
	for _, query := range []struct{ name, parameters string }{
		{"newest", ""},
		{"networking", "mode=networking&near=york"},
		{"money", "mode=money"},
		{"frequent word", "q=meeting"},
		{"rare word", "q=receipt+gugu*"},
		{"promo of a week", "q=" + url.QueryEscape("category:promo AND received_at:[now-7d TO now]")},
		{"stage", "q=ats.stage:onsite"},
		{"phrase", "q=" + url.QueryEscape(`"thank you for"`) + "&mode=money"},
	} {
		b.Run(query.name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				took = append(took, timed(b, handler, http.MethodGet, "/search?"+query.parameters, secret))
			}
			slices.Sort(took)
			b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
			b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// fill gives a person mail of the last five years, and applications of which one in a thousand mails speaks.
func fill(b *testing.B, pool *pgxpool.Pool, user string, count int) {
	b.Helper()
	mails, now := load.NewMails(7), time.Now()
	list := make([]events.Event, 0, 5000)
	for i := range count {
		m := mails.Next(user, i, now.Add(-time.Duration(i)*5*365*24*time.Hour/time.Duration(count)))
		m.DeliveredTo = []string{home}
		if i%1000 == 500 {
			m.Sender, m.Category = events.Address{Name: "Recruiter", Address: fmt.Sprintf("recruiter@firm%d.com", i/1000%40)}, "applications"
		}
		if list = append(list, events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: m}); len(list) == cap(list) {
			foldAll(b, pool, mailbox.Group(), list...)
			list = list[:0]
		}
	}
	foldAll(b, pool, mailbox.Group(), list...)
	for i := range 40 {
		applied(b, pool, events.Application{ApplicationID: fmt.Sprint(i), Company: fmt.Sprint("Firm", i), Stage: []string{"Applied", "Screen", "Onsite", "Offer"}[i%4], LastStageChange: daysAgo(i)})
	}
	if _, err := pool.Exec(b.Context(), "VACUUM ANALYZE"); err != nil {
		b.Fatal(err)
	}
}
