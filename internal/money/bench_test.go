package money_test

import (
	"testing"

	"github.com/applylens/applylens/internal/money"
)

// BenchmarkFind measures the time for a mail: on real mail, most of which has no amount, and on receipts.
func BenchmarkFind(b *testing.B) {
	all := sampleMail(b)
	var receipts []*money.Mail
	for _, name := range sets {
		for _, one := range handMade(b, name) {
			receipts = append(receipts, one.mail)
		}
	}
	for _, of := range []struct {
		name  string
		mails []*money.Mail
	}{{"real mail", all}, {"hand-made", receipts}} {
		b.Run(of.name, func(b *testing.B) {
			bytes := 0
			for _, m := range of.mails {
				bytes += len(m.Text)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, m := range of.mails {
					money.Find(m)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N*len(of.mails)), "µs/mail")
			b.ReportMetric(float64(bytes)/float64(len(of.mails)), "bytes/mail")
		})
	}
}
