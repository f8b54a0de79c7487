package ats_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/testenv"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sent is a kind of mail: who sends it, and by how sure a sign it is from each of the companies (1 is the surest), as a
// person would say who reads it.
type sent struct {
	name, address, subject, category string
	list                             string
	from                             map[string]int
}

// The companies of the tests.
const (
	acme     = "Acme"
	acmeInc  = "ACME, Inc."
	acmeTech = "Acme Technologies"
	acmeBots = "Acme Robotics GmbH"
	beta     = "Beta"
	none     = ""
)

var companies = []string{acme, acmeInc, acmeTech, acmeBots, beta, none}

var senders = []sent{
	{name: "Rita", address: "Recruiter@ACME.com", from: map[string]int{acme: 1, acmeInc: 1, acmeTech: 2}},
	{name: "Acme Robotics Hiring", address: "no-reply@us.greenhouse.io", from: map[string]int{acmeBots: 1, acme: 2, acmeInc: 2, acmeTech: 3}},
	{name: "Workday", address: "acme@myworkday.com", from: map[string]int{acme: 1, acmeInc: 1, acmeTech: 2}},
	{name: "Lever", address: "no-reply@hire.lever.co", subject: "Your application at Beta", from: map[string]int{beta: 1}},
	{name: "Beta Weekly", address: "news@beta.com", category: "newsletter"},
	{name: "Beta Shop", address: "shop@beta.com", category: "promo"},
	{name: "Ben", address: "ben@beta.com", list: "go-nuts.example.org"},
	{name: "Bill via Beta", address: "bill@gmail.com", from: map[string]int{beta: 1}},
	{name: "Ada", address: "Ada+x@Example.com"},
	{name: "Carl", address: "carl@example.org"},
	{name: "", address: ""},
}

// addresses in several ways to write them; what is before the space is how they compare.
var addresses = []string{
	"ada@example.com Ada@Example.com", "ada@example.com ada+jobs@example.com", "bob@xn--mller-kva.de bob@MÜLLER.de",
	"carl@example.org carl@example.org", "recruiter@acme.com recruiter@acme.com",
}

// key returns how an address compares.
func key(address string) string {
	for _, known := range addresses {
		if plain, written, _ := strings.Cut(known, " "); written == address || plain == address {
			return plain
		}
	}
	return strings.Replace(strings.ToLower(address), "+x@", "@", 1)
}

// reference holds what has happened, one event after the other, in the most obvious way.
type reference struct {
	mails        map[string]events.Mail        // by user and message id
	delivered    map[string]map[string]bool    // a user's addresses as mail named them
	own          map[string][]string           // as the user named them
	applications map[string]events.Application // by system and id, also removed ones
	removed      map[string]bool
}

func newReference() *reference {
	return &reference{map[string]events.Mail{}, map[string]map[string]bool{}, map[string][]string{}, map[string]events.Application{}, map[string]bool{}}
}

func (r *reference) add(event *events.Event) {
	switch event.Type {
	case events.TypeMailReceived:
		mail := *event.Mail
		r.mails[mail.UserID+" "+mail.MessageID] = mail
		for _, address := range mail.DeliveredTo {
			if r.delivered[mail.UserID] == nil {
				r.delivered[mail.UserID] = map[string]bool{}
			}
			r.delivered[mail.UserID][key(address)] = true
		}
	case events.TypeUserErased:
		maps.DeleteFunc(r.mails, func(_ string, mail events.Mail) bool { return mail.UserID == event.Erasure.UserID })
		delete(r.delivered, event.Erasure.UserID)
	case events.TypeApplicationChanged, events.TypeApplicationRemoved:
		at := event.Application.System + "/" + event.Application.ApplicationID
		if event.Application.SrcVersion > r.applications[at].SrcVersion {
			r.applications[at] = *event.Application
			r.removed[at] = event.Type == events.TypeApplicationRemoved
		}
	}
}

