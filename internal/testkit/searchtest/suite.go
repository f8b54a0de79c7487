// Package searchtest is the test suite of search engines: which mails a query finds, in which order, and that nobody finds
// another user's mail. Every engine runs it against a real server.
package searchtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
)

// Subject is the engine under test.
type Subject struct {
	Engine search.Engine

	// Put adds or replaces mails and their applications, as if they had been received, and returns when the engine finds
	// them.
	Put func(t testing.TB, mails ...Mail)
}

// now is the time of the queries of the suite.
var now = time.Date(2026, 11, 26, 15, 4, 5, 0, time.UTC)

// Run runs the suite. The subject may already have mails of other users, but none of users whose id begins with "suite-".
func Run(t *testing.T, subject Subject) {
	t.Run("finds", func(t *testing.T) { testFinds(t, subject) })
	t.Run("order", func(t *testing.T) { testOrder(t, subject) })
	t.Run("limit", func(t *testing.T) { testLimit(t, subject) })
	t.Run("others", func(t *testing.T) { testOthers(t, subject) })
	t.Run("replaced", func(t *testing.T) { testReplaced(t, subject) })
	t.Run("long", func(t *testing.T) { testLong(t, subject) })
	t.Run("indexed", func(t *testing.T) { testIndexed(t, subject) })
	t.Run("given up", func(t *testing.T) { testGivenUp(t, subject) })
	t.Run("random", func(t *testing.T) { testRandom(t, subject) })
}

func (s Subject) search(t testing.TB, request search.Request) []search.Hit {
	t.Helper()
	hits, err := s.Engine.Search(t.Context(), request)
	if err != nil {
		t.Fatalf("%#v: %v", request.Where, err)
	}
	return hits
}

func days(n float64) time.Time { return now.Add(-time.Duration(n * 24 * float64(time.Hour))) }

func risk(score int) *int { return &score }

// shelf returns mails that differ in everything that queries use. Tests refer to them by message id.
func shelf(user string) []Mail {
	mails := []Mail{
		{Mail: events.Mail{MessageID: "meetup", Subject: "Go Meetup Berlin", Text: "Come to our meet-up. Now or never!\nRSVP", Category: "event",
			Sender: events.Address{Name: "Ann Smith", Address: "Ann@Mail.Meetup.example"}, ListID: "go-meetup.meetup.example", ReceivedAt: days(1),
			Recipients: []events.Address{{Name: "Me", Address: "Me@Home.example"}, {Address: "bob@home.example"}}, Labels: []string{"To Do", "events"}}},
		{Mail: events.Mail{MessageID: "promo", Subject: "50% off: Straße & Größe", Text: "the big sale. Unsubscribe now", Category: "promo", RiskScore: risk(85),
			Sender: events.Address{Address: "no-reply@shop.example"}, ReceivedAt: days(3), ExpiresAt: days(1), Quarantined: true}},
		{Mail: events.Mail{MessageID: "offer", Subject: "Your offer", Text: "Dear Me, we are happy to offer you the position", Category: "applications",
			Sender: events.Address{Name: "Acme Recruiting", Address: "jobs@acme.example"}, ReceivedAt: days(7), RiskScore: risk(0)}},
		{Mail: events.Mail{MessageID: "silence", Subject: "We have received your application", Text: "…", Category: "applications",
			Sender: events.Address{Name: "Ünicorn GmbH", Address: "hr@xn--nicorn-2ya.example"}, ReceivedAt: days(20)}},
		{Mail: events.Mail{MessageID: "japanese", Subject: "会議は東京で", Text: "よろしくお願いします。 Tokyo meetup", Category: "personal",
			Sender: events.Address{Name: "東京", Address: "tokyo@x.example"}, ReceivedAt: days(30), ExpiresAt: days(-3)}},
		{Mail: events.Mail{MessageID: "bare", Category: "other", ReceivedAt: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}},
	}
	for i := range mails {
		mails[i].UserID, mails[i].RecordedAt = user, now
	}
	mails[2].apply("greenhouse", "Offer", "Acme", 3)
	mails[3].apply("lever", "Final Round", "Ünicorn GmbH", 16)
	return mails
}

