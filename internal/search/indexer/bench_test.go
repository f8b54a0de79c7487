package indexer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
)

// BenchmarkChangedApplications changes 5,000 applications, to which 10,000 of 50,000 mails belong, and waits until all of
// these can be found with their new stage.
func BenchmarkChangedApplications(b *testing.B) {
	w := newDeployment(b)
	w.client = w.open(w.server)
	w.start()
	const people, companies = 50, 100
	text := strings.Repeat("some words of a mail that is not too short ", 40)
	for person := range people {
		user := fmt.Sprint("user", person)
		var part []*events.Event
		for i := range 1000 {
			part = append(part, received(user, fmt.Sprint(i), func(m *events.Mail) {
				m.Text = text
				m.Sender.Address = fmt.Sprintf("rita@company%d.com", i)
				if i >= 500 { // of companies where nobody applied
					m.Sender.Address = fmt.Sprintf("shop@shop%d.com", i)
				} else if i < 2*companies {
					m.Sender.Address = fmt.Sprintf("rita@company%d.com", i/2)
				}
			}))
		}
		w.fold(part...)
	}
	change := func(version int64) {
		var part []*events.Event
		for person := range people {
			for i := range companies {
				part = append(part, applied(fmt.Sprint(person, "-", i), version, by(fmt.Sprintf("user%d@example.org", person)), inStage(fmt.Sprint("stage ", version)),
					func(a *events.Application) { a.Company = fmt.Sprint("Company", i) }))
			}
		}
		w.fold(part...)
	}
	change(1)
	w.settle()
	w.Exec("ANALYZE")
	version := int64(1)
	var took time.Duration
	for b.Loop() {
		version++
		began := time.Now()
		change(version)
		folded := time.Since(began)
		w.settle()
		took += time.Since(began)
		b.Logf("folded after %v, found after %v", folded, time.Since(began))
	}
	b.ReportMetric(took.Seconds()/float64(b.N), "s/change")
	found := 0
	for _, d := range w.documents() {
		if d.ATS != nil && d.ATS.Stage == fmt.Sprint("stage ", version) {
			found++
		}
	}
	if found != 10_000 {
		b.Errorf("%d mails have the last stage", found)
	}
}
