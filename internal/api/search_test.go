package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/testkit/mailboxes"
	"github.com/applylens/applylens/internal/testkit/world"
)

const home = mailboxes.Home

// receive lets the mailbox fold the person's mails, of which each is an hour older than the one before, and returns
// their ids. What a mail leaves out is filled in.
func (p *person) receive(mails ...events.Mail) []string {
	p.Helper()
	list, ids := make([]events.Event, len(mails)), make([]string, len(mails))
	for i := range mails {
		m := &mails[i]
		m.UserID, m.RecordedAt, m.DeliveredTo = p.id, time.Now(), []string{home}
		m.MessageID = cmp.Or(m.MessageID, events.NewUUIDv7(time.Now()).String()+"@test.example")
		m.Sender.Address = cmp.Or(m.Sender.Address, "friend@mail.example")
		m.Category = cmp.Or(m.Category, "personal")
		if m.ReceivedAt.IsZero() {
			m.ReceivedAt = time.Now().Add(-time.Duration(i+1) * time.Hour)
		}
		list[i] = events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: m}
		ids[i] = mailbox.MailID(m).String()
	}
	mailboxes.Fold(p.TB, p.Pool, mailbox.Group(), list...)
	return ids
}

// applied lets enrichment fold an application of whoever has the address home.
func applied(t testing.TB, pool *pgxpool.Pool, a events.Application) {
	t.Helper()
	a.System, a.Addresses, a.SrcVersion, a.RecordedAt = "greenhouse", []string{home}, 1, time.Now()
	mailboxes.Fold(t, pool, enrichment.Group(), events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: &a})
}

// find searches and returns the hits.
func (p *person) find(query ...string) []hit {
	p.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return decode[struct{ Hits []hit }](p.get("/search?" + values.Encode()).want(http.StatusOK)).Hits
}

// subjects are those of hits, in order, each with its boosts.
func subjects(hits []hit) []string {
	list := make([]string, len(hits))
	for i, h := range hits {
		list[i] = h.Subject
		for _, b := range h.Boosts {
			list[i] += " +" + b.Boost
		}
	}
	return list
}

func daysAgo(days int) time.Time {
	return time.Now().Add(-time.Duration(days)*24*time.Hour - time.Minute).UTC().Truncate(time.Millisecond)
}

func TestUrgentMailOfApplicationsComesFirst(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	from := func(domain string) events.Address {
		return events.Address{Name: "Recruiter", Address: "recruiter@" + domain}
	}
	ids := p.receive(
		events.Mail{Subject: "Dinner?", Text: "At eight."},
		events.Mail{Subject: "Thank you for applying", Sender: from("delta.com"), Category: "applications"},
		events.Mail{Subject: "Your offer", Sender: from("beta.com"), Category: "applications"},
		events.Mail{Subject: "About your call", Sender: from("gamma.com"), Category: "applications"},
		events.Mail{Subject: "Your visit", Sender: from("acme.com"), Category: "applications", Labels: []string{"inbox"},
			Text: "Dear Alice,\n\nthank you for coming.", MessageID: "visit@acme.com"},
		events.Mail{Subject: "Newsletter of Acme", Sender: events.Address{Address: "news@acme.com"}, Category: "newsletter"},
	)
	interview := daysAgo(-3)
	applied(t, w.Pool, events.Application{ApplicationID: "1", Company: "Acme", Stage: "Onsite", LastStageChange: daysAgo(16)})
	applied(t, w.Pool, events.Application{ApplicationID: "2", Company: "Beta", Stage: "offer", LastStageChange: daysAgo(20), InterviewDate: interview})
	applied(t, w.Pool, events.Application{ApplicationID: "3", Company: "Gamma", Stage: "Phone Screen", LastStageChange: daysAgo(14)})
	applied(t, w.Pool, events.Application{ApplicationID: "4", Company: "Delta", Stage: "Applied", LastStageChange: daysAgo(13)})

	hits := p.find()
	same(t, subjects(hits), []string{"Your visit +ghosting_risk +stage", "Your offer +stage", "About your call +ghosting_risk",
		"Dinner?", "Thank you for applying", "Newsletter of Acme"})
	changed := daysAgo(16)
	first := hits[0]
	if received := time.Now().Add(-5 * time.Hour); first.ReceivedAt.Sub(received).Abs() > time.Minute || first.ReceivedAt.Location() != time.UTC {
		t.Errorf("received at %s", first.ReceivedAt)
	}
	if at := first.ATS.LastStageChange; at == nil || at.Sub(changed).Abs() > time.Minute {
		t.Errorf("last stage change %v", at)
	}
	first.ReceivedAt, first.ATS.LastStageChange = time.Time{}, nil
	same(t, first, hit{
		ID: ids[4], Subject: "Your visit", Sender: "recruiter@acme.com", SenderName: "Recruiter", Category: "applications",
		Labels: []string{"inbox"}, Snippet: "Dear Alice, thank you for coming.",
		ATS: &atsOrNone{System: "greenhouse", ApplicationID: "1", Stage: "Onsite", Company: "Acme", GhostingRisk: 0.98},
		Boosts: []boost{
			{"ghosting_risk", "No answer for 16 days since the stage became Onsite at Acme: risk 0.98"},
			{"stage", "The application at Acme is at the stage Onsite"},
		},
	})
	same(t, hits[1].Boosts, []boost{{"stage", "The application at Beta is at the stage offer"}})
	if at := hits[1].ATS.InterviewDate; at == nil || at.Sub(interview).Abs() > time.Millisecond || hits[1].ATS.GhostingRisk != 0.1 {
		t.Errorf("the offer's application is %+v", hits[1].ATS)
	}
	same(t, hits[2].Boosts, []boost{{"ghosting_risk", "No answer for 14 days since the stage became Phone Screen at Gamma: risk 0.92"}})
	if hits[3].ATS != nil || hits[4].ATS == nil || hits[5].ATS != nil {
		t.Errorf("applications %v %v %v", hits[3].ATS, hits[4].ATS, hits[5].ATS)
	}
	answer := string(p.get("/search?q=dinner").want(http.StatusOK).body)
	for _, part := range []string{`"ats":null`, `"boosts":[]`, `"labels":[]`} {
		if !strings.Contains(answer, part) {
			t.Errorf("no %s in %s", part, answer)
		}
	}
	same(t, subjects(p.find("limit", "2")), []string{"Your visit +ghosting_risk +stage", "Your offer +stage"})
	same(t, subjects(p.find("q", "ats.stage:onsite OR dinner", "mode", "off")), []string{"Your visit +ghosting_risk +stage", "Dinner?"})
	same(t, len(p.find("q", "nowhere")), 0)
}