func testFinds(t *testing.T, s Subject) {
	const user = "suite-finds"
	mails := shelf(user)
	s.Put(t, mails...)
	names := map[events.UUID]string{}
	for _, m := range mails {
		names[m.ID()] = m.MessageID
	}
	everything := "meetup promo offer silence japanese bare"
	f := func(query, want string) {
		t.Helper()
		q, err := search.Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			return
		}
		var found []string
		for _, hit := range s.search(t, search.Request{UserID: user, Where: q.At(now), Limit: 100}) {
			found = append(found, names[hit.ID])
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s: found %q, want %q", query, got, want)
		}
	}
	f("", everything)

	// Words, in subject or body, whole and in any case.
	f("meetup", "meetup japanese")
	f("MEETUP berlin", "meetup")
	f("meet", "meetup")
	f("meet*", "meetup japanese")
	f("berlin rsvp", "meetup")
	f("subject:meetup", "meetup")
	f("body:meetup", "japanese")
	f("text:up subject:go", "meetup")
	f("strasse GRÖSSE", "promo")
	f("strass*", "promo")
	f("50", "promo")
	f("5", "")
	f("nothing", "")

	// Phrases: words next to each other in one text.
	f(`"go meetup"`, "meetup")
	f(`"meetup go"`, "")
	f(`"berlin come"`, "")
	f("meet-up", "meetup")
	f(`"never rsvp"`, "meetup")
	f(`"go meet"`, "")
	f(`body:"happy to"`, "offer")
	f(`subject:"happy to"`, "")
	f("会議", "japanese")
	f("議会", "")
	f("東京で", "japanese")

	// People, by address or by words.
	f("sender:ann@mail.meetup.example", "meetup")
	f("sender:nn@mail.meetup.example", "")
	f("sender:ann@*", "meetup")
	f("from:smith", "meetup")
	f("from:acme", "offer")
	f("from:meetup", "meetup")
	f(`from:"smith ann"`, "meetup")
	f("from:acm*", "offer")
	f("from:東京", "japanese")
	f("from:HR@ünicorn.example", "silence")
	f("from:hr@xn--nicorn-2ya.example", "silence")
	f("from:xn--nicorn-2ya", "silence")
	f("sender_domain:ÜNICORN.example", "silence")
	f("to:me@home.example", "meetup")
	f("to:bob", "meetup")
	f("sender_domain:meetup.example", "meetup")
	f("sender_domain:mail.meetup.example", "meetup")
	f("sender_domain:eetup.example", "")

	// Whole values.
	f("category:Promo", "promo")
	f("category:pro", "")
	f("category:pro*", "promo")
	f("category:(promo OR event)", "meetup promo")
	f(`label:"to do"`, "meetup")
	f("label:to", "")
	f("list_id:go-meetup.meetup.example", "meetup")
	f("quarantined:true", "promo")
	f("quarantined:false", "meetup offer silence japanese bare")
	f("id:"+mails[2].ID().String(), "offer")
	f("id:00000000-0000-0000-0000-000000000000", "")

	// Applications.
	f("ats.stage:offer", "offer")
	f(`ats.stage:"Final Round"`, "silence")
	f("ats.stage:fin*", "silence")
	f("ats.system:(lever OR greenhouse)", "offer silence")
	f(`ats.company:"ünicorn GmbH"`, "silence")
	f("ats.ghosting_risk:>=0.6", "silence")
	f("ats.ghosting_risk:<0.6", "offer")
	f("ats.stage:*", "offer silence")
	f("NOT ats.stage:offer", "meetup promo silence japanese bare")
	f("ats.stage:offer AND ats.company:acme", "offer")
	f("ats.stage:offer OR category:promo", "promo offer")

	// Numbers and times.
	f("risk_score:85", "promo")
	f("risk_score:<50", "offer")
	f("risk_score:[0 TO 85]", "promo offer")
	f("risk_score:{0 TO 85]", "promo")
	f("risk_score:[0 TO 85}", "offer")
	f("received_at:[now-7d TO now]", "meetup promo offer")
	f("received_at:{now-7d TO now}", "meetup promo")
	f("received_at:>=now-3d", "meetup promo")
	f("received_at:>now-3d", "meetup")
	f("received_at:2026-11-25", "meetup")
	f("received_at:[2026-11-19 TO 2026-11-23]", "promo offer")
	f("received_at:{2026-11-19 TO 2026-11-23}", "")
	f("received_at:<2000", "bare")
	f("age_days:[3 TO 7]", "promo offer")
	f("expires_at:<now", "promo")
	f("expires_at:>now", "japanese")
	f("expired_days:1", "promo")

	// A missing field makes a comparison false and its negation true.
	f("risk_score:*", "promo offer")
	f("-risk_score:*", "meetup silence japanese bare")
	f("-risk_score:<50", "meetup promo silence japanese bare")
	f("-risk_score:>=50", "meetup offer silence japanese bare")
	f("-expires_at:<now", "meetup offer silence japanese bare")
	f("subject:*", "meetup promo offer silence japanese")
	f("-sender:*", "bare")
	f("labels:* list_id:* to:*", "meetup")
	f("-category:promo -category:event", "offer silence japanese bare")
	f("-meetup", "promo offer silence bare")
	f(`-"go meetup"`, "promo offer silence japanese bare")

	// Combinations.
	f("meetup AND (category:event OR received_at:<now-20d) AND NOT quarantined:true", "meetup japanese")
	f("(meetup AND risk_score:*) OR (the -meetup)", "promo offer")
	f(`NOT (meetup OR "big sale" OR ats.stage:*)`, "bare")
	f(`("go meetup" OR received_at:<2000) OR risk_score:>80`, "meetup promo bare")
}

