package warehouse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

func TestOnlyDifferencesArePublished(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: apps(1, 101)}
	if got := w.sync(source).counts(); got != (counts{Added: 100}) {
		t.Fatalf("first sync: %+v", got)
	}
	if got := w.sync(source).counts(); got != (counts{}) {
		t.Errorf("the same again: %+v", got)
	}
	if n := len(w.published()); n != 100 {
		t.Errorf("%d events after the same again", n)
	}
	source.rows[4] = app(5, stage("Offer"), synced(start))
	source.rows[9] = app(10, synced(start)) // loaded anew, with the same content
	source.rows = append(source.rows[:99], app(101))
	if got := w.sync(source).counts(); got != (counts{Added: 1, Changed: 1, Removed: 1}) {
		t.Errorf("one each: %+v", got)
	}
	stages := w.stages()
	if stages["greenhouse/5"] != "Offer" || stages["greenhouse/100"] != "" || stages["greenhouse/101"] != "Onsite" || len(stages) != 100 {
		t.Errorf("published %d applications, 5 at %q, 100 at %q, 101 at %q", len(stages), stages["greenhouse/5"], stages["greenhouse/100"], stages["greenhouse/101"])
	}
}

// writes counts what a sync leaves in tables that stay, the source's own row aside.
func (w *deployment) writes() int {
	w.Helper()
	w.Exec("SELECT pg_stat_force_next_flush()")
	return w.Int(`SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'public' AND relname <> 'warehouse_sources'`)
}

func TestTheSameAgainWritesNothing(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: apps(1, 50)}
	w.sync(source)
	w.Pool.Reset() // sessions hand in their statistics when they end
	before := w.writes()
	w.sync(source)
	if after := w.writes(); after != before {
		t.Errorf("the same again wrote %d rows", after-before)
	}
}

func TestWhatIsPublished(t *testing.T) {
	w := newDeployment(t)
	interview := start.Add(48 * time.Hour)
	w.sync(&memory{rows: []row{app(1, addresses(" Ada@Example.COM", "ada@example.com", "bob+jobs@example.org"), func(r *row) {
		r.system, r.interview = "Greenhouse", interview
	})}})
	want := []events.Application{{
		System: "greenhouse", ApplicationID: "1", Addresses: []string{"ada@example.com", "bob+jobs@example.org"}, Company: "Acme", Stage: "Onsite",
		LastStageChange: start.AddDate(0, 0, -3), InterviewDate: interview, SrcVersion: w.Now().UnixMicro(), RecordedAt: w.Now(),
	}}
	if diff := cmp.Diff(want, w.published()); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
}

func TestNumbersGrowThoughTheClockGoesBack(t *testing.T) {
	w := newDeployment(t)
	source := &memory{}
	for i, name := range []string{"A", "B", "C"} {
		source.rows = []row{app(1, stage(name))}
		w.sync(source)
		w.SetClock(start.AddDate(0, 0, -i))
	}
	w.stages() // fails when a number does not grow
	versions := w.published()
	if first, last := versions[0].SrcVersion, versions[2].SrcVersion; last != first+2 {
		t.Errorf("versions %d to %d", first, last)
	}
}

func TestPartialSyncs(t *testing.T) {
	w := newDeployment(t)
	source := &memory{cursor: true, rows: apps(1, 30)}
	w.sync(source, partly)
	if !source.since.IsZero() {
		t.Errorf("the first sync reads since %s", source.since)
	}
	// Rows become visible late and out of order: one behind the cursor but within the overlap, one before it.
	source.rows = append(source.rows, app(40, synced(start.Add(-5*time.Hour))), app(41, synced(start.Add(-10*time.Hour))))
	source.rows = source.rows[1:] // 1 is gone
	if got := w.sync(source, partly).counts(); got != (counts{Added: 1}) {
		t.Errorf("partial: %+v, want the late row", got)
	}
	if want := start.Add(-time.Hour - w.cfg.Overlap - 6*time.Hour); !source.since.Equal(want) {
		t.Errorf("the second sync reads since %s, want %s", source.since, want)
	}
	if got := w.sync(source).counts(); got != (counts{Added: 1, Removed: 1}) {
		t.Errorf("whole: %+v, want what partial reads cannot see", got)
	}
}

