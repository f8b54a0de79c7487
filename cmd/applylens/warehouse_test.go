package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/sample/fivetran"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/producers/warehouse"
)

// applylens runs the command like main does and returns its exit status and output.
func applylens(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, faults bytes.Buffer
	status = run(t.Context(), args, &out, &faults)
	return status, out.String(), faults.String()
}

func TestWarehouseFromItsViewToTheSummary(t *testing.T) {
	pool, url := testenv.Database(t)
	mustDo(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return fivetran.Load(t.Context(), tx, time.Now()) }))
	define := []string{"warehouse", "view", "--dialect", "postgresql"}
	for _, account := range fivetran.Accounts {
		define = append(define, "--account", account.System+":"+account.Schema+":"+account.Company)
	}
	status, sql, stderr := applylens(t, define...)
	if status != 0 {
		t.Fatalf("view: status %d: %s", status, stderr)
	}
	_, err := pool.Exec(t.Context(), sql)
	mustDo(t, err)

	t.Setenv("DATABASE_URL", url)
	t.Setenv("WAREHOUSE_URL", url)
	status, text, stderr := applylens(t, "warehouse", "sync", "--wait", "0s")
	if status != 0 {
		t.Fatalf("sync: status %d: %s", status, stderr)
	}
	for _, want := range []string{"89 read", "greenhouse 52, lever 21, workday 16", "0, and 89 new", "removed         0"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary does not say %q:\n%s", want, text)
		}
	}
	status, text, _ = applylens(t, "warehouse", "sync", "--incremental", "--json")
	var summary warehouse.Summary
	if err := json.Unmarshal([]byte(text), &summary); err != nil || status != 0 {
		t.Fatalf("status %d, %v: %s", status, err, text)
	}
	if summary.Added+summary.Changed+summary.Removed != 0 || summary.Full || summary.Enriched == nil {
		t.Errorf("again: %+v", summary)
	}
	_, text, _ = applylens(t, "warehouse", "status")
	if !strings.Contains(text, "greenhouse,lever,workday") || !strings.Contains(text, "ok") || strings.Contains(text, "postgres:postgres") {
		t.Errorf("status:\n%s", text)
	}
}

func TestWarehouseHoldsUntilTold(t *testing.T) {
	_, url := testenv.Database(t)
	path := filepath.Join(t.TempDir(), "applications.csv")
	export := func(from, to int) {
		text := "system,application_id,addresses,company,stage,last_stage_change,interview_date,synced_at,deleted\n"
		for n := from; n < to; n++ {
			text += fmt.Sprintf("lever,%d,c%d@mail.example,Acme,Onsite,2026-03-01,,,\n", n, n)
		}
		mustDo(t, os.WriteFile(path, []byte(text), 0o600))
	}
	t.Setenv("DATABASE_URL", url)
	sync := func(args ...string) (int, string, string) {
		return applylens(t, append([]string{"warehouse", "sync", "--wait", "0s", "--warehouse-url", path}, args...)...)
	}
	export(0, 100)
	if status, _, stderr := sync(); status != 0 {
		t.Fatal(stderr)
	}
	export(60, 100)
	status, text, stderr := sync()
	if status != 1 || !strings.Contains(text, "HELD            removed: 60 of 100 applications of lever would vanish") || !strings.Contains(stderr, "--accept --reason") {
		t.Errorf("status %d:\n%s%s", status, text, stderr)
	}
	if _, text, _ := applylens(t, "warehouse", "status"); !strings.Contains(text, "HELD since") {
		t.Errorf("status:\n%s", text)
	}
	if status, _, _ := sync("--accept"); status != 2 {
		t.Errorf("--accept without a reason ends with %d", status)
	}
	if status, text, stderr := sync("--accept", "--reason", "the firm has closed a site"); status != 0 || !strings.Contains(text, "removed         60") {
		t.Errorf("accepted: status %d:\n%s%s", status, text, stderr)
	}
	if _, text, _ := applylens(t, "warehouse", "status"); !strings.Contains(text, "ok") {
		t.Errorf("status:\n%s", text)
	}
}

func TestWarehouseSettings(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1:1/none")
	secret := filepath.Join(t.TempDir(), "url")
	mustDo(t, os.WriteFile(secret, []byte("postgres://user:hunter2@127.0.0.1:1/none?sslmode=disable\n"), 0o600))
	for name, test := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no warehouse":               {[]string{"sync"}, 2, "WAREHOUSE_URL"},
		"an unknown extension":       {[]string{"sync", "--warehouse-url", "a.xlsx"}, 2, ".parquet"},
		"an incomplete BigQuery URL": {[]string{"sync", "--warehouse-url", "bigquery://acme"}, 2, "bigquery://PROJECT/DATASET"},
		"no credentials":             {[]string{"sync", "--warehouse-url", "bigquery://acme/analytics", "--warehouse-credentials-file", "/nowhere"}, 2, "credentials"},
		"a topic, no brokers":        {[]string{"sync", "--warehouse-url", "kafka:acme.applications", "--kafka-brokers", ""}, 2, "broker"},
		"a wrong share":              {[]string{"sync", "--warehouse-url", "a.csv", "--warehouse-max-removed", "7"}, 2, "share"},
		"a wrong time":               {[]string{"run", "--warehouse-url", "a.csv", "--at", "25:00"}, 2, "time of day"},
		"too often":                  {[]string{"run", "--warehouse-url", "a.csv", "--every", "5s"}, 2, "at least 1m"},
		"an unknown system":          {[]string{"view", "--dialect", "bigquery", "--account", "taleo:x:Acme"}, 2, "systems are"},
		"a database that is down":    {[]string{"sync", "--warehouse-url", "file:" + secret + ".csv"}, 1, "connect for the sync"},
		"a secret from a file":       {[]string{"sync", "--warehouse-url-file", secret}, 1, "connect for the sync"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := applylens(t, append([]string{"warehouse"}, test.args...)...)
			if status != test.status || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d: %s", status, stderr)
			}
			if strings.Contains(stdout+stderr, "hunter2") {
				t.Error("the secret is printed")
			}
		})
	}
}

func TestRowMeter(t *testing.T) {
	now := time.Date(2026, 3, 10, 2, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	var terminal, file bytes.Buffer
	meters := []*rowMeter{newRowMeter(&terminal, true, clock), newRowMeter(&file, false, clock)}
	for done := int64(0); done <= 100_000; done += 10_000 {
		for _, m := range meters {
			m.Update(done, 100_000)
		}
		now = now.Add(2 * time.Second)
	}
	for _, m := range meters {
		m.finish()
	}
	if got := file.String(); got != "reading the warehouse:  50 %, about 10s left\nreading the warehouse: 100 %, about 0s left\n" {
		t.Errorf("file: %q", got)
	}
	if got := terminal.String(); strings.Count(got, "\r") != 11 || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("terminal: %q", got)
	}
	if got := progressLine(5, 0, 90*time.Second); got != "reading the warehouse, 1m30s so far" {
		t.Errorf("without a total: %q", got)
	}
}