// wishes parses the queries that boost hits.
func wishes(queries ...string) []search.Node {
	var list []search.Node
	for _, query := range queries {
		list = append(list, search.MustParse(query).At(now))
	}
	return list
}

func testOrder(t *testing.T, s Subject) {
	const user = "suite-order"
	mails := shelf(user)
	s.Put(t, mails...)
	f := func(query, want string, should ...string) {
		t.Helper()
		var found []string
		for _, hit := range s.search(t, search.Request{UserID: user, Where: search.MustParse(query).At(now), Should: wishes(should...), Limit: 100}) {
			at := slices.IndexFunc(mails, func(m Mail) bool { return m.ID() == hit.ID })
			if !hit.ReceivedAt.Equal(mails[at].ReceivedAt) {
				t.Errorf("%s received at %v, want %v", mails[at].MessageID, hit.ReceivedAt, mails[at].ReceivedAt)
			}
			found = append(found, mails[at].MessageID+fmt.Sprint(hit.Matched))
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s with %q: got %s, want %s", query, should, got, want)
		}
	}
	f("", "silence[0] meetup[] promo[] offer[] japanese[] bare[]", "ats.ghosting_risk:>=0.6")
	f("", "silence[0 1] offer[1] meetup[] promo[] japanese[] bare[]", "ats.ghosting_risk:>=0.6", `ats.stage:(Offer OR "Final Round")`)
	f("", "meetup[0 1 2] japanese[1] promo[] offer[] silence[] bare[]", "category:event", "meetup", `"go meetup"`)
	f("the OR meetup", "promo[2] japanese[1] meetup[] offer[]", "nothing", "subject:会", "the -offer")
	f("category:applications", "offer[0] silence[0]", "-quarantined:true", "ats.stage:nothing", "risk_score:[1 TO *]")
	f("meetup", "meetup[0] japanese[0]", "")
	f("-meetup", "silence[0] promo[] offer[] bare[]", "received_at:[now-25d TO now-10d]")
}

func testLimit(t *testing.T, s Subject) {
	const user = "suite-limit"
	var mails []Mail
	for i := range 2500 {
		m := Mail{Mail: events.Mail{UserID: user, MessageID: fmt.Sprint(i), Subject: fmt.Sprintf("number %d", i), Text: "the same", Category: "other",
			Sender: events.Address{Address: "a@x.example"}, ReceivedAt: days(float64(i / 10)), RecordedAt: now}}
		if i%7 == 0 {
			m.Category = "event"
		}
		mails = append(mails, m)
	}
	s.Put(t, mails...)
	for _, query := range []string{"", "same", "number -subject:5", `"the same"`, "received_at:<now-100d", "subject:1700"} {
		for _, limit := range []int{1, 7, 500, search.MaxLimit} {
			request := search.Request{UserID: user, Where: search.MustParse(query).At(now), Should: wishes("category:event", "age_days:[3 TO 4]"), Limit: limit}
			compare(t, query, s.search(t, request), expected(mails, request))
			request.Should = nil
			compare(t, query, s.search(t, request), expected(mails, request))
		}
	}
}

func compare(t testing.TB, what string, got, want []search.Hit) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s: (-want +got)\n%s", what, diff)
	}
}

// testOthers checks with equal mails of several users that each finds only their own.
func testOthers(t *testing.T, s Subject) {
	users := []string{"suite-others", "suite-others-2", "suite-others ", "suite-öthers", "SUITE-OTHERS"}
	var mails []Mail
	for _, user := range users {
		mails = append(mails, shelf(user)...)
	}
	s.Put(t, mails...)
	for _, user := range append(users, "suite-nobody", "") {
		for _, query := range []string{"", "meetup OR promo", "-meetup", "sender:ann*", "ats.stage:*", "received_at:<=now", "NOT nothing", "id:" + mails[0].ID().String()} {
			request := search.Request{UserID: user, Where: search.MustParse(query).At(now), Should: wishes("ats.ghosting_risk:>=0.6", "offer"), Limit: 100}
			compare(t, user+" "+query, s.search(t, request), expected(mails, request))
		}
	}
}

