// Package mailboxes fills mailboxes of a size for benchmarks, by the folds themselves. Tests say what they need of a mail one by one.
package mailboxes

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/load"
)

// Home is the address to which the mail is delivered, and with which people applied.
const Home = "alice@home.example"

// Fill gives a person mail of the last five years, and 40 applications of which one in a thousand mails speaks. The tables have
// statistics afterwards.
func Fill(t testing.TB, pool *pgxpool.Pool, user string, count int) {
	t.Helper()
	mails, now := load.NewMails(7), time.Now()
	list := make([]events.Event, 0, 5000)
	for i := range count {
		m := mails.Next(user, i, now.Add(-time.Duration(i)*5*365*24*time.Hour/time.Duration(count)))
		m.DeliveredTo = []string{Home}
		if i%1000 == 500 {
			m.Sender, m.Category = events.Address{Name: "Recruiter", Address: fmt.Sprintf("recruiter@firm%d.com", i/1000%40)}, "applications"
		}
		if list = append(list, events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: m}); len(list) == cap(list) {
			Fold(t, pool, mailbox.Group(), list...)
			list = list[:0]
		}
	}
	Fold(t, pool, mailbox.Group(), list...)
	for i := range 40 {
		Fold(t, pool, enrichment.Group(), events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: &events.Application{
			System: "greenhouse", ApplicationID: fmt.Sprint(i), Addresses: []string{Home}, Company: fmt.Sprint("Firm", i),
			Stage: []string{"Applied", "Screen", "Onsite", "Offer"}[i%4], LastStageChange: now.AddDate(0, 0, -i), SrcVersion: 1, RecordedAt: now,
		}})
	}
	if _, err := pool.Exec(t.Context(), "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// Fold lets a group fold events in one transaction into its first version.
func Fold(t testing.TB, pool *pgxpool.Pool, group *consumers.Group, list ...events.Event) {
	t.Helper()
	batch := group.NewBatch()
	for i := range list {
		batch.Add(&list[i])
	}
	err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error { return batch.Write(t.Context(), tx, consumers.Version{Number: 1}) })
	if err != nil {
		t.Fatal(err)
	}
}
