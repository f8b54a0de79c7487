package indexer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/atstest"
	"github.com/applylens/applylens/internal/testkit/world"
)

// history is what happens in one run of a test: events in parts, the days that pass after each, and whose addresses are
// named by hand.
type history struct {
	parts [][]*events.Event
	days  []int
	own   [][]string
}

func drawHistory(t *rapid.T) history {
	h := history{parts: rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(atstest.Event), 1, 10), 1, 4).Draw(t, "parts")}
	for range h.parts {
		h.days = append(h.days, rapid.IntRange(0, 3).Draw(t, "days"))
		h.own = append(h.own, atstest.Addresses(t, 2))
	}
	return h
}

// TestIndexIsTheReference: after random histories, in which days pass without an event, the documents say what the slow
// reference says.
func TestIndexIsTheReference(t *testing.T) {
	w := newDeployment(t)
	w.Exec(`INSERT INTO users (id) VALUES ('u1'), ('u2')`)
	w.start()
	histories := rapid.Custom(drawHistory)
	seed, enriched := int(time.Now().UnixNano()%1_000_000), 0
	for run := range 25 {
		h := histories.Example(seed + run)
		want := atstest.NewReference()
		for i, part := range h.parts {
			for _, event := range part {
				want.Add(event)
			}
			want.Own["u1"] = h.own[i]
			w.Exec(`UPDATE users SET addresses = $1 WHERE id = 'u1'`, plain(h.own[i]))
			w.fold(part...)
			w.settle()
			w.compare(fmt.Sprintf("seed %d part %d", seed+run, i), want)
			w.SetClock(w.Now().AddDate(0, 0, h.days[i]))
			w.aged()
			w.settle()
			enriched += w.compare(fmt.Sprintf("seed %d part %d, %d days later", seed+run, i, h.days[i]), want)
		}
		w.Exec(`LOCK TABLE mails, mail_addresses, mail_correspondents, applications, application_keys; -- before marks, as the indexer reads and then marks
			SELECT mark_mails(ARRAY(SELECT id FROM mails)); TRUNCATE mails, mail_addresses, mail_correspondents, applications, application_keys`)
		w.Exec(`UPDATE users SET addresses = '{}'`)
		w.SetClock(atNoon)
		w.Exec(`UPDATE index_ageing SET aged_until = $1`, atNoon)
	}
	if enriched == 0 {
		t.Error("no mail of any history had an application")
	}
}

func plain(list []string) []string {
	result := make([]string, len(list))
	for i, address := range list {
		result[i] = strings.ToLower(strings.Replace(address, "MÜLLER.de", "xn--mller-kva.de", 1))
	}
	return result
}

