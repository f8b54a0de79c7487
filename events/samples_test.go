package events_test

import (
	"time"

	"github.com/applylens/applylens/events"
)

const sampleSource = "/applylens/0198c0de-0000-7000-8000-00000000c0de"

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func id(text string) events.UUID {
	u, err := events.ParseUUID(text)
	if err != nil {
		panic(err)
	}
	return u
}

// sampleAction is the payload of a proposal; the decisions on it are made of it.
func sampleAction() *events.Action {
	return &events.Action{
		ActionID:    id("019ab3f2-5c00-7000-8000-000000000001"),
		UserID:      "u-7",
		PolicyID:    12,
		Action:      "archive_email",
		Confidence:  0.82,
		ProposedAt:  at("2026-11-03T09:15:00.25Z"),
		RecordedAt:  at("2026-11-03T09:15:00.251Z"),
		Features:    []string{"category:promo", "contains:meetup", "listid:news.example.com", "sender_domain:example.com"},
		HasFeatures: true,
		FeatureRule: 1,
		Mail: events.MailRef{
			ID:           "5f0d8c2e-4a53-5c8e-9a53-0f6f5b9d3c11",
			Category:     "promo",
			SenderDomain: "example.com",
			ListID:       "news.example.com",
		},
	}
}

func decided(round int, features []string) *events.Action {
	a := sampleAction()
	a.DecidedAt, a.RecordedAt = at("2026-11-03T10:00:00Z"), at("2026-11-03T10:00:00.000125Z")
	a.Round, a.Features = round, features
	return a
}

// samples returns one event of every type, with every field of its payload set.
func samples() []*events.Event {
	risk := 35
	features := sampleAction().Features
	envelope := func(t events.Type, id, subject string) events.Envelope {
		return events.Envelope{ID: id, Source: sampleSource, Type: t, Subject: subject, Time: at("2026-11-03T10:00:00Z")}
	}
	action := sampleAction().ActionID.String()
	proposed := sampleAction()
	proposed.Explored = true
	reverted := decided(1, features[:1])
	reverted.Decision = events.DecisionApproved
	return []*events.Event{
		{Envelope: envelope(events.TypeActionProposed, "p-1", action), Action: proposed},
		{Envelope: envelope(events.TypeActionApproved, "a-1", action), Action: decided(0, features)},
		{Envelope: envelope(events.TypeActionRejected, "r-1", action), Action: decided(1, features)},
		{Envelope: envelope(events.TypeActionReverted, "v-1", action), Action: reverted},
		{Envelope: envelope(events.TypeActionPerformed, "d-1", ""), Action: &events.Action{
			ActionID:    id("019ab3f2-5c00-7000-8000-000000000002"),
			UserID:      "u-7",
			Action:      "archive_email",
			ProposedAt:  at("2026-11-03T09:59:59Z"),
			RecordedAt:  at("2026-11-03T10:00:00Z"),
			Features:    []string{"category:promo", "contains:sale"},
			FeatureRule: 1,
			Mail:        events.MailRef{ID: "m-8", Category: "promo", Subject: "Big \"SALES\" today – 50 %"},
			Policies:    []int64{12, 9223372036854775807},
		}},
		{Envelope: envelope(events.TypePreferenceChanged, "c-1", ""), Preference: &events.Preference{
			UserID: "u-7", Op: events.PreferencePin, Feature: "contains:meetup", Weight: -0.5,
			RecordedAt: at("2026-11-03T10:00:00Z"),
		}},
		{Envelope: envelope(events.TypeMailReceived, "m-1", ""), Mail: &events.Mail{
			UserID:      "u-7",
			MessageID:   "20261103.1@mail.example.com",
			ContentHash: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
			Thread:      "20261101.7@mail.example.com",
			Subject:     "Réunion \"Go\" — 5 € off 😀",
			Sender:      events.Address{Name: "Go Meetup", Address: "hello@example.com"},
			Recipients:  []events.Address{{Name: "Alice", Address: "alice@example.org"}, {Address: "team@example.org"}},
			DeliveredTo: []string{"alice@example.org"},
			ListID:      "news.example.com",
			Unsubscribe: true,
			ReceivedAt:  at("2026-11-03T08:30:00Z"),
			Category:    "event",
			RiskScore:   &risk,
			Quarantined: true,
			Labels:      []string{"INBOX", "Meetups"},
			ExpiresAt:   at("2026-11-20T18:00:00Z"),
			Text:        "Dear Alice,\r\n\tsee C:\\talks & <slides>\u2028\u0001\n",
			Truncated:   true,
			HTML:        "<p class=\"x\">Dear Alice,<br>\nsee <b>C:\\talks</b></p>",

			ListUnsubscribe:     "<mailto:leave@example.com>, <https://example.com/leave?u=7>",
			ListUnsubscribePost: "List-Unsubscribe=One-Click",
			DKIMSigned:          []string{"from", "list-unsubscribe", "list-unsubscribe-post"},
			InReplyTo:           "20261102.4@mail.example.com",
			References:          []string{"20261101.7@mail.example.com", "20261102.4@mail.example.com"},
			Attachments:         []events.Attachment{{Name: "programme.pdf", Type: "application/pdf", Size: 48213}, {}},
			Calendar:            "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n",
			To:                  []events.Address{{Name: "Alice", Address: "alice@example.org"}},
			Cc:                  []events.Address{{Address: "team@example.org"}},

			RecordedAt: at("2026-11-03T08:30:05Z"),
		}},
		{Envelope: envelope(events.TypeMailChanged, "m-2", ""), MailChange: &events.MailChange{
			UserID:      "u-7",
			MessageID:   "20261103.1@mail.example.com",
			ContentHash: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
			AccountID:   id("019ab3f2-5c00-7000-8000-00000000000a"),
			AccountSeq:  4711,
			Folders:     []string{"Archive", "Bücher & mehr"},
			Labels:      []string{"$Important", "Meetups"},
			RecordedAt:  at("2026-11-03T08:31:00Z"),
		}},
		{Envelope: envelope(events.TypeApplicationChanged, "w-1", "greenhouse/4711"), Application: &events.Application{
			System:          "greenhouse",
			ApplicationID:   "4711",
			Addresses:       []string{"alice@example.org"},
			Company:         "Acme GmbH",
			Stage:           "Onsite",
			LastStageChange: at("2026-10-20T12:00:00Z"),
			InterviewDate:   at("2026-11-10T15:30:00Z"),
			SrcVersion:      1793700000000000,
			RecordedAt:      at("2026-11-03T10:00:00Z"),
		}},
		{Envelope: envelope(events.TypeApplicationRemoved, "w-2", "greenhouse/4711"), Application: &events.Application{
			System: "greenhouse", ApplicationID: "4711", SrcVersion: 1793700000000001,
			RecordedAt: at("2026-11-03T10:00:00Z"),
		}},
		{Envelope: envelope(events.TypeUserErased, "e-1", ""), Erasure: &events.Erasure{
			UserID: "u-7", RecordedAt: at("2026-11-03T10:00:00Z"),
		}},
		{Envelope: envelope(events.TypeVoid, "x-1", "")},
	}
}
