package warehouse

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/sample/fivetran"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// viewOf creates the view over accounts and returns it as a source.
func viewOf(t *testing.T, pool *pgxpool.Pool, url string, accounts ...fivetran.Account) *View {
	t.Helper()
	list := make([]Account, len(accounts))
	for i, account := range accounts {
		list[i] = Account(account)
	}
	sql, err := Definition(PostgreSQL, "vw_applications_enriched", list)
	world.Must(t, err)
	_, err = pool.Exec(t.Context(), sql)
	world.Must(t, err)
	view, err := NewView(url, "vw_applications_enriched")
	world.Must(t, err)
	return view
}

// shown reads a source into applications by system and id.
func shown(t *testing.T, source Source) map[string]application {
	t.Helper()
	rows, err := source.Open(t.Context(), time.Time{})
	world.Must(t, err)
	defer rows.Close()
	at, err := locate(rows.Columns())
	world.Must(t, err)
	found, d := map[string]application{}, &decoder{at: at}
	for {
		values, err := rows.Next(t.Context())
		if err != nil {
			if err.Error() != "EOF" {
				t.Fatal(err)
			}
			return found
		}
		a, faults, hasKey := d.decode(values)
		if len(faults) > 0 || !hasKey {
			t.Errorf("%+v: %v", a, faults)
		}
		key := a.system + "/" + a.id
		if _, twice := found[key]; twice {
			t.Errorf("%s is shown twice", key)
		}
		found[key] = a
	}
}

// copyIn loads a seed whose header names the columns.
func copyIn(t *testing.T, pool *pgxpool.Pool, table, path string) {
	t.Helper()
	file, err := os.Open(path)
	world.Must(t, err)
	defer file.Close()
	text, err := os.ReadFile(path)
	world.Must(t, err)
	header, _, _ := strings.Cut(string(text), "\n")
	columns := strings.Split(strings.TrimSpace(header), ",")
	for i := range columns {
		columns[i] = pgx.Identifier{columns[i]}.Sanitize()
	}
	err = pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
		_, err := conn.Conn().PgConn().CopyFrom(context.WithoutCancel(t.Context()), file, "COPY "+table+" ("+strings.Join(columns, ",")+") FROM STDIN (FORMAT csv, HEADER)")
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func utc(text string) time.Time {
	at, err := time.Parse("2006-01-02 15:04:05.999", text)
	if err != nil {
		panic(err)
	}
	return at
}

// TestViewsOverTheSeeds loads the seeds of Fivetran's own tests. Their rows do not refer to each other, so joined values are
// empty. Values of the tables themselves are there, and every column of a seed is a column of the tables.
func TestViewsOverTheSeeds(t *testing.T) {
	pool, url := testenv.Database(t)
	world.Must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := fivetran.CreateTables(t.Context(), tx, "greenhouse", "greenhouse"); err != nil {
			return err
		}
		return fivetran.CreateTables(t.Context(), tx, "lever", "lever")
	}))
	seeds, err := filepath.Glob("testdata/fivetran/*.csv")
	world.Must(t, err)
	for _, path := range seeds {
		system, table, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".csv"), "_")
		copyIn(t, pool, system+"."+table, path)
	}
	source := viewOf(t, pool, url, fivetran.Account{System: "greenhouse", Schema: "greenhouse", Company: "Acme"}, fivetran.Account{System: "lever", Schema: "lever", Company: "O'Neill & Co"})
	want := map[string]application{
		"greenhouse/25181083003": {system: "greenhouse", id: "25181083003", addresses: []string{}, company: "Acme",
			lastStageChange: utc("2021-02-09 14:21:05.255"), syncedAt: utc("2021-02-09 14:23:59.698")},
		"greenhouse/25175892003": {system: "greenhouse", id: "25175892003", addresses: []string{}, company: "Acme",
			lastStageChange: utc("2021-02-09 13:03:07.684"), syncedAt: utc("2021-02-09 13:04:11.903")},
		"lever/f9214712-30b0-4d5a-9890-5a5dca493c07": {system: "lever", id: "f9214712-30b0-4d5a-9890-5a5dca493c07", removed: true,
			syncedAt: utc("2020-09-18 17:09:37.378")},
		"lever/343d198c-7533-4d1e-9908-8e1bee98d417": {system: "lever", id: "343d198c-7533-4d1e-9908-8e1bee98d417", addresses: []string{}, company: "O'Neill & Co",
			lastStageChange: utc("2020-07-27 07:41:23"), syncedAt: utc("2020-07-27 08:20:01.050")},
		"lever/3e4f0148-9eec-46ae-b0c3-05e9e9e11713": {system: "lever", id: "3e4f0148-9eec-46ae-b0c3-05e9e9e11713", addresses: []string{}, company: "O'Neill & Co",
			lastStageChange: utc("2020-06-23 14:50:17.072"), syncedAt: utc("2020-10-17 21:59:34.901")},
	}
	if diff := cmp.Diff(want, shown(t, source), cmp.AllowUnexported(application{})); diff != "" {
		t.Errorf("the view shows (-want +got):\n%s", diff)
	}
}

