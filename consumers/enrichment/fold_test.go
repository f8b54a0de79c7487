package enrichment

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

// appRow is an application as table applications has it.
type appRow struct {
	Addresses       []string
	Company, Stage  string
	LastStageChange time.Time
	InterviewDate   time.Time
	SrcVersion      int64
	Removed         bool
	UpdatedAt       time.Time
}

// table is the plain meaning of events: one event, one step, no batch. marked are the addresses that changed.
type table struct {
	rows   map[key]appRow
	marked map[string]bool
}

func newTable() table { return table{map[key]appRow{}, map[string]bool{}} }

func (t table) fold(event events.Event) {
	application := event.Application
	after := appRow{Addresses: []string{}, SrcVersion: application.SrcVersion, UpdatedAt: application.RecordedAt}
	switch event.Type {
	case events.TypeApplicationChanged:
		after.Addresses = normalize(application.Addresses)
		after.Company, after.Stage = application.Company, application.Stage
		after.LastStageChange, after.InterviewDate = application.LastStageChange, application.InterviewDate
	case events.TypeApplicationRemoved:
		after.Removed = true
	}
	t.put(key{application.System, application.ApplicationID}, after)
}

func (t table) put(at key, after appRow) {
	before, known := t.rows[at]
	if known && after.SrcVersion <= before.SrcVersion {
		return
	}
	t.rows[at] = after
	same := cmp.Equal(before, after, cmpopts.IgnoreFields(appRow{}, "SrcVersion", "UpdatedAt"))
	if known && same {
		return
	}
	for _, row := range []appRow{before, after} {
		for _, address := range row.Addresses {
			key := plainKey(address)
			t.marked[key] = true
			if name := strings.ToLower(row.Company); name != "" {
				t.marked[key+" "+name] = true
			}
		}
	}
}

// plainKey is the key of an address in these tests.
func plainKey(address string) string { return strings.Replace(address, "+jobs", "", 1) }

// keys are the keys of each application as the table of keys has them.
func (t table) keys() map[key][]string {
	all := map[key][]string{}
	for at, row := range t.rows {
		for _, address := range row.Addresses {
			all[at] = append(all[at], plainKey(address)+"  true")
			if name := strings.ToLower(row.Company); name != "" {
				all[at] = append(all[at], plainKey(address)+" "+name+" true")
			}
		}
		if slices.Sort(all[at]); len(all[at]) > 0 {
			all[at] = slices.Compact(all[at])
		} else {
			delete(all, at)
		}
	}
	return all
}

// add does to the table what the store does to the database.
func (t table) add(changes *Changes) {
	for _, at := range changes.sorted() {
		s := changes.newest[at]
		t.put(at, appRow{s.addresses, s.company, s.stage, s.lastStageChange, s.interviewDate, s.srcVersion, s.removed, s.recordedAt})
	}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func changedTo(id string, version int64, stage string, addresses ...string) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: events.TypeApplicationChanged},
		Application: &events.Application{
			System: "lever", ApplicationID: id, Addresses: addresses, Company: "Acme", Stage: stage,
			LastStageChange: start, SrcVersion: version, RecordedAt: start.Add(time.Duration(version) * time.Minute),
		},
	}
}

func removal(id string, version int64) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: events.TypeApplicationRemoved},
		Application: &events.Application{
			System: "lever", ApplicationID: id, SrcVersion: version, RecordedAt: start.Add(time.Duration(version) * time.Minute),
		},
	}
}

