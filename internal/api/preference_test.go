package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

func (p *person) pin(feature string, weight any) *reply {
	p.Helper()
	return p.ask(http.MethodPut, "/preferences/"+url.PathEscape(feature), map[string]any{"weight": weight})
}

func (p *person) forget(feature string) *reply {
	p.Helper()
	return p.ask(http.MethodDelete, "/preferences/"+url.PathEscape(feature), nil)
}

// TestPreferencesAreChangedByEvents follows features with all that a path finds difficult to the table and back.
func TestPreferencesAreChangedByEvents(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	f := newFolder(w, weights.Group(nil, nil))
	features := []string{"sender_domain:shop.example", "listid:a/b", "listid:a//b/../c?d#e%2f&+ ü;=", "category:promo", "category:..", "contains:sale"}
	for i, feature := range features {
		answer := p.pin(feature, float64(i)+0.5).want(http.StatusOK)
		same(t, decode[pinned](answer), pinned{feature, float64(i) + 0.5})
		e := p.events()[i]
		same(t, answer.header.Get("X-Event-Id"), e.ID)
		same(t, *e.Preference, events.Preference{UserID: "alice", Op: events.PreferencePin, Feature: feature, Weight: float64(i) + 0.5, RecordedAt: e.Preference.RecordedAt})
	}
	f.fold(100)
	liked := decode[struct{ Liked []preference }](p.get("/preferences").want(http.StatusOK)).Liked
	same(t, len(liked), len(features))
	for i, got := range liked {
		want := len(features) - 1 - i
		same(t, got, preference{Feature: features[want], Weight: float64(want) + 0.5, Pinned: true, UpdatedAt: got.UpdatedAt})
	}

	for _, feature := range features[1:] {
		answer := p.forget(feature).want(http.StatusNoContent)
		list := p.events()
		same(t, answer.header.Get("X-Event-Id"), list[len(list)-1].ID)
		same(t, list[len(list)-1].Preference.Op+" "+list[len(list)-1].Preference.Feature, "forget "+feature)
	}
	f.fold(100)
	same(t, world.Scalar[[]string](w, `SELECT array_agg(feature) FROM user_weights`), features[:1])
	answer := p.ask(http.MethodDelete, "/preferences", nil).want(http.StatusNoContent)
	list := p.events()
	same(t, answer.header.Get("X-Event-Id"), list[len(list)-1].ID)
	same(t, *list[len(list)-1].Preference, events.Preference{UserID: "alice", Op: events.PreferenceReset, RecordedAt: list[len(list)-1].Preference.RecordedAt})
	f.fold(100)
	same(t, world.Scalar[int](w, `SELECT count(*) FROM user_weights`), 0)
}

func TestPinRefusals(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	w.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', 'vip:yes', 1, 0, now()), (1, 'bob', 'vip:no', 1, 0, now())`)
	f := func(feature string, weight any, location string) {
		t.Helper()
		same(t, p.pin(feature, weight).want(http.StatusUnprocessableEntity).problem().Errors[0].Location, location)
	}
	f("contains:lunch", 1, "path.feature")
	f("sender:ann@gmail.com", 1, "path.feature")
	f(" Sender : ann@gmail.com", 1, "path.feature")
	f("sender_domain:*.net", 1, "path.feature")
	f("sender_domain:gmail.com", 1, "path.feature")
	f("promo", 1, "path.feature")
	f("category:", 1, "path.feature")
	f("vip:no", 1, "path.feature")
	f(strings.Repeat("x", 301), 1, "path.feature")
	f("category:promo", 100.5, "body.weight")
	f("category:promo", -101, "body.weight")
	f("category:promo", "1", "body.weight")
	f("category:promo", nil, "body.weight")
	p.ask(http.MethodPut, "/preferences/category:promo", map[string]any{}).want(http.StatusUnprocessableEntity)
	p.ask(http.MethodPut, "/preferences/category:promo", nil).want(http.StatusBadRequest)
	p.ask(http.MethodPut, "/preferences/category:promo", `{"weight":1e999}`).want(http.StatusBadRequest)
	p.ask(http.MethodPut, "/preferences/category:promo%00", map[string]any{"weight": 1}).want(http.StatusBadRequest)
	p.ask(http.MethodPut, "/preferences/category:promo%ff", map[string]any{"weight": 1}).want(http.StatusBadRequest)
	p.ask(http.MethodPut, "/preferences/listid:a/b", map[string]any{"weight": 1}).want(http.StatusNotFound)
	p.ask(http.MethodPut, "/preferences/", map[string]any{"weight": 1}).want(http.StatusNotFound)
	p.ask(http.MethodPut, "/preferences", map[string]any{"weight": 1}).want(http.StatusUnprocessableEntity)
	p.ask(http.MethodPut, "/preferences", map[string]any{"feature": "sender:jo@shop.example", "weight": 1}).want(http.StatusUnprocessableEntity)
	same(t, len(p.events()), 0)
	p.pin("vip:yes", -100).want(http.StatusOK) // another service's feature, which the person has
}