func TestModesBoost(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.receive(
		events.Mail{Subject: "Dinner?", Text: "A meetup, a conference, a webinar; receipt, invoice and payment; all in the text only."},
		events.Mail{Subject: "Conferenceer and the invoiced payments"},
		events.Mail{Subject: "Go MEETUPS of May", Category: "event"},
		events.Mail{Subject: "Webinar and conference"},
		events.Mail{Subject: "Concert", Category: "event"},
		events.Mail{Subject: "Your receipt: invoice 7", Category: "finance"},
		events.Mail{Subject: "Statement", Category: "finance"},
	)
	off := []string{"Dinner?", "Conferenceer and the invoiced payments", "Go MEETUPS of May", "Webinar and conference", "Concert",
		"Your receipt: invoice 7", "Statement"}
	same(t, subjects(p.find()), off)
	same(t, subjects(p.find("mode", "off")), off)
	same(t, subjects(p.find("mode", "")), off)
	same(t, subjects(p.find("mode", "networking")), []string{"Go MEETUPS of May +category_event +meetup", "Webinar and conference +conference +webinar",
		"Concert +category_event", "Dinner?", "Conferenceer and the invoiced payments", "Your receipt: invoice 7", "Statement"})
	hits := p.find("mode", "money", "limit", "4")
	same(t, subjects(hits), []string{"Your receipt: invoice 7 +receipt +invoice +category_finance",
		"Conferenceer and the invoiced payments +payment", "Statement +category_finance", "Dinner?"})
	same(t, hits[0].Boosts, []boost{{"receipt", "Its subject says receipt"}, {"invoice", "Its subject says invoice"}, {"category_finance", "Its category is finance"}})
}

func TestNearBoostsEventsThatNameThePlace(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.receive(
		events.Mail{Subject: "Flat in New York"},
		events.Mail{Subject: "Concert", Category: "event", Text: "In York, something new."},
		events.Mail{Subject: "Webinar", Text: "Broadcast from New\nYork."},
		events.Mail{Subject: "Concert in NEW-YORK", Category: "event"},
	)
	hits := p.find("near", " New  York")
	same(t, subjects(hits), []string{"Webinar +near", "Concert in NEW-YORK +near", "Flat in New York", "Concert"})
	same(t, hits[0].Boosts, []boost{{"near", "It is about an event and names New York"}})
	same(t, subjects(p.find("near", "new york", "mode", "networking")), []string{"Webinar +webinar +near", "Concert in NEW-YORK +category_event +near",
		"Concert +category_event", "Flat in New York"})
}

