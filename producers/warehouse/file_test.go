package warehouse

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/applylens/applylens/internal/testkit/world"
)

const header = "system,application_id,addresses,company,stage,last_stage_change,interview_date,synced_at,deleted\n"

// write writes a file to a temporary directory and returns its path.
func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	world.Must(t, os.WriteFile(path, text, 0o600))
	return path
}

func export(t *testing.T, pattern string) *Export {
	t.Helper()
	e, err := NewExport(pattern)
	world.Must(t, err)
	return e
}

// readAllOf reads an export completely, and returns the errors of unreadable rows.
func readAllOf(t *testing.T, source Source) (list []application, broken []string) {
	t.Helper()
	rows, err := source.Open(t.Context(), time.Time{})
	world.Must(t, err)
	defer func() { world.Must(t, rows.Close()) }()
	at, err := locate(rows.Columns())
	world.Must(t, err)
	d := &decoder{at: at}
	for {
		values, err := rows.Next(t.Context())
		var bad *RowError
		switch {
		case errors.Is(err, io.EOF):
			return list, broken
		case errors.As(err, &bad):
			broken = append(broken, bad.Detail)
			continue
		case err != nil:
			t.Fatal(err)
		}
		a, faults, _ := d.decode(values)
		for _, f := range faults {
			broken = append(broken, f.Column+" "+f.Problem)
		}
		list = append(list, a)
	}
}

func TestCSV(t *testing.T) {
	text := "\ufeff" + header +
		`greenhouse,1,"[""Ada@example.com"",""b@example.com""]","Acme, Inc.",Onsite,2026-03-01 10:00:00 UTC,,2026-03-02T00:00:00Z,false` + "\r\n" +
		`lever,x-2,{c@example.com},Acme,"Offer",2026-03-01,2026-03-12T09:00:00+01:00,2026-03-02 00:00:00,t` + "\n" +
		"too,short\n" +
		`lever,3,"unclosed` + "\n"
	want := []application{
		{system: "greenhouse", id: "1", addresses: []string{"ada@example.com", "b@example.com"}, company: "Acme, Inc.", stage: "Onsite",
			lastStageChange: utc("2026-03-01 10:00:00"), syncedAt: utc("2026-03-02 00:00:00")},
		{system: "lever", id: "x-2", removed: true, syncedAt: utc("2026-03-02 00:00:00")},
	}
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	_, _ = writer.Write([]byte(text))
	world.Must(t, writer.Close())
	for name, content := range map[string][]byte{"a.csv": []byte(text), "b.csv.gz": zipped.Bytes()} {
		got, broken := readAllOf(t, export(t, write(t, name, content)))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(application{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(broken) != 2 || !strings.Contains(broken[0], "line 4 cannot be read") || !strings.Contains(broken[1], "line 5") {
			t.Errorf("%s: broken %q", name, broken)
		}
	}
}

func TestCSVWithOtherSeparators(t *testing.T) {
	for _, separator := range []string{";", "\t"} {
		text := strings.ReplaceAll(header, ",", separator) + strings.Join([]string{"lever", "1", "a@example.com, b@example.com", "Acme", "Onsite", "", "", "", ""}, separator) + "\n"
		got, broken := readAllOf(t, export(t, write(t, "a.csv", []byte(text))))
		if len(got) != 1 || len(got[0].addresses) != 2 || len(broken) > 0 {
			t.Errorf("%q: %+v, broken %q", separator, got, broken)
		}
	}
}

func TestExportInParts(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		text := header + fmt.Sprintf("lever,%d,a@example.com,Acme,Onsite,,,,\n", i)
		world.Must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("part-%d.csv", i)), []byte(text), 0o600))
	}
	source := export(t, filepath.Join(dir, "part-*.csv"))
	if got, broken := readAllOf(t, source); len(got) != 3 || got[2].id != "2" || len(broken) > 0 {
		t.Errorf("%+v, broken %q", got, broken)
	}
	if source.Name() != "file:part-*.csv" {
		t.Errorf("the name is %s", source.Name())
	}
	world.Must(t, os.WriteFile(filepath.Join(dir, "part-1.csv"), []byte("system,other\n"), 0o600))
	rows, err := source.Open(t.Context(), time.Time{})
	world.Must(t, err)
	defer rows.Close()
	_, err = rows.Next(t.Context())
	world.Must(t, err)
	var drift *DriftError
	if _, err := rows.Next(t.Context()); !errors.As(err, &drift) || !strings.Contains(drift.Detail, "part-1.csv") {
		t.Errorf("a part with other columns gives %v", err)
	}
}

func TestExportsThatAreNone(t *testing.T) {
	if _, err := NewExport("a.xlsx"); err == nil {
		t.Error("a spreadsheet is accepted")
	}
	if _, err := NewExport("[.csv"); err == nil {
		t.Error("a broken pattern is accepted")
	}
	for name, source := range map[string]*Export{
		"missing": export(t, filepath.Join(t.TempDir(), "a.csv")), "empty": export(t, write(t, "a.csv", nil)),
		"not Parquet": export(t, write(t, "a.parquet", []byte("not at all, not in the least"))),
	} {
		if rows, err := source.Open(t.Context(), time.Time{}); err == nil {
			t.Errorf("%s: opened %v", name, rows)
		}
	}
}