// aged waits until the indexer has looked what came of age by the clock.
func (w *deployment) aged() {
	w.Helper()
	w.Eventually("ageing has passed", func() error {
		if !world.Scalar[bool](w, `SELECT aged_until >= $1::timestamptz - interval '1 minute' FROM index_ageing`, w.Now()) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
}

// application is what a document says of one, in the words of the reference.
type application struct {
	atstest.Found
	Risk float64
}

// compare holds the index to the reference, and tells how many mails had an application.
func (w *deployment) compare(when string, want *atstest.Reference) int {
	w.Helper()
	names, got := map[string]bool{}, map[string]application{}
	for _, document := range w.documents() {
		name := ""
		for key, mail := range want.Mails {
			if document.ID == mailID(mail.UserID, mail.MessageID) {
				name = key
			}
		}
		names[name] = true
		if a := document.ATS; a != nil {
			found := atstest.Found{System: a.System, ID: a.ApplicationID, Stage: a.Stage, Company: a.Company, Change: timeOf(a.LastStageChange), Interview: timeOf(a.InterviewDate)}
			got[name] = application{found, a.GhostingRisk}
		}
	}
	mails, expected := map[string]bool{}, map[string]application{}
	for name := range want.Mails {
		mails[name] = true
	}
	for name, found := range want.Applications() {
		expected[name] = application{found, found.Risk(w.Now())}
	}
	if diff := cmp.Diff(mails, names) + cmp.Diff(expected, got); diff != "" {
		w.Fatalf("%s: (-reference +index)\n%s\nmarks left: %s\nmails: %v\nwithout a refresh: %v", when, diff, w.marks(),
			world.Column[string](w, `SELECT user_id || ' ' || message_id || ' ' || id FROM live_mails ORDER BY 1`), w.unrefreshed())
	}
	return len(expected)
}

// unrefreshed tells of each mail in the table which version of it Elasticsearch has, whether searches find it or not.
func (w *deployment) unrefreshed() (versions []string) {
	w.Helper()
	for _, id := range world.Column[string](w, `SELECT id::text FROM live_mails ORDER BY user_id, message_id`) {
		response, err := http.Get(w.server + "/" + w.alias() + "/_doc/" + id + "?_source=false")
		w.Must(err)
		text, err := io.ReadAll(response.Body)
		w.Must(errors.Join(err, response.Body.Close()))
		versions = append(versions, string(text))
	}
	return versions
}

func timeOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

// TestAddressBecomesOwnAndApplicationLosesIt: neither mark alone touches the mail that had the application.
func TestAddressBecomesOwnAndApplicationLosesIt(t *testing.T) {
	w := newDeployment(t)
	stop := w.start()
	w.fold(received("ada", "1", func(m *events.Mail) { m.Sender.Address, m.DeliveredTo = "bob@example.org", nil }), applied("1", 1, by("bob@example.org")))
	w.settle()
	if w.documents()[mailID("ada", "1")].ATS == nil {
		t.Fatal("a correspondent's application is missing")
	}
	stop()
	w.fold(received("ada", "2", func(m *events.Mail) { m.DeliveredTo = []string{"bob@example.org"} }), applied("1", 2, by("carl@example.org")))
	w.start()
	w.settle()
	w.same()
}

// TestDocumentsCrossDaysOnTime: the risk in the index is that of the clock to the second, and only what crossed a day is
// written.
func TestDocumentsCrossDaysOnTime(t *testing.T) {
	w := newDeployment(t)
	registry := prometheus.NewRegistry()
	w.start(func(c *Config) { c.Registry = registry })
	for _, user := range []string{"ada", "bob"} {
		w.fold(received(user, "1"))
	}
	w.fold(applied("1", 1, by("ada@example.org")), applied("2", 1, by("bob@example.org"), func(a *events.Application) { a.InterviewDate = atNoon }))
	w.settle()
	day := 24 * time.Hour
	before := 0.1
	for _, step := range []struct {
		at   time.Duration
		want float64
	}{
		{14*day - time.Second, 0.1}, {14 * day, 0.92}, {15*day - time.Second, 0.92}, {15 * day, 0.95}, {16 * day, 0.98}, {17*day - time.Second, 0.98},
		{17 * day, 1}, {30 * day, 1},
	} {
		written := documentsWritten(t, registry)
		w.SetClock(atNoon.Add(step.at))
		w.Eventually(fmt.Sprintf("the risk after %v", step.at), func() error {
			if got := w.documents()[mailID("ada", "1")].ATS.GhostingRisk; got != step.want {
				return fmt.Errorf("it is %v, want %v", got, step.want)
			}
			return nil
		})
		w.settle()
		if got, want := documentsWritten(t, registry)-written, map[bool]float64{true: 1}[step.want != before]; got != want {
			t.Errorf("after %v %v documents were written, want %v", step.at, got, want)
		}
		before = step.want
	}
	w.same()
}

func documentsWritten(t testing.TB, registry *prometheus.Registry) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "applylens_indexer_documents_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == "written" {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestNothingChangedWritesNothing: an indexer that has nothing to do writes neither to the index nor to the database.
func TestNothingChangedWritesNothing(t *testing.T) {
	w := newDeployment(t)
	w.fold(received("ada", "1"), applied("1", 1, by("ada@example.org")))
	w.start()
	w.settle()
	w.fold(received("ada", "1"), applied("1", 1, by("ada@example.org")), applied("1", 2, by("ada@example.org"))) // as it is
	bulks, refreshes := w.proxy.count("POST _bulk"), w.proxy.count("POST _refresh")
	rows := world.Scalar[string](w, tupleVersions)
	w.AwaitLooks(20)
	if n := w.proxy.count("POST _bulk") + w.proxy.count("POST _refresh") - bulks - refreshes; n != 0 {
		t.Errorf("%d bulks and refreshes with nothing changed", n)
	}
	if after := world.Scalar[string](w, tupleVersions); after != rows {
		t.Errorf("rows changed from %s to %s", rows, after)
	}
}

const tupleVersions = `SELECT concat_ws(' ', (SELECT xmin || ctid::text FROM index_ageing), (SELECT string_agg(xmin || ctid::text, ',') FROM search_indices),
	(SELECT last_value FROM index_rev))`
