package atstest

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

func drawMail(t *rapid.T) *events.Event {
	sender := rapid.SampledFrom(senders).Draw(t, "sender")
	mail := &events.Mail{
		UserID: rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "user"), MessageID: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id"),
		Sender: events.Address{Name: sender.name, Address: sender.address}, Subject: sender.subject, Category: sender.category,
		ListID: sender.list, ReceivedAt: Start, RecordedAt: Start,
	}
	sum := sha256.Sum256([]byte(mail.MessageID)) // one mail of each id, whoever sends it
	mail.ContentHash = hex.EncodeToString(sum[:])
	for _, address := range Addresses(t, 2) {
		mail.Recipients = append(mail.Recipients, events.Address{Address: address})
	}
	if rapid.Bool().Draw(t, "delivered") {
		mail.DeliveredTo = Addresses(t, 1)
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mail}
}

// Addresses draws addresses in the forms that people use.
func Addresses(t *rapid.T, most int) []string {
	list := rapid.SliceOfN(rapid.SampledFrom(addresses), 0, most).Draw(t, "addresses")
	for i := range list {
		_, list[i], _ = strings.Cut(list[i], " ")
	}
	return list
}

func drawApplication(t *rapid.T) *events.Event {
	application := &events.Application{
		System: rapid.SampledFrom([]string{"lever", "Workday"}).Draw(t, "system"), ApplicationID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"),
		SrcVersion: rapid.Int64Range(1, 5).Draw(t, "version"), RecordedAt: Start,
	}
	if rapid.IntRange(0, 5).Draw(t, "removed") == 0 {
		return &events.Event{Envelope: events.Envelope{Type: events.TypeApplicationRemoved}, Application: application}
	}
	application.Addresses = Addresses(t, 3)
	application.Company = rapid.SampledFrom(companies).Draw(t, "company")
	application.Stage = rapid.SampledFrom([]string{"Applied", "Onsite"}).Draw(t, "stage")
	if days := rapid.SampledFrom([]int{0, 10, 13, 14, 16, 20}).Draw(t, "days"); days > 0 {
		application.LastStageChange = Start.AddDate(0, 0, -days)
	}
	if rapid.IntRange(0, 3).Draw(t, "interview") == 0 {
		application.InterviewDate = Start
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: application}
}

// Event draws an event of few users, mails and applications, so that they often match: out of order, duplicated, with equal
// versions, removals and erasures.
func Event(t *rapid.T) *events.Event {
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	case 0:
		user := rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "user")
		return &events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: user}}
	case 1, 2, 3, 4, 5, 6, 7, 8:
		return drawApplication(t)
	default:
		return drawMail(t)
	}
}
