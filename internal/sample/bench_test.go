package sample_test

import (
	"testing"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/internal/domain"
)

// BenchmarkCategory measures the speed of the rules on the mail classified by hand.
func BenchmarkCategory(b *testing.B) {
	all := messages(b, "testdata/real.mbox.gz")
	for b.Loop() {
		for _, m := range all {
			mailbox.Category(m, domain.OfAddress(m.Sender.Address))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(all)), "µs/mail")
}
