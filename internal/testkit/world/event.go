package world

import (
	"fmt"
	"strconv"
	"time"

	"github.com/applylens/applylens/events"
)

// Decision is an approval (or what adjust makes of it) of a user's n-th action.
func Decision(user string, n int, adjust ...func(*events.Event)) *events.Event {
	id := events.DeriveUUID("test action", user, strconv.Itoa(n))
	e := &events.Event{
		Envelope: events.Envelope{Type: events.TypeActionApproved, ID: "ce-" + id.String()},
		Action: &events.Action{
			ActionID: id, UserID: user, PolicyID: 7, Action: "archive_email", Confidence: 0.7,
			ProposedAt: Noon, DecidedAt: Noon, RecordedAt: Noon.Add(time.Duration(n) * time.Second),
			Features: []string{"category:promo"}, HasFeatures: true, FeatureRule: events.FeatureRule,
			Mail: events.MailRef{ID: fmt.Sprintf("mail-%s-%d", user, n), Category: "promo"},
		},
	}
	for _, f := range adjust {
		f(e)
	}
	return e
}

// Rejected makes a Decision a rejection.
func Rejected(e *events.Event) { e.Type = events.TypeActionRejected }

// Features sets the features of a Decision.
func Features(features ...string) func(*events.Event) {
	return func(e *events.Event) { e.Action.Features = features }
}
