package api

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/mailboxes"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// BenchmarkSearch searches the mail of one person with 100,000 mails and 40 applications, and reports the median and the
// 99th percentile of the answers.
func BenchmarkSearch(b *testing.B) {
	pool, _ := testenv.Database(b)
	handler, secret := fast(b, pool)
	mailboxes.Fill(b, pool, "alice", 100_000)
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