// anyEvent draws from few applications, versions and addresses, so that old, equal and new versions meet.
var anyEvent = rapid.Custom(func(t *rapid.T) events.Event {
	id := rapid.SampledFrom([]string{"1", "2", "ß"}).Draw(t, "id")
	version := rapid.Int64Range(1, 6).Draw(t, "version")
	if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
		return removal(id, version)
	}
	address := rapid.SampledFrom([]string{"Ada@Example.com", "ada+jobs@example.com", "bob@example.com", "carl@example.org"})
	event := changedTo(id, version, rapid.SampledFrom([]string{"Applied", "Onsite", `"O'ffer"\`}).Draw(t, "stage"),
		rapid.SliceOfN(address, 0, 3).Draw(t, "addresses")...)
	event.Application.Company = rapid.SampledFrom([]string{"Acme", "Beta", ""}).Draw(t, "company")
	if rapid.Bool().Draw(t, "no times") {
		event.Application.LastStageChange = time.Time{}
	} else {
		event.Application.InterviewDate = start.AddDate(0, 0, 7)
	}
	return event
})

// anyBatches draws a log that is cut into batches, some of them empty.
var anyBatches = rapid.SliceOfN(rapid.SliceOfN(anyEvent, 0, 8), 1, 6)

func TestAnyCutBringsTheSame(t *testing.T) {
	changes := NewChanges()
	rapid.Check(t, func(t *rapid.T) {
		got, want := newTable(), newTable()
		for _, batch := range anyBatches.Draw(t, "batches") {
			changes.Reset()
			for _, event := range batch {
				changes.Fold(&event)
				want.fold(event)
			}
			got.add(changes)
		}
		if diff := cmp.Diff(want.rows, got.rows); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestFoldingTwiceIsFoldingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.SliceOfN(anyEvent, 0, 20).Draw(t, "log")
		once, twice := NewChanges(), NewChanges()
		for _, event := range log {
			once.Fold(&event)
		}
		for _, event := range append(log, log...) {
			twice.Fold(&event)
		}
		got, want := newTable(), newTable()
		got.add(twice)
		want.add(once)
		if diff := cmp.Diff(want.rows, got.rows); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestFold(t *testing.T) {
	for name, test := range map[string]struct {
		log  []events.Event
		want appRow
	}{
		"the highest version wins": {
			[]events.Event{changedTo("1", 2, "Onsite", "b@x.org"), changedTo("1", 1, "Applied", "a@x.org")},
			appRow{[]string{"b@x.org"}, "Acme", "Onsite", start, time.Time{}, 2, false, start.Add(2 * time.Minute)},
		},
		"of equal versions the first stands": {
			[]events.Event{changedTo("1", 2, "Onsite", "b@x.org"), changedTo("1", 2, "Offer", "a@x.org")},
			appRow{[]string{"b@x.org"}, "Acme", "Onsite", start, time.Time{}, 2, false, start.Add(2 * time.Minute)},
		},
		"a removal leaves nothing but the version": {
			[]events.Event{changedTo("1", 2, "Onsite", "b@x.org"), removal("1", 3), changedTo("1", 2, "Onsite", "b@x.org")},
			appRow{Addresses: []string{}, SrcVersion: 3, Removed: true, UpdatedAt: start.Add(3 * time.Minute)},
		},
		"an application may come back": {
			[]events.Event{removal("1", 3), changedTo("1", 4, "Onsite", "b@x.org")},
			appRow{[]string{"b@x.org"}, "Acme", "Onsite", start, time.Time{}, 4, false, start.Add(4 * time.Minute)},
		},
		"addresses are lower case, sorted and unique": {
			[]events.Event{changedTo("1", 1, "Applied", "Zoë@X.org", "b@x.org", "B@x.org")},
			appRow{[]string{"b@x.org", "zoë@x.org"}, "Acme", "Applied", start, time.Time{}, 1, false, start.Add(time.Minute)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			changes, got := NewChanges(), newTable()
			for _, event := range test.log {
				changes.Fold(&event)
			}
			got.add(changes)
			if diff := cmp.Diff(map[key]appRow{{"lever", "1"}: test.want}, got.rows); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFoldKeepsNoSliceOfTheEvent(t *testing.T) {
	changes, event := NewChanges(), changedTo("1", 1, "Applied", "a@x.org")
	changes.Fold(&event)
	event.Application.Addresses[0] = "overwritten"
	if got := changes.newest[key{"lever", "1"}].addresses[0]; got != "a@x.org" {
		t.Errorf("address became %q", got)
	}
}

func TestSizeFollowsTheStates(t *testing.T) {
	changes := NewChanges()
	long, short := changedTo("1", 1, "Applied", "a@x.org", "b@x.org"), removal("1", 2)
	changes.Fold(&long)
	before := changes.Size()
	changes.Fold(&short)
	if after := changes.Size(); after <= 0 || after >= before {
		t.Errorf("size went from %d to %d", before, after)
	}
	changes.Reset()
	if size := changes.Size(); size != 0 {
		t.Errorf("size after reset is %d", size)
	}
}

func manyEvents(count int) []events.Event {
	log := make([]events.Event, count)
	for i := range log {
		log[i] = changedTo(fmt.Sprint(i%20_000), int64(i+1), "Onsite", fmt.Sprintf("candidate%d@example.com", i%20_000))
	}
	return log
}

func BenchmarkFold(b *testing.B) {
	log := manyEvents(50_000)
	changes, folded := NewChanges(), 0
	for b.Loop() {
		changes.Reset()
		for i := range log {
			changes.Fold(&log[i])
		}
		folded += len(log)
	}
	b.ReportMetric(float64(folded)/b.Elapsed().Seconds(), "events/s")
}