func (r *reference) owns(user, address string) bool {
	return r.delivered[user][address] || slices.ContainsFunc(r.own[user], func(own string) bool { return key(own) == address })
}

// match tells how well an application fits a mail; 0: not at all, 1: best.
func (r *reference) match(mail events.Mail, application events.Application) int {
	best := 0
	consider := func(fit int) {
		if best == 0 || fit < best {
			best = fit
		}
	}
	for _, written := range application.Addresses {
		address := key(written)
		if r.owns(mail.UserID, address) {
			if fit := senderOf(mail).from[application.Company]; fit > 0 {
				consider(fit)
			}
			continue
		}
		if mail.Sender.Address != "" && key(mail.Sender.Address) == address {
			consider(100)
		}
		for _, recipient := range mail.Recipients {
			if key(recipient.Address) == address {
				consider(101)
			}
		}
	}
	return best
}

func senderOf(mail events.Mail) sent {
	return senders[slices.IndexFunc(senders, func(s sent) bool { return s.address == mail.Sender.Address })]
}

// found is a row of live_ats but for the risk.
type found struct {
	System, ID, Stage, Company string
	Change, Interview          time.Time
}

// ats returns for each mail, by user and message id, the application that belongs to it.
func (r *reference) ats() map[string]found {
	result := map[string]found{}
	for name, mail := range r.mails {
		var fitting []events.Application
		for at, application := range r.applications {
			if !r.removed[at] && r.match(mail, application) > 0 {
				fitting = append(fitting, application)
			}
		}
		if len(fitting) == 0 {
			continue
		}
		best := slices.MinFunc(fitting, func(a, b events.Application) int {
			return cmp.Or(cmp.Compare(r.match(mail, a), r.match(mail, b)), b.LastStageChange.Compare(a.LastStageChange),
				cmp.Compare(a.System, b.System), cmp.Compare(a.ApplicationID, b.ApplicationID))
		})
		result[name] = found{best.System, best.ApplicationID, best.Stage, best.Company, best.LastStageChange, best.InterviewDate}
	}
	return result
}

func drawMail(t *rapid.T) *events.Event {
	sender := rapid.SampledFrom(senders).Draw(t, "sender")
	mail := &events.Mail{
		UserID: rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "user"), MessageID: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id"),
		Sender: events.Address{Name: sender.name, Address: sender.address}, Subject: sender.subject, Category: sender.category,
		ListID: sender.list, ReceivedAt: start, RecordedAt: start,
	}
	for _, address := range drawAddresses(t, 2) {
		mail.Recipients = append(mail.Recipients, events.Address{Address: address})
	}
	if rapid.Bool().Draw(t, "delivered") {
		mail.DeliveredTo = drawAddresses(t, 1)
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mail}
}

func drawAddresses(t *rapid.T, most int) []string {
	list := rapid.SliceOfN(rapid.SampledFrom(addresses), 0, most).Draw(t, "addresses")
	for i := range list {
		_, list[i], _ = strings.Cut(list[i], " ")
	}
	return list
}

func drawApplication(t *rapid.T) *events.Event {
	application := &events.Application{
		System: rapid.SampledFrom([]string{"lever", "Workday"}).Draw(t, "system"), ApplicationID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"),
		SrcVersion: rapid.Int64Range(1, 5).Draw(t, "version"), RecordedAt: start,
	}
	if rapid.IntRange(0, 5).Draw(t, "removed") == 0 {
		return &events.Event{Envelope: events.Envelope{Type: events.TypeApplicationRemoved}, Application: application}
	}
	application.Addresses = drawAddresses(t, 3)
	application.Company = rapid.SampledFrom(companies).Draw(t, "company")
	application.Stage = rapid.SampledFrom([]string{"Applied", "Onsite"}).Draw(t, "stage")
	if days := rapid.IntRange(0, 2).Draw(t, "days"); days > 0 {
		application.LastStageChange = start.AddDate(0, 0, days)
	}
	if rapid.Bool().Draw(t, "interview") {
		application.InterviewDate = start
	}
	return &events.Event{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: application}
}