// exported is a row as written by BigQuery, Spark and dbt.
type exported struct {
	System          string     `parquet:"system"`
	ApplicationID   string     `parquet:"application_id"`
	Addresses       []string   `parquet:"addresses,list"`
	Company         *string    `parquet:"company,optional"`
	Stage           string     `parquet:"stage"`
	LastStageChange *time.Time `parquet:"last_stage_change,optional,timestamp(microsecond)"`
	InterviewDate   *time.Time `parquet:"interview_date,optional,timestamp(millisecond)"`
	SyncedAt        time.Time  `parquet:"synced_at,timestamp(nanosecond)"`
	Deleted         bool       `parquet:"deleted"`
	Extra           struct {
		A, B int64
	} `parquet:"extra"`
}

func parquetFile[T any](t *testing.T, rows ...T) string {
	t.Helper()
	var file bytes.Buffer
	writer := parquet.NewGenericWriter[T](&file, parquet.MaxRowsPerRowGroup(300))
	_, err := writer.Write(rows)
	world.Must(t, err)
	world.Must(t, writer.Close())
	return write(t, "export.parquet", file.Bytes())
}

func TestParquet(t *testing.T) {
	acme, at := "Acme", utc("2026-03-01 10:00:00.123")
	rows := []exported{
		{System: "greenhouse", ApplicationID: "1", Addresses: []string{"Ada@example.com", "b@example.com"}, Company: &acme, Stage: "Onsite",
			LastStageChange: &at, InterviewDate: &at, SyncedAt: at},
		{System: "lever", ApplicationID: "2", SyncedAt: at, Deleted: true},
	}
	for n := range 1000 {
		rows = append(rows, exported{System: "lever", ApplicationID: fmt.Sprint(n + 10), Addresses: []string{"x@example.com"}, SyncedAt: at})
	}
	got, broken := readAllOf(t, export(t, parquetFile(t, rows...)))
	want := []application{
		{system: "greenhouse", id: "1", addresses: []string{"ada@example.com", "b@example.com"}, company: "Acme", stage: "Onsite",
			lastStageChange: at, interviewDate: at, syncedAt: at},
		{system: "lever", id: "2", removed: true, syncedAt: at},
		{system: "lever", id: "10", addresses: []string{"x@example.com"}, syncedAt: at},
	}
	if len(got) != 1002 || len(broken) > 0 {
		t.Fatalf("%d rows, broken %q", len(got), broken)
	}
	if diff := cmp.Diff(want, got[:3], cmp.AllowUnexported(application{})); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if got[1001].id != "1009" {
		t.Errorf("the last row is %s", got[1001].id)
	}
}

func TestParquetOfAnotherForm(t *testing.T) {
	type retyped struct {
		System          string  `parquet:"system"`
		ApplicationID   int64   `parquet:"application_id"`
		Addresses       string  `parquet:"addresses"`
		Company         string  `parquet:"company"`
		Stage           float64 `parquet:"stage"`
		LastStageChange string  `parquet:"last_stage_change"`
		InterviewDate   int32   `parquet:"interview_date,date"`
		SyncedAt        int64   `parquet:"synced_at,timestamp"`
	}
	rows, err := export(t, parquetFile(t, retyped{ApplicationID: 1})).Open(t.Context(), time.Time{})
	world.Must(t, err)
	defer rows.Close()
	_, err = locate(rows.Columns())
	want := "column stage is of the type other where text is needed; column last_stage_change is of the type text where time is needed; column deleted is missing"
	if err == nil || err.Error() != want {
		t.Errorf("drift %q, want %q", err, want)
	}
}

func TestDamagedParquet(t *testing.T) {
	path := parquetFile(t, exported{System: "lever", ApplicationID: "1", Stage: strings.Repeat("stage", 100)})
	text, err := os.ReadFile(path)
	world.Must(t, err)
	for i := 4; i < 400; i++ {
		text[i] ^= 0x5a
	}
	rows, err := export(t, write(t, "damaged.parquet", text)).Open(t.Context(), time.Time{})
	if err != nil {
		return // an immediate error is fine too
	}
	defer rows.Close()
	if values, err := rows.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a damaged file gives %v and %v", values, err)
	}
}

// FuzzCSV checks that every file results in rows or in the documented errors.
func FuzzCSV(f *testing.F) {
	f.Add([]byte(header + "lever,1,a@b.example,Acme,Onsite,2026-03-01,,,\n"))
	f.Add([]byte(header + "\"\n\"\"\",,,"))
	f.Add([]byte("\x1f\x8b"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "fuzz.csv")
		world.Must(t, os.WriteFile(path, text, 0o600))
		rows, err := export(t, path).Open(t.Context(), time.Time{})
		if err != nil {
			return
		}
		defer rows.Close()
		at, err := locate(rows.Columns())
		if err != nil {
			return
		}
		d := &decoder{at: at}
		for {
			values, err := rows.Next(t.Context())
			var bad *RowError
			if errors.As(err, &bad) {
				continue
			}
			if err != nil {
				return
			}
			if a, _, ok := d.decode(values); ok && !a.broken && a.valid() != nil {
				t.Fatalf("%+v would be refused: %v", a, a.valid())
			}
		}
	})
}