// A feature is meant in the form that mail has it, unless the person has one that is written like this.
func TestFeaturesAreMeantAsMailHasThem(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	w.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', 'category:EVENT', 1, 0, now())`)
	f := func(text, want string) {
		t.Helper()
		same(t, decode[pinned](p.pin(text, 0.5).want(http.StatusOK)), pinned{want, 0.5})
		p.forget(text).want(http.StatusNoContent)
		list := p.events()
		same(t, []string{list[len(list)-2].Preference.Feature, list[len(list)-1].Preference.Feature}, []string{want, want})
	}
	f("category:PROMO", "category:promo")
	f("sender_domain:EXAMPLE.com", "sender_domain:example.com")
	f("sender_domain:mail.example.com", "sender_domain:example.com")
	f("contains:Meetups", "contains:meetup")
	f("category:EVENT", "category:EVENT")
}

// A sender's address is named in a body, since paths are written to logs.
func TestAddressesAreNamedInBodies(t *testing.T) {
	p := newDeployment(t).person("alice")
	body := map[string]any{"feature": "sender:Ann@gmail.com", "weight": -1}
	same(t, decode[pinned](p.ask(http.MethodPut, "/preferences", body).want(http.StatusOK)), pinned{"sender:ann@gmail.com", -1})
	p.forget("sender:ann@gmail.com").want(http.StatusUnprocessableEntity)
	same(t, decode[forgotten](p.post("/preferences/forget", map[string]any{"feature": "sender:ANN@gmail.com"}).want(http.StatusOK)), forgotten{true})
	list := p.events()
	same(t, []string{list[0].Preference.Op, list[1].Preference.Op, list[1].Preference.Feature}, []string{"pin", "forget", "sender:ann@gmail.com"})
}

// TestForgettingTakesAnyName: what another service taught can be forgotten, whatever it is called.
func TestForgettingTakesAnyName(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	names := []string{"vip: yes\n", strings.Repeat("x", 300)}
	for _, name := range names {
		w.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'alice', $1, 1, 0, now())`, name)
		p.forget(name).want(http.StatusNoContent)
	}
	p.forget(strings.Repeat("x", 301)).want(http.StatusUnprocessableEntity)
	same(t, len(p.events()), 2)
}

// TestNothingToForget: what a person never had is forgotten without an event, which would be kept for ever, and without a row.
func TestNothingToForget(t *testing.T) {
	w := newDeployment(t)
	p, bob := w.person("alice"), w.person("bob")
	bob.pin("category:event", 1).want(http.StatusOK)
	p.policy("all", anySubject)
	a := p.propose(map[string]any{"email_ids": []string{p.mail(mail{subject: "Meetup", category: "event"})}})[0]
	before := len(p.events())
	f := func(path string) {
		t.Helper()
		answer := p.ask(http.MethodDelete, path, nil).want(http.StatusNoContent)
		same(t, answer.header.Get("X-Event-Id"), "")
		same(t, len(p.events()), before)
		same(t, world.Scalar[int](w, `SELECT count(*) + (SELECT sum(forgets) FROM users) FROM forgotten_features WHERE user_id = 'alice'`), 0)
	}
	f("/preferences/nonsense:7")
	f("/preferences/category:event") // proposed, but nothing was decided
	f("/preferences")

	emits := func(path string) {
		t.Helper()
		before := len(p.events())
		event := p.ask(http.MethodDelete, path, nil).want(http.StatusNoContent).header.Get("X-Event-Id")
		list := p.events()
		if len(list) != before+1 || list[before].ID != event {
			t.Errorf("DELETE %s emitted %d events and names %q", path, len(list)-before, event)
		}
	}
	p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK)
	emits("/preferences/category:event") // nothing of it is folded yet
	emits("/preferences")
	p.pin("category:finance", 1).want(http.StatusOK)
	emits("/preferences/category:finance")
	same(t, p.ask(http.MethodDelete, "/preferences/category:travel", nil).want(http.StatusNoContent).header.Get("X-Event-Id"), "")
}