func drawEvent(t *rapid.T) *events.Event {
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

// fold lets a group fold events in one transaction; it passes over what is not its own.
func fold(ctx context.Context, db *pgxpool.Pool, group *consumers.Group, part []*events.Event) error {
	batch := group.NewBatch()
	for _, event := range part {
		if slices.Contains(group.Folds, event.Type) {
			batch.Add(event)
		}
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error { return batch.Write(ctx, tx, consumers.Version{Number: 1}) })
}

const columns = `SELECT m.user_id || ' ' || m.message_id, a.system, a.application_id, a.stage, a.company, a.last_stage_change, a.interview_date `

// The ways in which the match is read.
var readings = map[string]string{
	"of everybody": columns + `FROM live_ats a JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"of persons": columns + `FROM (SELECT * FROM live_ats WHERE user_id = 'u1' UNION ALL SELECT * FROM live_ats WHERE user_id = 'u2') a
		JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"of given mails": columns + `FROM ats_of(ARRAY(SELECT id FROM mails)) a JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"per mail":       columns + `FROM live_mails m, LATERAL ats_of(ARRAY[m.id]) a`,
}

func read(ctx context.Context, db *pgxpool.Pool, sql string) (map[string]found, error) {
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	result := map[string]found{}
	var name string
	var row found
	var change, interview *time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &row.System, &row.ID, &row.Stage, &row.Company, &change, &interview}, func() error {
		row.Change, row.Interview = utc(change), utc(interview)
		if _, twice := result[name]; twice {
			return fmt.Errorf("mail %s has two rows", name)
		}
		result[name] = row
		return nil
	})
	return result, err
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// TestLiveATSIsTheReference: whatever happened in whatever order, and however it was cut into transactions, every way to
// read the view gives what the reference says.
func TestLiveATSIsTheReference(t *testing.T) {
	db, _ := testenv.Database(t)
	ctx := context.Background()
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(ctx, `TRUNCATE mails, mail_addresses, mail_correspondents, applications, application_keys;
			DELETE FROM users; INSERT INTO users (id) VALUES ('u1'), ('u2')`); err != nil {
			t.Fatal(err)
		}
		want := newReference()
		for _, part := range rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(drawEvent), 1, 16), 1, 3).Draw(t, "parts") {
			for _, event := range part {
				want.add(event)
			}
			for _, group := range []*consumers.Group{mailbox.Group(), enrichment.Group()} {
				if err := fold(ctx, db, group, part); err != nil {
					t.Fatal(err)
				}
			}
			want.own["u1"] = drawAddresses(t, 2)
			if _, err := db.Exec(ctx, `UPDATE users SET addresses = $1 WHERE id = 'u1'`, plain(want.own["u1"])); err != nil {
				t.Fatal(err)
			}
			for name, sql := range readings {
				got, err := read(ctx, db, sql)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(want.ats(), got); diff != "" {
					t.Fatalf("%s (-want +got)\n%s", name, diff)
				}
				matched += len(got)
			}
		}
	})
	if matched == 0 {
		t.Error("no mail of any history had an application")
	}
}

func plain(list []string) []string {
	result := make([]string, len(list))
	for i, address := range list {
		result[i] = ats.Plain(address)
	}
	return result
}

// TestOfMails: policies see the application of the person's own mail only, with its risk as of now.
func TestOfMails(t *testing.T) {
	db, _ := testenv.Database(t)
	mail := func(user string) *events.Mail {
		return &events.Mail{UserID: user, MessageID: "a", Sender: events.Address{Address: "rita@acme.com"}, DeliveredTo: []string{"ada@example.com"}, RecordedAt: start}
	}
	application := &events.Application{
		System: "lever", ApplicationID: "1", Addresses: []string{"ada@example.com"}, Company: "Acme", Stage: "Onsite",
		LastStageChange: time.Now().Add(-15*24*time.Hour - time.Minute), SrcVersion: 1, RecordedAt: start,
	}
	part := []*events.Event{
		{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mail("u1")},
		{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mail("u2")},
		{Envelope: events.Envelope{Type: events.TypeApplicationChanged}, Application: application},
	}
	for _, group := range []*consumers.Group{mailbox.Group(), enrichment.Group()} {
		if err := fold(t.Context(), db, group, part); err != nil {
			t.Fatal(err)
		}
	}
	ids := []string{mailbox.MailID(mail("u1")).String(), mailbox.MailID(mail("u2")).String()}
	got, err := ats.OfMails(db)(t.Context(), "u1", ids)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]policy.ATS{ids[0]: {System: "lever", Stage: "Onsite", Company: "Acme", GhostingRisk: 0.95}}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAddressKeyIsTheSame holds the function of the database to Key.
func TestAddressKeyIsTheSame(t *testing.T) {
	db, _ := testenv.Database(t)
	rapid.Check(t, func(t *rapid.T) {
		address := ats.Plain(rapid.StringMatching(`[a-zA-Z+@."é ]{0,12}@[a-z+.]{0,5}`).Draw(t, "address"))
		var got string
		if err := db.QueryRow(context.Background(), "SELECT address_key($1)", address).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := ats.Key(address); got != want {
			t.Fatalf("address_key(%q) is %q, want %q", address, got, want)
		}
	})
}