func testReplaced(t *testing.T, s Subject) {
	const user = "suite-replaced"
	before := shelf(user)
	s.Put(t, before...)
	after := slices.Clone(before)
	after[0].Subject, after[0].ReceivedAt, after[0].Labels = "Changed", days(10), nil
	after[2].Recipients = nil
	after[2].apply("greenhouse", "Rejected", "Acme", 14)
	after[2].Application.SrcVersion = 2
	s.Put(t, after[0], after[2])
	for _, query := range []string{"", "subject:meetup", "changed", "labels:*", "ats.stage:offer", "ats.stage:rejected", "ats.ghosting_risk:>0.6"} {
		request := search.Request{UserID: user, Where: search.MustParse(query).At(now), Should: wishes("ats.stage:rejected"), Limit: 100}
		compare(t, query, s.search(t, request), expected(after, request))
	}
}

// testLong checks that no word of a long text is omitted, however often other words occur.
func testLong(t *testing.T, s Subject) {
	const user = "suite-long"
	var b strings.Builder
	for i := 0; b.Len() < events.MaxText-100; i++ {
		fmt.Fprintf(&b, "so w%d ", i)
	}
	long := Mail{Mail: events.Mail{UserID: user, MessageID: "long", Text: b.String() + "very last", Category: "other", ReceivedAt: now, RecordedAt: now}}
	long.Subject = strings.Repeat("x", 100)
	s.Put(t, long)
	for _, query := range []string{"w0", "w17000", `"so w17000"`, `"w17000 so"`, "last", `"very last"`, `"last very"`, "w170000", "subject:" + strings.Repeat("x", 100), "subject:x"} {
		request := search.Request{UserID: user, Where: search.MustParse(query).At(now), Limit: 10}
		compare(t, query, s.search(t, request), expected([]Mail{long}, request))
	}
}

func testIndexed(t *testing.T, s Subject) {
	const user = "suite-indexed"
	s.Put(t, shelf(user)...)
	for _, id := range []string{user, "suite-nobody"} {
		if ok, err := s.Engine.Indexed(t.Context(), id, time.Now()); !ok || err != nil {
			t.Errorf("%s: all mails are put, but indexed is %v, %v", id, ok, err)
		}
	}
}

func testGivenUp(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if hits, err := s.Engine.Search(ctx, search.Request{UserID: "suite-finds", Where: search.All{}, Limit: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: got %d hits, %v", len(hits), err)
	}
}

// testRandom compares the engine with the reference, on random mails and queries.
func testRandom(t *testing.T, s Subject) {
	const count = 300
	users := []string{"suite-random-1", "suite-random-2"}
	made := rapid.Custom(func(t *rapid.T) []Mail {
		mails := make([]Mail, count)
		for i := range mails {
			mails[i] = drawMail(t, users[i%len(users)], i)
		}
		return mails
	})
	mails := made.Example(1)
	s.Put(t, mails...)
	// What random queries found once: a query that holds for no mail, with a boost by an application.
	acme := search.Value{Field: "ats.company", Text: "acme"}
	for _, none := range []search.Node{search.Not{Inner: search.All{}}, search.Or{search.Not{Inner: search.All{}}}, search.And{search.All{}, search.Not{Inner: search.All{}}}} {
		hits, err := s.Engine.Search(t.Context(), search.Request{UserID: users[0], Where: none, Should: []search.Node{acme}, Limit: count})
		if err != nil || len(hits) > 0 {
			t.Errorf("%#v finds %d mails, %v", none, len(hits), err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		request := search.Request{UserID: rapid.SampledFrom(users).Draw(t, "user"), Where: drawNode(t, 4), Limit: rapid.SampledFrom([]int{3, count}).Draw(t, "limit")}
		for range rapid.IntRange(0, 3).Draw(t, "wishes") {
			request.Should = append(request.Should, drawNode(t, 2))
		}
		hits, err := s.Engine.Search(context.Background(), request)
		if err != nil {
			t.Fatalf("%#v: %v", request, err)
		}
		if diff := cmp.Diff(expected(mails, request), hits, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%#v (-want +got)\n%s", request, diff)
		}
	})
}