func TestACursorInTheFutureBlindsNobody(t *testing.T) {
	w := newDeployment(t)
	source := &memory{cursor: true, rows: []row{app(1, synced(start.AddDate(5, 0, 0)))}}
	w.sync(source)
	source.rows = append(source.rows, app(2, synced(w.Now())))
	if got := w.sync(source, partly).counts(); got != (counts{Added: 1}) {
		t.Errorf("after a row of the future: %+v", got)
	}
}

func TestDeletedRows(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: append(apps(1, 60), app(70, deleted))}
	if got := w.sync(source).counts(); got != (counts{Added: 59}) {
		t.Errorf("a row deleted before it was known: %+v", got)
	}
	source.rows[0] = app(1, deleted)
	if got := w.sync(source, partly).counts(); got != (counts{Removed: 1}) {
		t.Errorf("a soft delete: %+v", got)
	}
	source.rows[0] = app(1)
	if got := w.sync(source, partly).counts(); got != (counts{Added: 1}) {
		t.Errorf("back again: %+v", got)
	}
	if n := len(w.stages()); n != 59 {
		t.Errorf("%d applications", n)
	}
}

func TestOfRepeatedRowsTheNewestCounts(t *testing.T) {
	w := newDeployment(t)
	older, newer := app(1, stage("Screen"), synced(start)), app(1, stage("Offer"), synced(start.Add(time.Minute)))
	for _, rows := range [][]row{{older, newer}, {newer, older}} {
		summary := w.sync(&memory{rows: rows})
		if summary.Applications != 1 || summary.Repeated != 1 {
			t.Errorf("%d applications, %d repeated", summary.Applications, summary.Repeated)
		}
	}
	if got := w.published(); len(got) != 1 || got[0].Stage != "Offer" {
		t.Errorf("published %+v", got)
	}
}

func TestBrokenRowsAreSkippedAndStay(t *testing.T) {
	w := newDeployment(t)
	long := strings.Repeat("x", events.MaxStage+50)
	source := &memory{rows: apps(1, 40)}
	w.sync(source)
	source.rows[0].changed = time.Date(-44, 3, 15, 0, 0, 0, 0, time.UTC)
	source.rows[1].deleted = "perhaps"
	source.rows[2] = app(3, stage(long), addresses("c3@mail.example", "n/a"))
	source.rows = append(source.rows, app(50, func(r *row) { r.id = "" }), app(51, ofSystem("a/b")), app(52))
	source.broken = map[int]error{41: &RowError{"line 44 cannot be read"}}
	summary := w.sync(source)
	if summary.Broken != 5 {
		t.Errorf("%d broken, want 5", summary.Broken)
	}
	if got := summary.counts(); got != (counts{Changed: 1}) {
		t.Errorf("%+v, want only the one that was cut", got)
	}
	if got := w.stages()["greenhouse/3"]; got != long[:events.MaxStage] {
		t.Errorf("stage of %d bytes", len(got))
	}
	logged := w.Logs.String()
	for _, want := range []string{"is not within the years", "is not a boolean", "was cut to", "is not an address", "is empty", "contains a slash", "line 44"} {
		if !strings.Contains(logged, want) {
			t.Errorf("not reported: %s", want)
		}
	}
	if strings.Contains(logged, "mail.example") || strings.Contains(logged, "xxxx") {
		t.Error("the log holds a row's content")
	}
}

