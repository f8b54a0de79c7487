package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search/keys"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

var live = consumers.Version{Number: 1}

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// received returns an event of user's mail with the given id and text; "z" has another recipient.
func received(user, messageID, text string, minute int, delivered ...string) *events.Event {
	event := &events.Event{
		Envelope: events.Envelope{Type: events.TypeMailReceived},
		Mail: &events.Mail{
			UserID: user, MessageID: messageID, Subject: "About " + text[:1], Text: text, DeliveredTo: delivered,
			Sender:     events.Address{Name: "Ann", Address: "Ann@Mail.Example.co.uk"},
			Recipients: []events.Address{{Address: `we"ird\@x.example`}, {Address: "b+Tag@X.example"}},
			Labels:     []string{"a, b", "NULL", ""},
			ReceivedAt: start.Add(-time.Hour), RecordedAt: start.Add(time.Duration(minute) * time.Minute),
		},
	}
	if text == "z" {
		event.Mail.Recipients = []events.Address{{Address: "carl@x.example"}}
	}
	return event
}

func erased(user string) *events.Event {
	return &events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: user}}
}

// store folds each piece in a transaction of its own.
func store(t failer, db *pgxpool.Pool, version consumers.Version, pieces ...[]*events.Event) {
	t.Helper()
	batch := Group().NewBatch()
	for _, piece := range pieces {
		for _, event := range piece {
			batch.Add(event)
		}
		err := postgres.InTx(context.Background(), db, func(tx *postgres.Tx) error {
			return batch.Write(context.Background(), tx, version)
		})
		if err != nil {
			t.Fatal(err)
		}
		batch.Committed()
		batch.Reset()
		if size := batch.Size(); size != 0 {
			t.Fatalf("size %d after Reset", size)
		}
	}
}

// stored is a row of the table as far as the reference knows it.
type stored struct {
	User, MessageID, Hash, Subject, Text, Sender, Domain, Category string
	Recipients, Labels, Parties, Companies                         []string
	UpdatedAt                                                      time.Time
	ID                                                             string
}

type tables struct {
	Mails          map[string]stored
	Addresses      []string // "user address"
	Correspondents []string // "user address"
}

func dump(t failer, db *pgxpool.Pool, version int) tables {
	t.Helper()
	result := tables{Mails: map[string]stored{}}
	rows, err := db.Query(context.Background(), `SELECT user_id, message_id, encode(identity_hash, 'hex'), subject, text, sender, sender_domain, category,
		recipients, labels, parties, companies, updated_at, id::text FROM mails WHERE version = $1`, version)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[stored])
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range all {
		row.UpdatedAt = row.UpdatedAt.UTC()
		result.Mails[row.User+" "+row.ID] = row
	}
	result.Addresses = texts(t, db, `SELECT user_id || ' ' || address FROM mail_addresses WHERE version = $1`, version)
	result.Correspondents = texts(t, db, `SELECT user_id || ' ' || address FROM mail_correspondents WHERE version = $1`, version)
	return result
}

