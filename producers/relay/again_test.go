package relay

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

// A log that was mirrored to another cluster is read from its beginning, by a database that knows all of it but has pruned
// the rows. What was forgotten before a decision stays before it: else taking the decision back would take nothing back.
func TestLogReadAnewForgetsNothingAgain(t *testing.T) {
	w := newDeployment(t)
	w.Exec("INSERT INTO users (id) VALUES ('ann')")
	forget := &events.Event{Envelope: events.Envelope{Type: events.TypePreferenceChanged},
		Preference: &events.Preference{UserID: "ann", Op: events.PreferenceForget, Feature: "category:promo", RecordedAt: recorded}}
	id := events.NewUUIDv7(recorded)
	w.emit(forget)
	w.action(events.TypeActionApproved, id, "ann", 1, 0)
	stop := w.start()
	w.AwaitPublished()
	stop()
	const state = `
SELECT 'person ' || forgets FROM users UNION ALL SELECT 'decision ' || forgets FROM actions
UNION ALL SELECT feature || ' ' || forget FROM forgotten_features ORDER BY 1`
	for range 2 { // the first time restores what the database has never known
		w.Exec("DELETE FROM outbox")
		w.readAnew()
		if diff := cmp.Diff([]string{"category:promo 1", "decision 1", "person 1"}, world.Column[string](w, state)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
