package warehouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

// start is when the first sync of a test begins.
var start = time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)

// row is an application in a warehouse.
type row struct {
	system, id string
	addresses  []string
	company    string
	stage      string
	changed    time.Time
	interview  any
	synced     any
	deleted    any
}

// app returns the n-th application of Greenhouse, changed by adjust.
func app(n int, adjust ...func(*row)) row {
	r := row{system: "greenhouse", id: fmt.Sprint(n), addresses: []string{fmt.Sprintf("c%d@mail.example", n)}, company: "Acme", stage: "Onsite",
		changed: start.AddDate(0, 0, -3), synced: start.Add(-time.Hour), deleted: false}
	for _, f := range adjust {
		f(&r)
	}
	return r
}

func apps(from, to int, adjust ...func(*row)) []row {
	var list []row
	for n := from; n < to; n++ {
		list = append(list, app(n, adjust...))
	}
	return list
}

func stage(name string) func(*row)        { return func(r *row) { r.stage = name } }
func synced(at time.Time) func(*row)      { return func(r *row) { r.synced = at } }
func ofSystem(name string) func(*row)     { return func(r *row) { r.system = name } }
func addresses(list ...string) func(*row) { return func(r *row) { r.addresses = list } }
func deleted(r *row)                      { r.deleted = true }

// memory is a source in memory.
type memory struct {
	name    string
	rows    []row
	columns []Column // default: those of the view
	opened  error    // the error of Open
	since   time.Time
	cursor  bool // honours since
	broken  map[int]error
}

func (m *memory) Name() string {
	if m.name == "" {
		return "memory"
	}
	return m.name
}

func (m *memory) Open(_ context.Context, since time.Time) (Rows, error) {
	m.since = since
	if m.opened != nil {
		return nil, m.opened
	}
	list := make([]row, 0, len(m.rows))
	for _, r := range m.rows {
		if at, ok := r.synced.(time.Time); m.cursor && ok && at.Before(since) {
			continue
		}
		list = append(list, r)
	}
	return &memoryRows{memory: m, rows: list}, nil
}

type memoryRows struct {
	*memory
	rows []row
	next int
}

func (m *memoryRows) Columns() []Column {
	if m.columns != nil {
		return m.columns
	}
	return viewColumns()
}

func viewColumns() []Column {
	columns := make([]Column, columnCount)
	for i, name := range columnNames {
		columns[i] = Column{name, columnKinds[i][0]}
	}
	return columns
}

func (m *memoryRows) Next(context.Context) ([]any, error) {
	if m.next == len(m.rows) {
		return nil, io.EOF
	}
	m.next++
	if err := m.broken[m.next-1]; err != nil {
		return nil, err
	}
	r := &m.rows[m.next-1]
	return []any{r.system, r.id, r.addresses, r.company, r.stage, r.changed, r.interview, r.synced, r.deleted}, nil
}

func (m *memoryRows) Progress() (done, total int64) { return int64(m.next), 0 }
func (m *memoryRows) Close() error                  { return nil }

// deployment is a World whose clock stands still, with a configuration of syncs.
type deployment struct {
	*world.World
	cfg Config
}

func newDeployment(t testing.TB) *deployment {
	t.Helper()
	w := world.New(t)
	w.SetClock(start)
	return &deployment{w, Config{Pool: w.Pool, Log: w.Logger, Now: w.Now}}
}

// sync does a full sync, an hour and a minute after the last one, so that the guard's window has passed.
func (w *deployment) sync(source Source, adjust ...func(*Options)) *Summary {
	w.Helper()
	w.Advance(guardWindow + time.Minute)
	options := Options{Full: true}
	for _, f := range adjust {
		f(&options)
	}
	summary, err := Sync(w.Context(), w.cfg, source, options)
	w.Must(err)
	return summary
}

func partly(o *Options)   { o.Full = false }
func accepted(o *Options) { o.Accept = &Acceptance{Actor: "ann", Reason: "it is right"} }

// published returns the events in the outbox, in order: of all systems, or of some.
func (w *deployment) published(systems ...string) []events.Application {
	w.Helper()
	var list []events.Application
	for _, row := range w.Outbox(bySystem, systems) {
		if row.Topic != events.TopicApplications || row.Key != row.Event.Key() {
			w.Fatalf("an event for the topic %s with the key %q", row.Topic, row.Key)
		}
		if row.Event.Type == events.TypeApplicationRemoved {
			row.Event.Application.Stage = "(removed)"
		}
		list = append(list, *row.Event.Application)
	}
	return list
}

// bySystem selects the rows of the outbox of all systems, or of some.
const bySystem = "$1::text[] IS NULL OR split_part(convert_from(aggregateid, 'UTF8'), '/', 1) = ANY ($1)"

// stages returns the last published stage of each application by key, without removed ones. Versions must increase.
func (w *deployment) stages() map[string]string {
	w.Helper()
	return w.last(w.published())
}

func (w *deployment) last(published []events.Application) map[string]string {
	w.Helper()
	last := map[string]events.Application{}
	for _, a := range published {
		key := a.System + "/" + a.ApplicationID
		if before, known := last[key]; known && a.SrcVersion <= before.SrcVersion {
			w.Errorf("%s: version %d follows %d", key, a.SrcVersion, before.SrcVersion)
		}
		last[key] = a
	}
	stages := map[string]string{}
	for key, a := range last {
		if a.Stage != "(removed)" {
			stages[key] = a.Stage
		}
	}
	return stages
}

// counts are the published events of a summary.
type counts struct{ Added, Changed, Removed int64 }

func (s *Summary) counts() counts { return counts{s.Added, s.Changed, s.Removed} }

// held fails the test unless the sync was held for the reason.
func (w *deployment) held(s *Summary, reason HoldReason) string {
	w.Helper()
	if s.Held == nil || s.Held.Reason != reason {
		w.Fatalf("held: %+v, want %s", s.Held, reason)
	}
	if s.counts() != (counts{}) {
		w.Errorf("a held sync published %+v", s.counts())
	}
	return s.Held.Detail
}

var errAway = errors.New("the warehouse is down")