func texts(t failer, db *pgxpool.Pool, sql string, arguments ...any) []string {
	t.Helper()
	rows, err := db.Query(context.Background(), sql, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// reference folds one event after the other in the most obvious way.
func reference(log []*events.Event) tables {
	result := tables{Mails: map[string]stored{}}
	addresses, correspondents := map[string]bool{}, map[string]bool{}
	content := map[string]uint64{}
	sender := func(mail *events.Mail) string { return strings.ToLower(mail.Sender.Address) }
	for _, event := range log {
		if event.Type == events.TypeUserErased {
			prefix := event.Erasure.UserID + " "
			maps.DeleteFunc(result.Mails, func(key string, _ stored) bool { return strings.HasPrefix(key, prefix) })
			maps.DeleteFunc(addresses, func(key string, _ bool) bool { return strings.HasPrefix(key, prefix) })
			maps.DeleteFunc(correspondents, func(key string, _ bool) bool { return strings.HasPrefix(key, prefix) })
			continue
		}
		mail := event.Mail
		for _, address := range mail.DeliveredTo {
			addresses[mail.UserID+" "+strings.ToLower(address)] = true
		}
		parties := map[string][]string{"z": {"carl@x.example"}, "": {`we"ird\@x.example`, "b@x.example"}}
		row := stored{User: mail.UserID, MessageID: mail.MessageID, Hash: mail.ContentHash, Subject: mail.Subject, Text: mail.Text,
			Sender: sender(mail), Domain: "example.co.uk", Category: Personal,
			Recipients: []string{`we"ird\@x.example`, "b+tag@x.example"}, Labels: mail.Labels, UpdatedAt: mail.RecordedAt,
			Parties: append([]string{sender(mail)}, parties[""]...), Companies: []string{"example", "examplecouk", "ann"}}
		if mail.Text == "z" {
			row.Recipients, row.Parties = []string{"carl@x.example"}, append([]string{sender(mail)}, parties["z"]...)
		}
		for _, party := range row.Parties {
			correspondents[mail.UserID+" "+party] = true
		}
		row.ID = events.DeriveUUID(mail.UserID, mail.MessageID).String()
		if first, taken := result.Mails[mail.UserID+" "+row.ID]; taken {
			switch bothHashed := first.Hash != "" && mail.ContentHash != ""; {
			case bothHashed && first.Hash != mail.ContentHash:
				row.ID = events.DeriveUUID(mail.UserID, mail.MessageID, mail.ContentHash).String()
			case !bothHashed && first.Sender != sender(mail) && mail.ContentHash != "":
				row.ID = events.DeriveUUID(mail.UserID, mail.MessageID, mail.ContentHash).String()
			case !bothHashed && first.Sender != sender(mail):
				row.ID = events.DeriveUUID(mail.UserID, mail.MessageID, "sender", sender(mail)).String()
			case mail.ContentHash == "":
				row.Hash = first.Hash
			}
		}
		key := mail.UserID + " " + row.ID
		hash := events.ContentHash(event)
		if _, known := result.Mails[key]; known && content[key] == hash {
			continue
		}
		result.Mails[key], content[key] = row, hash
	}
	result.Addresses, result.Correspondents = slices.Sorted(maps.Keys(addresses)), slices.Sorted(maps.Keys(correspondents))
	return result
}

// TestAnyCutGivesTheSameTables: however the log is cut into transactions, the tables are those of the reference.
func TestAnyCutGivesTheSameTables(t *testing.T) {
	db, _ := testenv.Database(t)
	rapid.Check(t, func(t *rapid.T) {
		if _, err := db.Exec(context.Background(), "DELETE FROM mails; DELETE FROM mail_addresses; DELETE FROM mail_correspondents"); err != nil {
			t.Fatal(err)
		}
		log := rapid.Custom(drawLog).Draw(t, "log")
		var pieces [][]*events.Event
		for rest := log; len(rest) > 0; {
			cut := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			pieces, rest = append(pieces, rest[:cut]), rest[cut:]
		}
		store(t, db, live, pieces...)
		if diff := cmp.Diff(reference(log), dump(t, db, 1), cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func drawLog(t *rapid.T) []*events.Event {
	count := rapid.IntRange(1, 12).Draw(t, "count")
	log := make([]*events.Event, count)
	for i := range log {
		user := rapid.SampledFrom([]string{"u1", "u2"}).Draw(t, "user")
		if rapid.IntRange(0, 7).Draw(t, "erase") == 0 {
			log[i] = erased(user)
			continue
		}
		log[i] = received(user, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id"), rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "text"), i,
			rapid.SampledFrom([][]string{nil, {"Me@X.example"}, {"me@x.example", "other@x.example"}}).Draw(t, "delivered")...)
		log[i].Mail.ContentHash = rapid.SampledFrom([]string{"", strings.Repeat("1", 64), strings.Repeat("2", 64)}).Draw(t, "hash")
		log[i].Mail.Sender.Address = rapid.SampledFrom([]string{"Ann@Mail.Example.co.uk", "bob@Mail.Example.co.uk"}).Draw(t, "sender")
	}
	return log
}

// marks returns the generation of the mark of each mail and address, which is another whenever it is marked.
func marks(t *testing.T, db *pgxpool.Pool) map[string]int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT mail_id::text, generation FROM dirty_mails UNION ALL SELECT address || company, generation FROM dirty_addresses")
	if err != nil {
		t.Fatal(err)
	}
	result := map[string]int64{}
	var key string
	var generation int64
	_, err = pgx.ForEachRow(rows, []any{&key, &generation}, func() error { result[key] = generation; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func idOf(event *events.Event) string { return MailID(event.Mail).String() }

func TestMarks(t *testing.T) {
	db, _ := testenv.Database(t)
	testenv.Index(t, db)
	a, b := received("u1", "a", "x", 0, "Me+tag@x.example"), received("u1", "b", "x", 0)
	changed, c := received("u1", "a", "y", 1), received("u2", "c", "x", 0, "me@x.example")
	steps := []struct {
		name  string
		piece []*events.Event
		want  map[string]int64
	}{
		{"new", []*events.Event{a, b}, map[string]int64{idOf(a): 1, idOf(b): 1, "me@x.example*": 1}},
		{"repeated", []*events.Event{a, b, a}, map[string]int64{idOf(a): 1, idOf(b): 1, "me@x.example*": 1}},
		{"changed", []*events.Event{changed}, map[string]int64{idOf(a): 2, idOf(b): 1, "me@x.example*": 1}},
		{"changed there and back", []*events.Event{a, changed}, map[string]int64{idOf(a): 3, idOf(b): 1, "me@x.example*": 1}},
		{"erased by another", []*events.Event{erased("u2")}, map[string]int64{idOf(a): 3, idOf(b): 1, "me@x.example*": 1}},
		{"erased and received again", []*events.Event{erased("u1"), b}, map[string]int64{idOf(a): 4, idOf(b): 2}},
		{"an address of two", []*events.Event{a, c}, map[string]int64{idOf(a): 5, idOf(b): 2, idOf(c): 1, "me@x.example*": 1}},
		{"one of them erased", []*events.Event{erased("u1")}, map[string]int64{idOf(a): 6, idOf(b): 3, idOf(c): 1, "me@x.example*": 1}},
		{"the other too", []*events.Event{erased("u2")}, map[string]int64{idOf(a): 6, idOf(b): 3, idOf(c): 2}},
	}
	before, times := map[string]int64{}, map[string]int64{}
	for _, step := range steps {
		store(t, db, live, step.piece)
		now := marks(t, db)
		for key := range times {
			if _, marked := now[key]; !marked {
				delete(times, key)
			}
		}
		for key, generation := range now {
			if generation != before[key] {
				times[key]++
			}
		}
		if diff := cmp.Diff(step.want, times); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
		before = now
	}
}

func TestWithoutAnIndexNothingIsMarked(t *testing.T) {
	db, _ := testenv.Database(t)
	store(t, db, live, []*events.Event{received("u1", "a", "x", 0, "me@x.example")}, []*events.Event{erased("u1")})
	if got := marks(t, db); len(got) != 0 {
		t.Errorf("marks %v", got)
	}
}

func TestAShadowVersionHasNoEffectOutsideItsRows(t *testing.T) {
	db, _ := testenv.Database(t)
	testenv.Index(t, db)
	_, err := db.Exec(t.Context(), `CREATE TABLE mails_2 PARTITION OF mails FOR VALUES IN (2);
		CREATE TABLE mail_addresses_2 PARTITION OF mail_addresses FOR VALUES IN (2);
		CREATE TABLE mail_correspondents_2 PARTITION OF mail_correspondents FOR VALUES IN (2)`)
	if err != nil {
		t.Fatal(err)
	}
	log := []*events.Event{received("u1", "a", "x", 0, "me@x.example"), received("u1", "b", "x", 0)}
	store(t, db, live, log[1:])
	before := marks(t, db)
	store(t, db, consumers.Version{Number: 2, Shadow: true}, log, []*events.Event{erased("u1"), log[0]})
	if diff := cmp.Diff(before, marks(t, db)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(reference(log[1:]), dump(t, db, 1), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(reference(log[:1]), dump(t, db, 2), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// A stranger who sends a mail with the Message-ID of another does not replace that one, in whatever order and transactions they
// come; the same mail again, read better, does.
func TestAnotherMailOfAMessageID(t *testing.T) {
	mail := func(hash, sender, text string, minute int) *events.Event {
		event := received("u1", "a", text, minute)
		event.Mail.ContentHash, event.Mail.Sender.Address = strings.Repeat(hash, 64), sender
		return event
	}
	first, better := mail("1", "ann@x.example", "x", 0), mail("1", "ann@x.example", "y", 2)
	stranger, anonymous := mail("2", "eve@evil.example", "z", 1), mail("", "eve@evil.example", "z", 3)
	old := mail("", "ann@x.example", "x", 0) // of a producer without hashes
	for name, pieces := range map[string][][]*events.Event{
		"at once":                   {{first, stranger, better}},
		"one by one":                {{first}, {stranger}, {better}},
		"read again":                {{first, stranger}, {better}, {first, stranger, better}, {stranger}},
		"without a hash":            {{first}, {anonymous}, {better}},
		"before hashes":             {{old}, {stranger}, {better}},
		"before hashes, at once":    {{old, anonymous, better}},
		"again by the old producer": {{first, old}, {stranger}, {better}},
		"erased and received anew":  {{stranger}, {erased("u1"), first}, {stranger, better}},
		"erased within one":         {{stranger, erased("u1"), first, stranger, better}},
		"repeated by the stranger":  {{first, stranger, first, stranger, better, stranger}},
	} {
		t.Run(name, func(t *testing.T) {
			db, _ := testenv.Database(t)
			store(t, db, live, pieces...)
			got := texts(t, db, "SELECT sender || ' ' || text || CASE id WHEN $2::uuid THEN ' first' ELSE '' END FROM mails WHERE version = $1", 1, idOf(first))
			want := []string{"ann@x.example y first", "eve@evil.example z"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWriteAgain: a batch whose transaction did not commit writes the same in another.
func TestWriteAgain(t *testing.T) {
	db, _ := testenv.Database(t)
	log := []*events.Event{received("u1", "a", "x", 0), erased("u1"), received("u1", "a", "y", 1), received("u1", "b", "z", 2)}
	batch := Group().NewBatch()
	for _, event := range log {
		batch.Add(event)
	}
	size := batch.Size()
	for range 2 {
		undone := errors.New("rolled back")
		err := postgres.InTx(t.Context(), db, func(tx *postgres.Tx) error {
			if err := batch.Write(t.Context(), tx, live); err != nil {
				t.Fatal(err)
			}
			return undone
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
	}
	if batch.Size() != size {
		t.Errorf("size %d, then %d", size, batch.Size())
	}
	if err := postgres.InTx(t.Context(), db, func(tx *postgres.Tx) error { return batch.Write(t.Context(), tx, live) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference(log), dump(t, db, 1), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// TestLargeBatch: more than a statement takes, in rows and in bytes.
func TestLargeBatch(t *testing.T) {
	db, _ := testenv.Database(t)
	var log []*events.Event
	for i := range maxRows + 10 {
		log = append(log, received("u1", fmt.Sprint("m", i), "x", 0))
	}
	for i := range 80 {
		log = append(log, received("u1", fmt.Sprint("large", i), strings.Repeat("y", events.MaxText), 0))
	}
	store(t, db, live, log)
	var count int
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM mails").Scan(&count); err != nil || count != len(log) {
		t.Errorf("%d rows, %v", count, err)
	}
}

// TestAllColumns writes what the reference does not look at.
func TestAllColumns(t *testing.T) {
	db, _ := testenv.Database(t)
	event := received("u1", "", "x", 0)
	risk := 85
	event.Mail.ContentHash = strings.Repeat("ab", 32)
	event.Mail.Thread, event.Mail.ListID, event.Mail.Category = "t", "News.Example", "Promo"
	event.Mail.RiskScore, event.Mail.Quarantined, event.Mail.Truncated = &risk, true, true
	event.Mail.ExpiresAt, event.Mail.HTML = start, "<p>x</p>"
	store(t, db, live, []*events.Event{event})
	var got string
	err := db.QueryRow(t.Context(), `SELECT concat_ws('|', id, message_id, thread, sender_name, list_id, category, risk_score, quarantined,
		truncated, html, extract(epoch FROM expires_at)::bigint, extract(epoch FROM received_at)::bigint) FROM live_mails`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%s||t|Ann|news.example|promo|85|t|t|<p>x</p>|%d|%d", idOf(event), start.Unix(), start.Unix()-3600)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestReceipts: a mail's receipt is stored with it, follows its content, and is found in HTML alone.
func TestReceipts(t *testing.T) {
	db, _ := testenv.Database(t)
	receipt := func(text, html string) *events.Event {
		event := received("u1", "a", "x", 0)
		event.Mail.Subject, event.Mail.Text, event.Mail.HTML = "Your receipt from Paper & Pen", text, html
		event.Mail.Sender = events.Address{Name: "Paper & Pen Ltd.", Address: "orders@paper-pen.example"}
		return event
	}
	f := func(want string, piece ...*events.Event) {
		t.Helper()
		store(t, db, live, piece)
		got := texts(t, db, `SELECT concat_ws('|', receipt_merchant, receipt_key, receipt_amount, receipt_currency) FROM live_mails`)
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Error(diff)
		}
	}
	f("Paper & Pen|paperpen|1234.50|EUR", receipt("Thank you.\nTotal: 1.234,50 EUR\n", ""))
	f("Paper & Pen|paperpen|1234.50|EUR", receipt("Thank you.\nTotal: 1.234,50 EUR\n", ""))
	f("", receipt("Thank you for nothing.", ""))
	f("Paper & Pen|paperpen|5000|JPY", receipt("", "<p>Thank you.</p><table><tr><td>Total</td><td>JPY 5,000</td></tr></table>"))
	refund := receipt("We have refunded $24.90 to your card.", "")
	refund.Mail.Subject = "Your refund"
	f("Paper & Pen|paperpen|-24.90|USD", refund)
	risky := receipt("Total: $24.90", "")
	risky.Mail.RiskScore = new(90)
	f("", risky)
}

// TestSearchWords: what search looks at is stored with a mail, and a mail that has more of it than PostgreSQL keeps is
// stored all the same.
func TestSearchWords(t *testing.T) {
	db, _ := testenv.Database(t)
	event := received("u1", "a", "Müller's text", 0)
	large := received("u1", "b", "x", 0)
	for i := range events.MaxRecipients {
		var address strings.Builder
		for word := i * 64; address.Len() < events.MaxAddress-10; word++ {
			fmt.Fprintf(&address, "%x.", word)
		}
		large.Mail.Recipients = append(large.Mail.Recipients, events.Address{Address: address.String() + "@x.example"})
	}
	store(t, db, live, []*events.Event{event, large})
	find := func(mail *events.Event, keys string) (found bool) {
		t.Helper()
		err := db.QueryRow(t.Context(), "SELECT search_keys(search_words) @@ $2::tsquery FROM live_mails WHERE id = $1", [16]byte(MailID(mail.Mail)), keys).Scan(&found)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	mark := keys.Mark("u1")
	for key, want := range map[string]bool{mark: true, mark + "bmüller": true, mark + "bm": false, mark + "fann@mail.example.co.uk": true, mark + "sabout": true} {
		if find(event, keys.Quote(key)) != want {
			t.Errorf("%s is found: %v", key, !want)
		}
	}
	if !find(large, keys.Quote(mark+"bx")) {
		t.Error("the text of a mail with many recipients is not found")
	}
}

// BenchmarkStore stores new mails of real length; their keys go into the inverted index of search. Of recent mail it is noted that it
// is new.
func BenchmarkStore(b *testing.B) {
	for name, received := range map[string]time.Time{"old": start, "recent": time.Now()} {
		b.Run(name, func(b *testing.B) {
			db, _ := testenv.Database(b)
			mails := load.NewMails(1)
			for n := range b.N {
				b.StopTimer()
				var log []*events.Event
				for i := range 5000 {
					log = append(log, &events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: mails.Next("u1", 5000*n+i, received)})
				}
				b.StartTimer()
				store(b, db, live, log)
			}
			b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "mails/s")
		})
	}
}
