package elastic

import (
	"strings"
	"testing"
	"time"
)

// BenchmarkPut makes and writes the document of a mail of 1.7 kB.
func BenchmarkPut(b *testing.B) {
	text := strings.Repeat("some words of a mail that is not too short ", 40)
	mail := &Mail{
		ID: "0199c0de-0000-7000-8000-000000000000", UserID: "user", ReceivedAt: time.Now(), Subject: "About it", Text: text, SenderName: "Rita", Sender: "rita@acme.com", SenderDomain: "acme.com", Recipients: []string{"ada@example.org"}, Category: "personal",
		ATS: &ATS{System: "lever", ApplicationID: "1", Stage: "Onsite", Company: "Acme", GhostingRisk: 0.1},
	}
	b.ReportAllocs()
	for b.Loop() {
		var bulk Bulk
		for range 100 {
			if err := bulk.Put("index", NewDocument(mail), 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/mail")
}
