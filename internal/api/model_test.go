package api

import (
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
)

// model is what an action should be after some requests.
type model struct {
	id     string
	status string
	round  int
	events []events.Type
}

// apply does to the model what a verb should do, and returns the status that the API should answer with.
func (m *model) apply(verb string) int {
	wanted := map[string]string{"approve": approved, "reject": rejected, "revert": pending}[verb]
	switch {
	case verb == "revert" && m.status == pending:
		if m.round == 0 {
			return http.StatusConflict
		}
		return http.StatusOK
	case verb == "revert":
		m.status, m.round = pending, m.round+1
		m.events = append(m.events, events.TypeActionReverted)
		return http.StatusOK
	case m.status == wanted:
		return http.StatusOK
	case m.status != pending:
		return http.StatusConflict
	}
	m.status = wanted
	m.events = append(m.events, actions.KindOf(wanted))
	return http.StatusOK
}

// TestActionsFollowTheModel sends random decisions and reverts and compares answers, state and events with the model.
func TestActionsFollowTheModel(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	rapid.Check(t, func(t *rapid.T) {
		m := &model{id: p.action().ID, status: pending, events: []events.Type{events.TypeActionProposed}}
		seen := map[string]bool{}
		last := ""
		for _, verb := range rapid.SliceOfN(rapid.SampledFrom([]string{"approve", "reject", "revert"}), 1, 8).Draw(t, "verbs") {
			count := len(m.events)
			want := m.apply(verb)
			answer := p.post("/actions/"+m.id+"/"+verb, nil)
			if answer.status != want {
				t.Fatalf("%s answered %d, want %d: %s", verb, answer.status, want, answer.body)
			}
			if want != http.StatusOK {
				continue
			}
			if got := decode[actionView](answer).Status; got != m.status {
				t.Fatalf("%s made it %s, want %s", verb, got, m.status)
			}
			event := answer.header.Get("X-Event-Id")
			if repeated := len(m.events) == count; repeated != (event == last) || repeated != seen[event] {
				t.Fatalf("%s: event %s after %s, repeated %v", verb, event, last, repeated)
			}
			seen[event], last = true, event
		}
		var got []events.Type
		for _, e := range p.events() {
			if e.Action.ActionID.String() == m.id {
				got = append(got, e.Type)
			}
		}
		if !slices.Equal(got, m.events) {
			t.Fatalf("events %v, want %v", got, m.events)
		}
	})
}