// TestLikedMeetupsAreLifted approves meetups through the API until they outweigh other events.
func TestLikedMeetupsAreLifted(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	f := newFolder(w, weights.Group(nil, nil))
	p.policy("meetups", `{"contains":["subject","meetup"]}`)
	mails := []events.Mail{{Subject: "Webinar", Category: "event"}, {Subject: "Go meetup", Category: "event"}, {Subject: "Rust meetup", Category: "event"}, {Subject: "C meetup", Category: "event"}}
	p.receive(mails...)
	other.receive(mails...)
	even := []string{"Webinar +category_event +webinar", "Go meetup +category_event +meetup", "Rust meetup +category_event +meetup", "C meetup +category_event +meetup"}
	lifted := []string{"Go meetup +category_event +meetup +learned_meetup", "Rust meetup +category_event +meetup +learned_meetup",
		"C meetup +category_event +meetup +learned_meetup", "Webinar +category_event +webinar"}
	proposals := p.propose(map[string]any{"query": "meetup"})
	for i, want := range [][]string{even, even, lifted} { // 0.2, 0.4 and 0.6
		p.post("/actions/"+proposals[i].ID+"/approve", nil).want(http.StatusOK)
		for f.fold(10) > 0 {
		}
		same(t, subjects(p.find("mode", "networking")), want)
	}
	same(t, p.find("mode", "networking")[0].Boosts[2].Why, "You like meetups: contains:meetup has the weight 0.6")
	same(t, subjects(p.find())[0], "Webinar")
	same(t, subjects(other.find("mode", "networking")), even)
	p.ask(http.MethodDelete, "/preferences", nil).want(http.StatusNoContent)
	f.fold(10)
	same(t, subjects(p.find("mode", "networking")), even)
}

func TestSearchFindsOnlyOnesOwn(t *testing.T) {
	w := newDeployment(t)
	alice, bob := w.person("alice"), w.person("bob")
	alice.receive(events.Mail{Subject: "Hers", Sender: events.Address{Address: "recruiter@acme.com"}})
	bob.receive(events.Mail{Subject: "His"})
	applied(t, w.Pool, events.Application{ApplicationID: "1", Company: "Acme", Stage: "Onsite", LastStageChange: daysAgo(16)})
	same(t, subjects(alice.find()), []string{"Hers +ghosting_risk +stage"})
	same(t, subjects(bob.find()), []string{"His"})
	same(t, subjects(bob.find("q", "hers OR his OR ats.stage:onsite")), []string{"His"})
}

func TestSearchRefusals(t *testing.T) {
	p := newDeployment(t).person("alice")
	f := func(query, location, message string) {
		t.Helper()
		fault := p.get("/search?" + query).want(http.StatusUnprocessableEntity).problem().Errors[0]
		if fault.Location != location || !strings.Contains(fault.Message, message) {
			t.Errorf("%s: %+v", query, fault)
		}
	}
	f("mode=work", "query.mode", "")
	f("limit=0", "query.limit", "")
	f("limit=1001", "query.limit", "")
	f("near=%21%21", "query.near", "letters or digits")
	f("near="+strings.Repeat("x", 101), "query.near", "")
	f("q="+strings.Repeat("x", 1001), "query.q", "")
	f("q=promo+AND+colour:red", "query.q", `at character 11, "colour:"`)
	f("q=(promo", "query.q", "at character 1")
	f("wait=x&timeout=1h", "query.timeout", "")
}

func TestSnippetsShowWhatWasSearchedFor(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.receive(events.Mail{Subject: "Long", Text: strings.Repeat("filling words ", 100) + "the Needle\nin the hay " + strings.Repeat("and more ", 100)})
	snippet := p.find("q", "needle")[0].Snippet
	if !strings.Contains(snippet, "the Needle in the hay") || len(snippet) > 300 {
		t.Errorf("snippet %q", snippet)
	}
}