// risk is the rule of the contract, in whole days of 24 hours.
func risk(change, interview *time.Time, at time.Time) float64 {
	switch {
	case interview != nil:
		return 0.1
	case change == nil:
		return 0.2
	}
	days := math.Floor(at.Sub(*change).Hours() / 24)
	if days < 14 {
		return 0.1
	}
	return math.Min(1, math.Round(50+3*days)/100)
}

func TestGhostingRisk(t *testing.T) {
	db, _ := testenv.Database(t)
	ask := func(t interface{ Fatal(...any) }, change, interview *time.Time, at time.Time) (got float64) {
		if err := db.QueryRow(context.Background(), "SELECT ghosting_risk($1, $2, $3)", change, interview, at).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	day := 24 * time.Hour
	for age, want := range map[time.Duration]float64{
		-day: 0.1, 0: 0.1, 13 * day: 0.1, 14*day - time.Microsecond: 0.1, 14 * day: 0.92, 15*day - time.Microsecond: 0.92,
		15 * day: 0.95, 16 * day: 0.98, 17*day - time.Microsecond: 0.98, 17 * day: 1, 18 * day: 1, 4000 * day: 1,
	} {
		if got := ask(t, &start, nil, start.Add(age)); got != want {
			t.Errorf("after %v the risk is %v, want %v", age, got, want)
		}
		if got := ask(t, &start, &start, start.Add(age)); got != 0.1 {
			t.Errorf("with an interview after %v the risk is %v, want 0.1", age, got)
		}
	}
	if got := ask(t, nil, nil, start); got != 0.2 {
		t.Errorf("with the last change unknown the risk is %v, want 0.2", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Custom(func(t *rapid.T) *time.Time {
			at := start.Add(time.Duration(rapid.Int64Range(-20*86_400, 20*86_400).Draw(t, "seconds")) * time.Second)
			return &at
		})
		change := rapid.OneOf(moment, rapid.Just[*time.Time](nil)).Draw(t, "change")
		interview := rapid.OneOf(moment, rapid.Just[*time.Time](nil)).Draw(t, "interview")
		at := *moment.Draw(t, "at")
		if got, want := ask(t, change, interview, at), risk(change, interview, at); got != want {
			t.Fatalf("the risk is %v, want %v", got, want)
		}
	})
}