func TestWhatHoldsASync(t *testing.T) {
	known := apps(1, 201)
	gone := func(n int) []row { return known[n:] }
	for name, test := range map[string]struct {
		rows   []row
		reason HoldReason
		detail string
	}{
		"an empty sync":          {nil, HoldEmpty, "no rows, but 200 applications"},
		"a mass delete":          {append(apps(1, 41, deleted), gone(40)...), HoldRemoved, "40 of 200 applications of greenhouse would vanish"},
		"rows that vanish":       {gone(21), HoldRemoved, "21 of 200"},
		"lost addresses":         {append(apps(1, 101, addresses()), gone(100)...), HoldRemoved, "100 lose all their addresses"},
		"a mass change":          {append(apps(1, 121, stage("Screen")), gone(120)...), HoldChanged, "120 of 200 applications of greenhouse would change"},
		"a column that empties":  {append(apps(1, 121, stage("")), gone(120)...), HoldChanged, "stage becomes empty in 120"},
		"values of another type": {append(apps(1, 151, func(r *row) { r.interview = "soon" }), gone(150)...), HoldUnreadable, "column interview_date is invalid in 150 of 200 rows"},
		"an older state":         {append(apps(1, 200, synced(start.AddDate(0, 0, -2))), app(200, synced(start.AddDate(0, 0, -2)), stage("Screen"))), HoldOlder, "were accepted before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDeployment(t)
			w.sync(&memory{rows: known})
			before, source := w.stages(), &memory{rows: test.rows}
			for range 2 {
				if detail := w.held(w.sync(source), test.reason); !strings.Contains(detail, test.detail) {
					t.Errorf("%q does not say %q", detail, test.detail)
				}
			}
			if diff := cmp.Diff(before, w.stages()); diff != "" {
				t.Errorf("a held sync changed (-before +after):\n%s", diff)
			}
			state := sourceOf(w, source)
			if state.HeldReason != test.reason || state.HeldAt == nil || !strings.Contains(w.Logs.String(), "warehouse sync held") {
				t.Errorf("status %+v", state)
			}
			if got := w.sync(&memory{rows: known}); got.Held != nil || sourceOf(w, source).HeldAt != nil {
				t.Errorf("held when it has healed: %+v", got.Held)
			}
			summary := w.sync(source, accepted)
			if summary.Held != nil || !summary.Accepted {
				t.Fatalf("accepted: %+v", summary)
			}
			if got := w.Int("SELECT count(*) FROM warehouse_audit WHERE actor = 'ann' AND reason = 'it is right' AND held_reason = $1", string(test.reason)); got != 1 {
				t.Errorf("%d entries in the audit", got)
			}
			if again := w.sync(source); again.Held != nil && test.reason != HoldUnreadable { // rows that stay unreadable stay a fault
				t.Errorf("held again after it was accepted: %+v", again.Held)
			}
		})
	}
}

func sourceOf(w *deployment, source Source) Status {
	w.Helper()
	all, err := ReadStatus(w.Context(), w.Pool)
	w.Must(err)
	for _, s := range all {
		if s.Source == source.Name() {
			return s
		}
	}
	w.Fatalf("no status of %s", source.Name())
	return Status{}
}

func TestAWholeSystemThatVanishesIsHeld(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: append(apps(1, 500), app(1, ofSystem("lever")), app(2, ofSystem("lever")))}
	w.sync(source)
	source.rows = source.rows[:499]
	if detail := w.held(w.sync(source), HoldRemoved); !strings.Contains(detail, "2 of 2 applications of lever") {
		t.Error(detail)
	}
}

func TestAMassDeleteInPiecesIsHeld(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: apps(1, 301)}
	w.sync(source)
	w.Advance(2 * time.Hour)
	var summary *Summary
	for i := range 5 {
		source.rows = source.rows[10:]
		w.Advance(time.Minute)
		var err error
		summary, err = Sync(t.Context(), w.cfg, source, Options{Full: true})
		w.Must(err)
		if summary.Held != nil {
			if i != 3 {
				t.Errorf("held at piece %d", i+1)
			}
			break
		}
	}
	if detail := w.held(summary, HoldRemoved); !strings.Contains(detail, "40 of 300") {
		t.Error(detail)
	}
}

func TestFewChangesOfFewAreNormal(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: apps(1, 6)}
	w.sync(source)
	source.rows = []row{app(1, stage("Offer")), app(2, stage("Offer")), app(3, stage("Offer"))}
	if got := w.sync(source); got.Held != nil || got.counts() != (counts{Changed: 3, Removed: 2}) {
		t.Errorf("held %+v, %+v", got.Held, got.counts())
	}
}