// loadSample loads the sample warehouse and returns its view.
func loadSample(t *testing.T, now time.Time) (*View, *pgxpool.Pool) {
	t.Helper()
	pool, url := testenv.Database(t)
	world.Must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return fivetran.Load(t.Context(), tx, now) }))
	return viewOf(t, pool, url, fivetran.Accounts...), pool
}

func TestViewsOverRicherRows(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	source, _ := loadSample(t, now)
	got := shown(t, source)
	ago := func(days int, hours ...time.Duration) time.Time {
		at := now.AddDate(0, 0, -days)
		for _, h := range hours {
			at = at.Add(-h * time.Hour)
		}
		return at
	}
	sam := []string{"sam@home.example"}
	for key, want := range map[string]application{
		// The last row of the history, the interview nine days ago, both addresses in lower case.
		"greenhouse/25100": {addresses: []string{"sam.rivera@paper-pen.example", "sam@home.example"}, company: "Acme", stage: "Offer", lastStageChange: ago(2),
			interviewDate: ago(9), syncedAt: ago(0, 3)},
		"greenhouse/24100": {addresses: []string{"sam.rivera@paper-pen.example", "sam@home.example"}, company: "Acme", stage: "Rejected",
			lastStageChange: ago(300), syncedAt: ago(0, 3)},
		// Of two interviews, the one that is not cancelled.
		"greenhouse/35100": {addresses: sam, company: "Bluebird Health", stage: "Technical Interview", lastStageChange: ago(18), interviewDate: ago(-3), syncedAt: ago(6)},
		"greenhouse/36009": {addresses: []string{"jonas.blum49@mail.example"}, company: "Bluebird Health", stage: "Application Review", lastStageChange: ago(21), syncedAt: ago(9)},
		// A cancelled interview does not count.
		"lever/op-northwind-sam": {addresses: sam, company: "Northwind Freight", stage: "Onsite", lastStageChange: ago(15, 2), syncedAt: ago(15)},
		"lever/op-northwind-6":   {addresses: []string{"gita.engel76@mail.example"}, company: "Northwind Freight", stage: "Hired", lastStageChange: ago(9), syncedAt: ago(9)},
		"lever/op-northwind-12":  {addresses: []string{"carla.conti82@mail.example"}, company: "Northwind Freight", stage: "Archived", lastStageChange: ago(9), syncedAt: ago(9)},
		"lever/op-northwind-20":  {removed: true, syncedAt: ago(9)}, // anonymized
		"lever/op-tidewater-sam": {addresses: sam, company: "Tidewater", stage: "New applicant", lastStageChange: ago(25), syncedAt: ago(25)},
		"greenhouse/26030":       {removed: true, syncedAt: ago(9)},
		"workday/JOB_APPLICATION-6-1204": {addresses: []string{"sam.rivera@paper-pen.example", "sam@home.example"}, company: "Quarry Labs", stage: "Interview",
			lastStageChange: ago(16, 3), syncedAt: ago(16)},
	} {
		want.system, want.id, _ = strings.Cut(key, "/")
		if diff := cmp.Diff(want, got[key], cmp.AllowUnexported(application{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	if len(got) != 2+30+1+20+1+20+1+1+15 {
		t.Errorf("the view shows %d applications", len(got))
	}
}

// TestWhatMovesSyncedAt checks that a partial read sees a change in any of the tables, including deleted rows.
func TestWhatMovesSyncedAt(t *testing.T) {
	source, pool := loadSample(t, time.Now())
	for _, change := range []struct{ sql, key string }{
		{"UPDATE greenhouse_acme.candidate SET _fivetran_synced = now() WHERE id = 2200", "greenhouse/25100"},
		{"UPDATE greenhouse_acme.job_stage SET name = 'Offer sent', _fivetran_synced = now() WHERE id = 5604", "greenhouse/25100"},
		{"UPDATE greenhouse_bluebird.email_address SET value = 'new@home.example', _fivetran_synced = now() WHERE candidate_id = 3200", "greenhouse/35100"},
		{"UPDATE greenhouse_bluebird.scheduled_interview SET _fivetran_deleted = true, _fivetran_synced = now() WHERE id = 2761", "greenhouse/35100"},
		{"INSERT INTO lever_tidewater.opportunity_stage_history VALUES ('op-tidewater-sam', now(), now(), 'screen', 1, NULL)", "lever/op-tidewater-sam"},
		{"INSERT INTO lever_northwind.interview (id, _fivetran_synced, date, opportunity_id) VALUES ('iv-9', now(), now(), 'op-northwind-sam')", "lever/op-northwind-sam"},
		{"INSERT INTO lever_northwind.contact_email VALUES ('contact-3', 'other@mail.example', now())", "lever/op-northwind-3"},
		{"INSERT INTO lever_northwind.offer (id, _fivetran_synced, status, opportunity_id) VALUES ('offer-7', now(), 'sent', 'op-northwind-7')", "lever/op-northwind-7"},
		{"UPDATE workday_quarry.job_applications SET candidate_stage = 'Offer', _fivetran_synced = now() WHERE job_application_id = 'JOB_APPLICATION-6-1204'", "workday/JOB_APPLICATION-6-1204"},
	} {
		before := time.Now().Add(-time.Minute)
		if _, err := pool.Exec(t.Context(), change.sql); err != nil {
			t.Fatalf("%s: %v", change.sql, err)
		}
		if got := shown(t, source)[change.key].syncedAt; got.Before(before) {
			t.Errorf("%s does not move synced_at: %s", change.sql, got)
		}
	}
}

// A candidate who was merged into another one is deleted, and the application goes to the other, however often that happens.
func TestApplicationsOfMergedCandidates(t *testing.T) {
	source, pool := loadSample(t, time.Now())
	before := shown(t, source)["greenhouse/35100"]
	if before.removed || len(before.addresses) == 0 {
		t.Fatalf("the sample shows %+v", before)
	}
	steps := []struct {
		sql     string
		want    []string
		removed bool
	}{
		{"UPDATE greenhouse_bluebird.candidate SET _fivetran_deleted = true, new_candidate_id = 900001 WHERE id = 3200", nil, false}, // not synced yet
		{"INSERT INTO greenhouse_bluebird.candidate (id, _fivetran_deleted, _fivetran_synced) VALUES (900001, false, now())", nil, false},
		{"INSERT INTO greenhouse_bluebird.email_address (candidate_id, index, value, _fivetran_synced) VALUES (900001, 0, 'merged@home.example', now())", []string{"merged@home.example"}, false},
		{"UPDATE greenhouse_bluebird.candidate SET _fivetran_deleted = true, new_candidate_id = 900002 WHERE id = 900001", nil, false},
		{"INSERT INTO greenhouse_bluebird.email_address (candidate_id, index, value, _fivetran_synced) VALUES (900002, 0, 'twice@home.example', now())", []string{"twice@home.example"}, false},
		{"INSERT INTO greenhouse_bluebird.candidate (id, _fivetran_deleted, _fivetran_synced) VALUES (900002, true, now() + interval '1 hour')", []string{}, true},
	}
	for _, step := range steps {
		if _, err := pool.Exec(t.Context(), step.sql); err != nil {
			t.Fatalf("%s: %v", step.sql, err)
		}
		got := shown(t, source)["greenhouse/35100"]
		if got.removed != step.removed || !got.removed && !slices.Equal(got.addresses, step.want) {
			t.Errorf("after %s: %+v", step.sql, got)
		}
	}
	if got := shown(t, source)["greenhouse/35100"].syncedAt; got.Before(time.Now()) {
		t.Errorf("a successor's change does not move synced_at: %s", got)
	}
}

// TestDriftOfTheTables changes the sample's tables like new versions of a connector do.
func TestDriftOfTheTables(t *testing.T) {
	source, pool := loadSample(t, time.Now())
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql)
		world.Must(t, err)
	}
	// Newer connections mark deleted addresses. The view uses that column if it exists.
	exec("ALTER TABLE greenhouse_bluebird.email_address ADD COLUMN _fivetran_deleted boolean")
	exec("UPDATE greenhouse_bluebird.email_address SET _fivetran_deleted = true WHERE candidate_id = 3200")
	if got := shown(t, source)["greenhouse/35100"].addresses; len(got) != 0 {
		t.Errorf("a deleted address is shown: %v", got)
	}
	exec("ALTER VIEW vw_applications_enriched RENAME COLUMN stage TO stage_name")
	_, err := source.Open(t.Context(), time.Time{})
	if err == nil || !strings.Contains(err.Error(), "column stage is missing; there are also the columns stage_name") {
		t.Errorf("a renamed column gives %v", err)
	}
	exec("DROP VIEW vw_applications_enriched")
	_, err = source.Open(t.Context(), time.Time{})
	if err == nil || !strings.Contains(err.Error(), `relation "vw_applications_enriched" does not exist`) {
		t.Errorf("a missing view gives %v", err)
	}
}

func TestDefinitions(t *testing.T) {
	sql, err := Definition(BigQuery, "acme-prod.analytics.vw_applications_enriched", []Account{
		{"greenhouse", "acme-prod.greenhouse", `Acme "A" O'Neill\`}, {"lever", "lever", "Acme"}, {"workday", "workday", "Acme"}})
	world.Must(t, err)
	for _, want := range []string{"CREATE OR REPLACE VIEW `acme-prod`.`analytics`.`vw_applications_enriched` AS", "FROM `acme-prod`.`greenhouse`.application AS a",
		`CAST('Acme "A" O\'Neill\\' AS STRING)`, "UNION ALL", "`workday`.job_applications"} {
		if !strings.Contains(sql, want) {
			t.Errorf("the statement lacks %s", want)
		}
	}
	if strings.Contains(sql, "{{") {
		t.Error("a placeholder was not replaced")
	}
	for _, wrong := range []Account{{"taleo", "taleo", "Acme"}, {"../events", "x", "Acme"}, {"greenhouse", "a`b", "Acme"}} {
		if _, err := Definition(BigQuery, "v", []Account{wrong}); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if account, err := ParseAccount("Greenhouse:acme-prod.greenhouse:Acme: the firm"); err != nil || account != (Account{"greenhouse", "acme-prod.greenhouse", "Acme: the firm"}) {
		t.Errorf("%+v, %v", account, err)
	}
	for _, wrong := range []string{"", "greenhouse", "greenhouse:x", "greenhouse::Acme", ":x:Acme", "greenhouse:x: "} {
		if _, err := ParseAccount(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

// TestWhatAConnectorDoesToItsTables damages the sample's tables as a connector can. No damage may remove ATS data from mail.
func TestWhatAConnectorDoesToItsTables(t *testing.T) {
	for name, test := range map[string]struct {
		sql, heal string
		reason    HoldReason
		detail    string
	}{
		"a mass delete": {"UPDATE greenhouse_acme.application SET _fivetran_deleted = true, _fivetran_synced = now()",
			"UPDATE greenhouse_acme.application SET _fivetran_deleted = (id = 26030), _fivetran_synced = now()", HoldRemoved, "31 of 52 applications of greenhouse would vanish"},
		"an emptied table": {"CREATE TABLE kept AS TABLE greenhouse_acme.application; TRUNCATE greenhouse_acme.application",
			"INSERT INTO greenhouse_acme.application TABLE kept", HoldRemoved, "31 of 52 applications of greenhouse would vanish"},
		"addresses not loaded": {"CREATE TABLE kept AS TABLE greenhouse_acme.email_address; TRUNCATE greenhouse_acme.email_address",
			"INSERT INTO greenhouse_acme.email_address TABLE kept", HoldRemoved, "31 lose all their addresses"},
		"a column with a new name, the old one left empty": {"ALTER TABLE greenhouse_acme.application ADD stage_id bigint; UPDATE greenhouse_acme.application SET stage_id = current_stage_id, current_stage_id = NULL; " +
			"UPDATE greenhouse_bluebird.application SET current_stage_id = NULL", "UPDATE greenhouse_acme.application SET current_stage_id = stage_id; " +
			"UPDATE greenhouse_bluebird.application SET current_stage_id = CASE id WHEN 35100 THEN 6602 ELSE 6601 + (id - 36000) % 3 END", HoldChanged, "stage becomes empty in 45"},
		"nothing left": {"ALTER VIEW vw_applications_enriched RENAME TO kept; CREATE VIEW vw_applications_enriched AS SELECT * FROM kept WHERE false",
			"CREATE OR REPLACE VIEW vw_applications_enriched AS SELECT * FROM kept", HoldEmpty, "the source has no rows, but 89 applications are known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newDeployment(t)
			w.SetClock(time.Now().UTC())
			source, pool := loadSample(t, w.Now())
			w.sync(source)
			before := w.stages()
			_, err := pool.Exec(t.Context(), test.sql)
			w.Must(err)
			if detail := w.held(w.sync(source), test.reason); !strings.Contains(detail, test.detail) {
				t.Errorf("%q does not say %q", detail, test.detail)
			}
			if diff := cmp.Diff(before, w.stages()); diff != "" {
				t.Errorf("a held sync changed (-before +after):\n%s", diff)
			}
			_, err = pool.Exec(t.Context(), test.heal)
			w.Must(err)
			if got := w.sync(source); got.Held != nil || got.counts() != (counts{}) {
				t.Errorf("after recovery: held %+v, %+v", got.Held, got.counts())
			}
		})
	}
}
