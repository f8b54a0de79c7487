package events_test

import (
	"fmt"
	"testing"

	"github.com/applylens/applylens/events"
)

// records returns the records of count decisions of as many users, policies and mails as a busy partition has.
func records(b *testing.B, count int) []events.Record {
	b.Helper()
	list := make([]events.Record, count)
	for i := range list {
		a := decided(0, sampleAction().Features)
		a.UserID = fmt.Sprintf("user-%04d", i%1000)
		a.ActionID[14], a.ActionID[15] = byte(i>>8), byte(i)
		a.Features[3] = fmt.Sprintf("sender_domain:example-%02d.com", i%50)
		a.Mail.SenderDomain = a.Features[3][len(events.FeatureSenderDomain):]
		e := events.Event{Action: a, Envelope: events.Envelope{
			ID: a.ActionID.String(), Source: sampleSource, Type: events.TypeActionApproved, Time: a.RecordedAt,
		}}
		record, err := events.Encode(&e)
		if err != nil {
			b.Fatal(err)
		}
		record.Headers = append(record.Headers, events.Stamp{Relay: a.ActionID, Seq: int64(i + 1)}.Headers()...)
		list[i] = record
	}
	return list
}

func BenchmarkDecode(b *testing.B) {
	list := records(b, 4096)
	d := events.NewDecoder()
	var e events.Event
	b.SetBytes(int64(len(list[0].Value)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		record := &list[i%len(list)]
		head, err := d.Head(record.Headers)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Decode(&head, record.Value, &e); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkEncode(b *testing.B) {
	list := samples()[:4]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := events.Encode(list[i%len(list)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkIdentity(b *testing.B) {
	e := samples()[1]
	b.ReportAllocs()
	for b.Loop() {
		events.EffectID(e)
		events.ContentHash(e)
	}
}