func TestDriftNamesTheColumn(t *testing.T) {
	renamed := viewColumns()
	renamed[columnStage].Name = "stage_name"
	retyped := viewColumns()
	retyped[columnLastStageChange].Kind = KindText
	for name, test := range map[string]struct {
		source *memory
		want   []string
	}{
		"renamed": {&memory{columns: renamed, rows: apps(1, 5)}, []string{"column stage is missing", "there are also the columns stage_name"}},
		"retyped": {&memory{columns: retyped, rows: apps(1, 5)}, []string{"column last_stage_change is of the type text where time is needed"}},
		"refused": {&memory{opened: &DriftError{`the warehouse rejects the view: column "x" does not exist`}}, []string{`column "x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDeployment(t)
			w.sync(&memory{rows: apps(1, 5)})
			detail := w.held(w.sync(test.source), HoldSchema)
			for _, want := range test.want {
				if !strings.Contains(detail, want) {
					t.Errorf("%q does not say %q", detail, want)
				}
			}
			w.held(w.sync(test.source, accepted), HoldSchema) // a hold for the schema cannot be accepted
			if n := len(w.stages()); n != 4 {
				t.Errorf("%d applications are left", n)
			}
		})
	}
}

func TestOneSourceWritesASystem(t *testing.T) {
	w := newDeployment(t)
	first, second := &memory{name: "first", rows: apps(1, 40)}, &memory{name: "second", rows: apps(1, 40, stage("Offer"))}
	w.sync(first)
	if detail := w.held(w.sync(second), HoldSystem); !strings.Contains(detail, "greenhouse belongs to the source first") {
		t.Error(detail)
	}
	if detail := w.held(w.sync(second, accepted), HoldSystem); !strings.Contains(detail, "greenhouse belongs to the source first") {
		t.Errorf("accepted without the name of the other source: %s", detail)
	}
	takeOver := func(o *Options) {
		accepted(o)
		o.Accept.TakeOver = []string{"first"}
	}
	if got := w.sync(second, takeOver).counts(); got != (counts{Changed: 39}) {
		t.Errorf("taken over: %+v", got)
	}
	if detail := w.held(w.sync(first), HoldSystem); !strings.Contains(detail, "greenhouse belongs to the source second") {
		t.Error(detail)
	}
}

// A source with a mistyped address leaves nothing behind when it is forgotten, and takes nothing from another.
func TestASourceIsForgotten(t *testing.T) {
	w := newDeployment(t)
	right := &memory{name: "right", rows: apps(1, 40)}
	w.sync(right)
	w.held(w.sync(&memory{name: "typo", rows: apps(1, 40, stage("Offer"))}), HoldSystem)
	who := Acceptance{Actor: "ann", Reason: "mistyped\n\x1b[2J"}
	w.Eventually("the lock of the sync is free", func() error { return Forget(t.Context(), w.Pool, "typo", who) })
	if list := world.Column[string](w, "SELECT source FROM warehouse_sources"); !cmp.Equal(list, []string{"right"}) {
		t.Errorf("sources %q", list)
	}
	if reasons := world.Column[string](w, "SELECT reason FROM warehouse_audit WHERE source = 'typo'"); !cmp.Equal(reasons, []string{"mistyped \uFFFD[2J"}) {
		t.Errorf("the audit says %q", reasons)
	}
	if err := Forget(t.Context(), w.Pool, "typo", who); !errors.Is(err, ErrNoSource) {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, err := FindStatus(t.Context(), w.Pool, "typo"); !errors.Is(err, ErrNoSource) || !strings.Contains(err.Error(), "right") {
		t.Errorf("looked for: %v", err)
	}
	holder, err := begin(t.Context(), &w.cfg, "right")
	w.Must(err)
	if err := Forget(t.Context(), w.Pool, "right", who); !errors.Is(err, ErrBusy) {
		t.Errorf("during a sync: %v", err)
	}
	holder.close()
	w.Eventually("the lock of the sync is free", func() error { return Forget(t.Context(), w.Pool, "right", who) })
	if got := w.sync(&memory{name: "next", rows: apps(1, 40)}); got.Held != nil || got.counts() != (counts{}) {
		t.Errorf("the next source of the system: %+v", got)
	}
}

func TestOneSyncOfASourceAtATime(t *testing.T) {
	w := newDeployment(t)
	w.Must(w.cfg.Validate())
	holder, err := begin(t.Context(), &w.cfg, "memory")
	w.Must(err)
	done := make(chan *Summary)
	go func() {
		summary, err := Sync(t.Context(), w.cfg, &memory{rows: apps(1, 3)}, Options{Full: true})
		if err != nil {
			t.Error(err)
		}
		done <- summary
	}()
	select {
	case <-done:
		t.Error("two syncs at once")
	case <-time.After(2 * lockEvery): // long enough for the second to start
	}
	holder.close()
	if summary := <-done; summary.Added != 2 {
		t.Errorf("%+v", summary.counts())
	}
}

// TestStateAndEventCommitTogether breaks the connection at each of the first writing statements, like kill -9.
func TestStateAndEventCommitTogether(t *testing.T) {
	w := newDeployment(t)
	w.Exec(`CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`)
	source := &memory{rows: apps(1, 2*chunkRows+100)}
	for _, table := range []string{"outbox", "warehouse_rows"} {
		for _, when := range []string{"BEFORE", "AFTER"} {
			w.Exec(fmt.Sprintf("CREATE TRIGGER die %s INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION die()", when, table))
			w.Advance(time.Hour)
			if _, err := Sync(t.Context(), w.cfg, source, Options{Full: true}); err == nil {
				t.Fatal("the connection did not die")
			}
			w.Exec("DROP TRIGGER die ON " + table)
			states, inOutbox := w.Int("SELECT count(*) FROM warehouse_rows"), w.Int("SELECT count(*) FROM outbox")
			if states != inOutbox || states != 0 {
				t.Errorf("%s %s: %d states and %d events", when, table, states, inOutbox)
			}
		}
	}
	if got := sourceOf(w, source); got.Error == "" {
		t.Error("the failure is not recorded")
	}
	// The second chunk fails: the first is committed, and the next sync writes the rest.
	w.Exec(fmt.Sprintf(`CREATE TRIGGER die BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.aggregateid = 'greenhouse/%d'::bytea) EXECUTE FUNCTION die()`, 99))
	if _, err := Sync(t.Context(), w.cfg, source, Options{Full: true}); err == nil {
		t.Fatal("the connection did not die")
	}
	w.Exec("DROP TRIGGER die ON outbox")
	states, inOutbox := w.Int("SELECT count(*) FROM warehouse_rows"), w.Int("SELECT count(*) FROM outbox")
	if states != inOutbox || states == 0 || states == len(source.rows) {
		t.Errorf("after the last chunk died: %d states and %d events", states, inOutbox)
	}
	w.sync(source)
	if got := len(w.stages()); got != len(source.rows) {
		t.Errorf("%d applications in the end", got)
	}
}

func TestAnOutageChangesNothing(t *testing.T) {
	w := newDeployment(t)
	source := &memory{rows: apps(1, 30)}
	w.sync(source)
	source.opened = errAway
	if _, err := Sync(t.Context(), w.cfg, source, Options{Full: true}); !errors.Is(err, errAway) {
		t.Errorf("error %v", err)
	}
	source.opened, source.broken = nil, map[int]error{20: errAway}
	if _, err := Sync(t.Context(), w.cfg, source, Options{Full: true}); !errors.Is(err, errAway) {
		t.Errorf("error %v", err)
	}
	if got := sourceOf(w, source); !strings.Contains(got.Error, "the warehouse is down") || len(w.stages()) != 29 {
		t.Errorf("error %q, %d applications", got.Error, len(w.stages()))
	}
	source.broken = nil
	w.sync(source)
	if got := sourceOf(w, source); got.Error != "" {
		t.Errorf("error %q after it came back", got.Error)
	}
}

func TestSummaryCounts(t *testing.T) {
	w := newDeployment(t)
	summary := w.sync(&memory{rows: append(apps(1, 4, stage("Offer")), app(1, ofSystem("lever")), app(2, ofSystem("lever"), deleted))})
	want := &Summary{
		Source: "memory", StartedAt: w.Now(), Full: true, Applications: 4, Systems: map[string]int64{"greenhouse": 3, "lever": 1},
		Stages: []StageCount{{"Offer", 3}, {"Onsite", 1}}, Added: 4, NewestRow: summary.NewestRow,
	}
	if diff := cmp.Diff(want, summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	text := strings.Join(summary.Lines(), "\n")
	for _, part := range []string{"4 read", "greenhouse 3, lever 1", "Offer 3, Onsite 1", "0, and 4 new", "not known yet"} {
		if !strings.Contains(text, part) {
			t.Errorf("the summary does not say %q:\n%s", part, text)
		}
	}
}

// TestAnyHistoryConverges checks that after a full sync the last published states equal the warehouse.
func TestAnyHistoryConverges(t *testing.T) {
	w := newDeployment(t)
	w.cfg.Guard = Guard{RemovedShare: 1, ChangedShare: 1, Least: 1000}
	histories := 0
	rapid.Check(t, func(rt *rapid.T) {
		histories++
		system := fmt.Sprintf("system%d", histories)
		source, shown := &memory{name: system, cursor: true}, map[string]row{}
		for range rapid.IntRange(1, 4).Draw(rt, "syncs") {
			for range rapid.IntRange(0, 4).Draw(rt, "changes") {
				r := anyRow(rt, w.Now(), system)
				if shown[r.id] = r; r.stage == "(gone)" {
					delete(shown, r.id)
				}
			}
			source.rows = slices.Collect(maps.Values(shown))
			full := rapid.Bool().Draw(rt, "full")
			summary := w.sync(source, func(o *Options) { o.Full = full; o.Accept = &Acceptance{Actor: "ann", Reason: "test"} })
			if !summary.Full {
				continue
			}
			want := map[string]string{}
			for _, r := range shown {
				if r.deleted == false {
					want[system+"/"+r.id] = r.stage
				}
			}
			if diff := cmp.Diff(want, w.last(w.published(system))); diff != "" {
				rt.Fatalf("published (-want +got):\n%s", diff)
			}
		}
	})
}

// anyRow draws a row of a few applications; it may become visible late.
func anyRow(t *rapid.T, now time.Time, system string) row {
	name := rapid.SampledFrom([]string{"Applied", "Onsite", "Offer", "(deleted)", "(gone)"}).Draw(t, "stage")
	late := time.Duration(rapid.IntRange(0, 600).Draw(t, "minutes late")) * time.Minute
	r := app(rapid.IntRange(1, 5).Draw(t, "application"), stage(name), synced(now.Add(-late)), ofSystem(system))
	r.deleted = name == "(deleted)"
	return r
}

func TestAPartialExportWithoutTimesRemovesNothing(t *testing.T) {
	w := newDeployment(t)
	timeless := func(r *row) { r.synced = nil }
	w.sync(&memory{rows: apps(1, 30, timeless)}, partly) // the first is always a full read
	if got := w.sync(&memory{rows: apps(28, 33, timeless)}, partly); got.Full || got.counts() != (counts{Added: 3}) {
		t.Errorf("full %v, %+v", got.Full, got.counts())
	}
}

func TestAnExportMayChangeItsName(t *testing.T) {
	w := newDeployment(t)
	w.cfg.Name = "daily export"
	w.sync(&memory{name: "file:2026-03-10.csv", rows: apps(1, 30)})
	if got := w.sync(&memory{name: "file:2026-03-11.csv", rows: apps(1, 31)}); got.Held != nil || got.Source != "daily export" || got.counts() != (counts{Added: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestTheNewestRowMayGo(t *testing.T) {
	w := newDeployment(t)
	rows := append(apps(1, 40, synced(start.AddDate(0, 0, -9))), app(40))
	w.sync(&memory{rows: rows})
	if got := w.sync(&memory{rows: rows[:39]}); got.Held != nil || got.counts() != (counts{Removed: 1}) {
		t.Errorf("held %+v, %+v", got.Held, got.counts())
	}
}