func TestProposeByQuery(t *testing.T) {
	w := newDeployment(t)
	p, other := w.person("alice"), w.person("bob")
	for _, someone := range []*person{p, other} {
		someone.policy("all", anySubject)
	}
	day := func(days int) time.Time { return time.Now().AddDate(0, 0, -days) }
	mails := []events.Mail{
		{Subject: "new promo", Category: "promo", ReceivedAt: day(1)},
		{Subject: "letter", ReceivedAt: day(2)},
		{Subject: "later promo", Category: "promo", ReceivedAt: day(3)},
		{Subject: "promo of last week", Category: "promo", ReceivedAt: day(6)},
		{Subject: "old promo", Category: "promo", ReceivedAt: day(8)},
	}
	ids := p.receive(mails...)
	other.receive(mails...)
	propose := func(body map[string]any) []string {
		t.Helper()
		var found []string
		for _, a := range p.propose(body) {
			found = append(found, mails[slices.Index(ids, a.EmailID)].Subject)
		}
		return found
	}
	const lastWeek = "category:promo AND received_at:[now-7d TO now]"
	same(t, propose(map[string]any{"query": lastWeek, "email_ids": []string{}, "limit": 2}), []string{"new promo", "later promo"})
	same(t, propose(map[string]any{"query": lastWeek}), []string{"promo of last week"})
	same(t, propose(map[string]any{"query": lastWeek}), []string(nil))
	same(t, propose(map[string]any{"query": "promo", "email_ids": []string{ids[1], ids[4]}, "limit": 1}), []string{"old promo"})
	same(t, propose(map[string]any{"query": " *:* "}), []string{"letter"})
	same(t, world.Scalar[int](w, `SELECT count(*) FROM actions WHERE user_id = 'bob'`), 0)
	same(t, world.Scalar[int](w, `SELECT count(*) FROM outbox WHERE user_id = 'alice'`), 5)

	theirs := other.propose(map[string]any{"query": "letter"})
	same(t, len(theirs), 1)
	if slices.Contains(ids, theirs[0].EmailID) {
		t.Error("bob's proposal is about alice's mail")
	}
	fault := p.post("/actions/propose", map[string]any{"query": "promo", "email_ids": []string{ids[0], theirs[0].EmailID}}).want(http.StatusNotFound).problem()
	same(t, fault.Errors[0].Location, "body.email_ids[1]")
	fault = p.post("/actions/propose", map[string]any{"query": "category:promo AND received_at:[now-7x TO now]"}).want(http.StatusUnprocessableEntity).problem()
	if fault.Errors[0].Location != "body.query" || !strings.Contains(fault.Errors[0].Message, `at character 33, "now-7x"`) {
		t.Errorf("fault %+v", fault.Errors[0])
	}
}

// TestProposeByQueryAmongManyMails names more ids than fit into one search.
func TestProposeByQueryAmongManyMails(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("all", anySubject)
	mails := make([]events.Mail, 2*amongAtOnce)
	for i := range mails {
		mails[i].Subject = fmt.Sprint("number ", i)
	}
	mails[3].Subject, mails[amongAtOnce+3].Subject = "one needle", "another needle"
	ids := p.receive(mails...)
	list := p.propose(map[string]any{"query": "needle", "email_ids": ids})
	if len(list) != 2 || list[0].EmailID != ids[3] || list[1].EmailID != ids[amongAtOnce+3] {
		t.Errorf("proposals %+v", list)
	}
}

func TestIdempotentProposalByQuery(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.policy("all", anySubject)
	p.receive(events.Mail{Subject: "promo", Category: "promo"})
	body := map[string]any{"query": "category:promo AND received_at:[now-7d TO now]"}
	first := p.post("/actions/propose", body, "Idempotency-Key", "k").want(http.StatusOK)
	p.receive(events.Mail{Subject: "another", Category: "promo"})
	again := p.post("/actions/propose", body, "Idempotency-Key", "k").want(http.StatusOK)
	same(t, decode[[]actionView](again), decode[[]actionView](first))
	same(t, len(p.events()), 1)
	body["query"] = "category:promo"
	p.post("/actions/propose", body, "Idempotency-Key", "k").want(http.StatusUnprocessableEntity)
}

// engine is a search.Engine that says what a test wants.
type engine struct {
	hits    []search.Hit
	err     error
	indexed func(user string, asked time.Time) (bool, error)
}

func (e *engine) Search(context.Context, search.Request) ([]search.Hit, error) { return e.hits, e.err }

func (e *engine) Indexed(_ context.Context, user string, asked time.Time) (bool, error) {
	return e.indexed(user, asked)
}

