package api

import (
	"net/http"
	"testing"

	"github.com/applylens/applylens/events"
)

// TestProposalsExpireAfter30Days looks at proposals a little younger and just as old, in all that depends on it.
func TestProposalsExpireAfter30Days(t *testing.T) {
	for state, age := range map[string]string{pending: "30 days - 1 minute", expired: "30 days"} {
		t.Run(state, func(t *testing.T) {
			p := newDeployment(t).person("alice")
			waiting, decided, reverted := p.action(), p.action(), p.action()
			p.post("/actions/"+decided.ID+"/reject", nil).want(http.StatusOK)
			p.post("/actions/"+reverted.ID+"/approve", nil).want(http.StatusOK)
			p.Exec(`UPDATE actions SET created_at = now() - interval '` + age + `'`)
			same(t, decode[actionView](p.post("/actions/"+reverted.ID+"/revert", nil).want(http.StatusOK)).Status, state)
			mails := map[string]any{"email_ids": []string{waiting.EmailID, decided.EmailID, reverted.EmailID}}
			if state == pending {
				same(t, len(decode[[]trayItem](p.get("/actions/tray").want(http.StatusOK))), 2)
				same(t, len(p.propose(mails)), 0)
				p.post("/actions/"+waiting.ID+"/approve", nil).want(http.StatusOK)
				return
			}
			same(t, len(decode[[]trayItem](p.get("/actions/tray").want(http.StatusOK))), 0)
			for _, verb := range []string{"approve", "reject", "revert"} {
				answer := p.post("/actions/"+waiting.ID+"/"+verb, nil).want(http.StatusConflict)
				same(t, decode[conflict](answer).State, actionState{waiting.ID, expired})
			}
			before := len(p.events())
			anew := p.propose(mails)
			same(t, len(anew), 2) // the decision on the third stands
			same(t, kinds(p.events()[before:]), []events.Type{events.TypeActionProposed, events.TypeActionProposed})
			p.post("/actions/"+anew[0].ID+"/approve", nil).want(http.StatusOK)
		})
	}
}
