package ats_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/atstest"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// fold folds events with a group in one transaction. Events that the group does not fold are skipped.
func fold(ctx context.Context, db *pgxpool.Pool, group *consumers.Group, part []*events.Event) error {
	batch := group.NewBatch()
	for _, event := range part {
		if slices.Contains(group.Folds, event.Type) {
			batch.Add(event)
		}
	}
	return postgres.InTx(ctx, db, func(tx *postgres.Tx) error { return batch.Write(ctx, tx, consumers.Version{Number: 1}) })
}

const columns = `SELECT m.user_id || ' ' || m.message_id, a.system, a.application_id, a.stage, a.company, a.last_stage_change, a.interview_date `

// The ways to read the match.
var readings = map[string]string{
	"all users": columns + `FROM live_ats a JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"two users": columns + `FROM (SELECT * FROM live_ats WHERE user_id = 'u1' UNION ALL SELECT * FROM live_ats WHERE user_id = 'u2') a
		JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"given mails": columns + `FROM ats_of(ARRAY(SELECT id FROM mails)) a JOIN live_mails m ON m.id = a.mail_id AND m.user_id = a.user_id`,
	"per mail":    columns + `FROM live_mails m, LATERAL ats_of(ARRAY[m.id]) a`,
}

func read(ctx context.Context, db *pgxpool.Pool, sql string) (map[string]atstest.Found, error) {
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	result := map[string]atstest.Found{}
	var name string
	var row atstest.Found
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

// TestLiveATSIsTheReference checks that every way to read the view equals the reference, for any events in any order and any
// split into transactions.
func TestLiveATSIsTheReference(t *testing.T) {
	db, _ := testenv.Database(t)
	ctx := context.Background()
	matched := 0
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(ctx, `TRUNCATE mails, mail_addresses, mail_correspondents, applications, application_keys;
			DELETE FROM users; INSERT INTO users (id) VALUES ('u1'), ('u2')`); err != nil {
			t.Fatal(err)
		}
		want := atstest.NewReference()
		for _, part := range rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(atstest.Event), 1, 16), 1, 3).Draw(t, "parts") {
			for _, event := range part {
				want.Add(event)
			}
			for _, group := range []*consumers.Group{mailbox.Group(), enrichment.Group()} {
				if err := fold(ctx, db, group, part); err != nil {
					t.Fatal(err)
				}
			}
			want.Own["u1"] = atstest.Addresses(t, 2)
			if _, err := db.Exec(ctx, `UPDATE users SET addresses = $1 WHERE id = 'u1'`, plain(want.Own["u1"])); err != nil {
				t.Fatal(err)
			}
			for name, sql := range readings {
				got, err := read(ctx, db, sql)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.Applications(), got); diff != "" {
					t.Fatalf("%s (-want +got)\n%s", name, diff)
				}
				matched += len(got)
			}
		}
	})
	if matched == 0 {
		t.Error("no mail in any run had an application")
	}
}

func plain(list []string) []string {
	result := make([]string, len(list))
	for i, address := range list {
		result[i] = domain.Address(address)
	}
	return result
}

// TestOfMails checks that policies see only applications of the user's own mail, with the current risk.
func TestOfMails(t *testing.T) {
	db, _ := testenv.Database(t)
	mail := func(user string) *events.Mail {
		return &events.Mail{UserID: user, MessageID: "a", Sender: events.Address{Address: "rita@acme.com"}, DeliveredTo: []string{"ada@example.com"}, RecordedAt: atstest.Start}
	}
	application := &events.Application{
		System: "lever", ApplicationID: "1", Addresses: []string{"ada@example.com"}, Company: "Acme", Stage: "Onsite",
		LastStageChange: time.Now().Add(-15*24*time.Hour - time.Minute), SrcVersion: 1, RecordedAt: atstest.Start,
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
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAddressKeyIsTheSame compares the database function with Key.
func TestAddressKeyIsTheSame(t *testing.T) {
	db, _ := testenv.Database(t)
	rapid.Check(t, func(t *rapid.T) {
		address := domain.Address(rapid.StringMatching(`[a-zA-Z+@."é ]{0,12}@[a-z+.]{0,5}`).Draw(t, "address"))
		var got string
		if err := db.QueryRow(context.Background(), "SELECT address_key($1)", address).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := ats.Key(address); got != want {
			t.Fatalf("address_key(%q) is %q, want %q", address, got, want)
		}
	})
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
		if got := ask(t, &atstest.Start, nil, atstest.Start.Add(age)); got != want {
			t.Errorf("after %v the risk is %v, want %v", age, got, want)
		}
		if got := ask(t, &atstest.Start, &atstest.Start, atstest.Start.Add(age)); got != 0.1 {
			t.Errorf("with an interview after %v the risk is %v, want 0.1", age, got)
		}
	}
	if got := ask(t, nil, nil, atstest.Start); got != 0.2 {
		t.Errorf("with the last change unknown the risk is %v, want 0.2", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		moment := rapid.Custom(func(t *rapid.T) *time.Time {
			at := atstest.Start.Add(time.Duration(rapid.Int64Range(-20*86_400, 20*86_400).Draw(t, "seconds")) * time.Second)
			return &at
		})
		change := rapid.OneOf(moment, rapid.Just[*time.Time](nil)).Draw(t, "change")
		interview := rapid.OneOf(moment, rapid.Just[*time.Time](nil)).Draw(t, "interview")
		at := *moment.Draw(t, "at")
		want := atstest.Found{Change: utc(change), Interview: utc(interview)}.Risk(at)
		if got := ask(t, change, interview, at); got != want {
			t.Fatalf("the risk is %v, want %v", got, want)
		}
	})
}