func TestTroublesOfTheEngine(t *testing.T) {
	stub := &engine{}
	w := newDeployment(t, func(c *Config) { c.Search = stub })
	p := w.person("alice")
	p.policy("all", anySubject)
	id := p.receive(events.Mail{Subject: "letter"})[0]
	stub.err = fmt.Errorf("a chain: %w", search.ErrTooSlow)
	f := func(answer *reply, location string) {
		t.Helper()
		fault := answer.want(http.StatusUnprocessableEntity).problem().Errors[0]
		if fault.Location != location || !strings.Contains(fault.Message, "takes too long") {
			t.Errorf("fault %+v", fault)
		}
	}
	f(p.get("/search?q=a"), "query.q")
	f(p.post("/actions/propose", map[string]any{"query": "a"}), "body.query")
	f(p.post("/actions/propose", map[string]any{"query": "a", "email_ids": []string{id}}), "body.query")

	stub.err = fmt.Errorf("hunter2: %w", search.ErrUnavailable)
	stub.indexed = func(string, time.Time) (bool, error) { return false, stub.err }
	p.propose(nil) // needs no engine
	p.stamp(1)
	p.fold("weights", 1, 1)
	for _, answer := range []*reply{
		p.get("/search"),
		p.get("/search?wait=" + p.events()[0].ID),
		p.post("/actions/propose", map[string]any{"query": "a"}),
	} {
		answer.want(http.StatusServiceUnavailable)
		if answer.header.Get("Retry-After") == "" || strings.Contains(string(answer.body), "hunter2") {
			t.Errorf("%v %s", answer.header, answer.body)
		}
	}
	stub.err = fmt.Errorf("hunter2")
	answer := p.get("/search").want(http.StatusInternalServerError)
	if strings.Contains(string(answer.body), "hunter2") {
		t.Errorf("tells %s", answer.body)
	}
}

// TestHitsOfAnOldIndex finds mail that has gone, and mail whose application has changed.
func TestHitsOfAnOldIndex(t *testing.T) {
	stub := &engine{}
	w := newDeployment(t, func(c *Config) { c.Search = stub })
	p, other := w.person("alice"), w.person("bob")
	p.policy("all", anySubject)
	ids := p.receive(events.Mail{Subject: "letter"}, events.Mail{Subject: "screen", Sender: events.Address{Address: "recruiter@acme.com"}})
	theirs := other.receive(events.Mail{Subject: "not hers"})
	applied(t, w.Pool, events.Application{ApplicationID: "1", Company: "Acme", Stage: "Screen", LastStageChange: daysAgo(1)})
	for _, id := range []string{theirs[0], ids[0], events.DeriveUUID("gone").String(), ids[1]} {
		parsed, err := events.ParseUUID(id)
		if err != nil {
			t.Fatal(err)
		}
		stub.hits = append(stub.hits, search.Hit{ID: parsed, Matched: []int{0, 1}})
	}
	hits := p.find("q", "anything")
	same(t, subjects(hits), []string{"letter +ghosting_risk +stage", "screen +ghosting_risk +stage"})
	for _, h := range hits {
		same(t, h.Boosts, []boost{{"ghosting_risk", gone}, {"stage", gone}})
	}
	same(t, len(p.propose(map[string]any{"query": "anything"})), 2)
}

func TestSearchWaitsUntilItIsIndexed(t *testing.T) {
	var asked []time.Time
	var indexed atomic.Bool
	stub := &engine{indexed: func(user string, at time.Time) (bool, error) {
		if user != "alice" {
			t.Errorf("asked about %s", user)
		}
		asked = append(asked, at)
		return indexed.Load(), nil
	}}
	p := newDeployment(t, func(c *Config) { c.Search = stub }).person("alice")
	a := p.action()
	event := p.post("/actions/"+a.ID+"/approve", nil).want(http.StatusOK).header.Get("X-Event-Id")
	path := "/search?timeout=20ms&wait=" + event
	p.stamp(7)
	p.get(path).want(http.StatusGatewayTimeout)
	same(t, len(asked), 0)
	folded := time.Now()
	p.fold("weights", 1, 7)
	p.get(path).want(http.StatusGatewayTimeout)
	if len(asked) < 2 || slices.ContainsFunc(asked, func(at time.Time) bool { return at.Before(folded) || !at.Equal(asked[0]) }) {
		t.Errorf("asked %v", asked)
	}
	indexed.Store(true)
	p.get(path).want(http.StatusOK)
}

// TestSearchWaitsForMail waits for an event that the mailbox folds.
func TestSearchWaitsForMail(t *testing.T) {
	p := newDeployment(t).person("alice")
	p.action()
	p.Exec(`UPDATE outbox SET aggregatetype = 'applylens.mail'`)
	p.stamp(7)
	path := "/search?timeout=20ms&wait=" + p.events()[0].ID
	p.get(path).want(http.StatusGatewayTimeout)
	p.Exec(`INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq)
	        VALUES ('mailbox', 1, 'applylens.mail', 3, '11111111-1111-4111-8111-111111111111', 7)`)
	p.get(path).want(http.StatusOK)
}
