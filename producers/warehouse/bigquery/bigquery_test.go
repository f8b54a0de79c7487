package bigquery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/producers/warehouse"
)

// imitation implements jobs.query and jobs.getQueryResults as described in the reference of BigQuery's REST API. It was never
// compared with BigQuery itself.
type imitation struct {
	*testing.T
	mu       sync.Mutex
	fields   string   // JSON of the schema's fields
	rows     []string // JSON of the cells of each row
	waiting  int      // responses that say that the query is still running
	failures []answer // returned first, in this order
	queries  []queryRequest
	requests map[string]bool // request ids
}

type answer struct {
	status int
	body   string
}

const viewFields = `[{"name":"system","type":"STRING","mode":"NULLABLE"},{"name":"application_id","type":"STRING"},
	{"name":"addresses","type":"STRING","mode":"REPEATED"},{"name":"company","type":"STRING"},{"name":"stage","type":"STRING"},
	{"name":"last_stage_change","type":"TIMESTAMP"},{"name":"interview_date","type":"DATETIME"},{"name":"synced_at","type":"TIMESTAMP"},
	{"name":"deleted","type":"BOOLEAN"}]`

func (i *imitation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.failures) > 0 {
		w.WriteHeader(i.failures[0].status)
		_, _ = io.WriteString(w, i.failures[0].body)
		i.failures = i.failures[1:]
		if r.Method == http.MethodPost {
			i.note(r)
		}
		return
	}
	offset := 0
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/bigquery/v2/projects/acme-prod/queries":
		i.note(r)
	case r.Method == http.MethodGet && r.URL.Path == "/bigquery/v2/projects/acme-prod/queries/job-1":
		if r.URL.Query().Get("location") != "EU" || r.URL.Query().Get("formatOptions.useInt64Timestamp") != "true" {
			i.Errorf("parameters %s", r.URL.RawQuery)
		}
		_, _ = fmt.Sscanf(r.URL.Query().Get("pageToken"), "from-%d", &offset)
	default:
		i.Errorf("%s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if i.waiting > 0 {
		i.waiting--
		_, _ = io.WriteString(w, `{"jobComplete":false,"jobReference":{"projectId":"acme-prod","jobId":"job-1","location":"EU"}}`)
		return
	}
	i.page(w, offset)
}

func (i *imitation) note(r *http.Request) {
	var request queryRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		i.Error(err)
	}
	i.queries = append(i.queries, request)
	i.requests[request.RequestID] = true
}

// page writes two rows at a time.
func (i *imitation) page(w io.Writer, offset int) {
	end, token := min(offset+2, len(i.rows)), ""
	if end < len(i.rows) {
		token = fmt.Sprintf(`"pageToken":"from-%d",`, end)
	}
	parts := make([]string, 0, 2)
	for _, cells := range i.rows[offset:end] {
		parts = append(parts, `{"f":[`+cells+`]}`)
	}
	fmt.Fprintf(w, `{"kind":"bigquery#queryResponse","jobComplete":true,"jobReference":{"projectId":"acme-prod","jobId":"job-1","location":"EU"},
		"schema":{"fields":%s},%s"totalRows":"%d","rows":[%s]}`, i.fields, token, len(i.rows), strings.Join(parts, ","))
}

// application is a row's cells.
func application(n int) string {
	return fmt.Sprintf(`{"v":"greenhouse"},{"v":"%d"},{"v":[{"v":"c%d@mail.example"},{"v":"Second@mail.example"}]},{"v":"Acme"},{"v":"Onsite"},`+
		`{"v":"1773135000000001"},{"v":"2026-03-12T09:00:00"},{"v":"1773135000000000"},{"v":"false"}`, n, n)
}

func newView(t *testing.T, rows ...string) (*imitation, *View) {
	t.Helper()
	i := &imitation{T: t, fields: viewFields, rows: rows, requests: map[string]bool{}}
	server := httptest.NewServer(i)
	t.Cleanup(server.Close)
	view, err := New(Config{Project: "acme-prod", Dataset: "analytics", View: "vw_applications_enriched", Location: "EU",
		Client: server.Client(), Endpoint: server.URL, Backoff: time.Millisecond})
	must(t, err)
	return i, view
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readAll returns the values of all rows.
func readAll(t *testing.T, source warehouse.Source, since time.Time) (all [][]any) {
	t.Helper()
	rows, err := source.Open(t.Context(), since)
	must(t, err)
	defer rows.Close()
	for {
		values, err := rows.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, append([]any(nil), values...))
	}
}

func TestPagesOfARow(t *testing.T) {
	i, view := newView(t, application(1), application(2), application(3), application(4), `{"v":"lever"},{"v":"x"},{"v":[]},{"v":null},{"v":null},{"v":null},{"v":null},{"v":null},{"v":"true"}`)
	i.waiting = 2
	got := readAll(t, view, time.Time{})
	at := time.UnixMicro(1773135000000001)
	want := [][]any{
		{"greenhouse", "1", []string{"c1@mail.example", "Second@mail.example"}, "Acme", "Onsite", at, "2026-03-12T09:00:00", at.Add(-time.Microsecond), "false"},
		{"lever", "x", []string{}, nil, nil, nil, nil, nil, "true"},
	}
	if len(got) != 5 {
		t.Fatalf("%d rows", len(got))
	}
	if diff := cmp.Diff(want, [][]any{got[0], got[4]}); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if q := i.queries[0]; q.Query != "SELECT * FROM `acme-prod`.`analytics`.`vw_applications_enriched`" || q.UseLegacySQL || q.Location != "EU" || !q.FormatOptions.UseInt64Timestamp {
		t.Errorf("query %+v", q)
	}
	if view.Name() != "bigquery://acme-prod.analytics.vw_applications_enriched" {
		t.Errorf("name %s", view.Name())
	}
}

func TestSinceIsAParameter(t *testing.T) {
	i, view := newView(t)
	readAll(t, view, time.Date(2026, 3, 10, 2, 0, 0, 5000, time.FixedZone("", 3600)))
	q := i.queries[0]
	if !strings.HasSuffix(q.Query, " WHERE synced_at >= @since") || q.ParameterMode != "NAMED" || len(q.QueryParameters) != 1 ||
		q.QueryParameters[0].ParameterType.Type != "TIMESTAMP" || q.QueryParameters[0].ParameterValue.Value != "2026-03-10 01:00:00.000005+00:00" {
		t.Errorf("query %+v", q)
	}
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	i, view := newView(t, application(1), application(2), application(3))
	i.failures = []answer{
		{http.StatusServiceUnavailable, "<html>a proxy</html>"},
		{http.StatusForbidden, `{"error":{"code":403,"message":"too fast","errors":[{"reason":"rateLimitExceeded"}]}}`},
		{http.StatusTooManyRequests, `{}`},
	}
	if got := readAll(t, view, time.Time{}); len(got) != 3 {
		t.Errorf("%d rows", len(got))
	}
	if len(i.queries) != 4 || len(i.requests) != 1 {
		t.Errorf("%d requests with %d ids: a repeated request would start another query", len(i.queries), len(i.requests))
	}
}

func TestWhatDoesNotPass(t *testing.T) {
	for name, test := range map[string]struct {
		failure answer
		drift   bool
		times   int
		want    string
	}{
		"a missing column": {answer{400, `{"error":{"code":400,"message":"Name current_stage_id not found inside a at [12:31]","errors":[{"reason":"invalidQuery"}]}}`}, true, 1, "Name current_stage_id not found"},
		"a missing view":   {answer{404, `{"error":{"code":404,"message":"Not found: Table acme-prod:analytics.v","errors":[{"reason":"notFound"}]}}`}, true, 1, "Not found: Table"},
		"no permission":    {answer{403, `{"error":{"code":403,"message":"Access Denied","errors":[{"reason":"accessDenied"}]}}`}, false, 1, "Access Denied"},
		"down for long":    {answer{503, ``}, false, attempts, "503"},
	} {
		t.Run(name, func(t *testing.T) {
			i, view := newView(t)
			for range attempts {
				i.failures = append(i.failures, test.failure)
			}
			_, err := view.Open(t.Context(), time.Time{})
			var drift *warehouse.DriftError
			if err == nil || errors.As(err, &drift) != test.drift || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
			if len(i.queries) != test.times {
				t.Errorf("%d attempts", len(i.queries))
			}
		})
	}
}

func TestAnOutageInTheMiddleOfTheResult(t *testing.T) {
	i, view := newView(t, application(1), application(2), application(3))
	rows, err := view.Open(t.Context(), time.Time{})
	must(t, err)
	for range 2 {
		_, err := rows.Next(t.Context())
		must(t, err)
	}
	for range attempts {
		i.failures = append(i.failures, answer{500, ""})
	}
	if _, err := rows.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("an unreadable page gives %v", err)
	}
}

func TestKinds(t *testing.T) {
	i, view := newView(t)
	i.fields = `[{"name":"a","type":"INTEGER"},{"name":"b","type":"FLOAT64"},{"name":"c","type":"RECORD"},{"name":"d","type":"DATE"},{"name":"e","type":"INT64","mode":"REPEATED"}]`
	i.rows = []string{`{"v":"12"},{"v":"1.5"},{"v":{"f":[]}},{"v":"2026-03-10"},{"v":[]}`}
	rows, err := view.Open(t.Context(), time.Time{})
	must(t, err)
	want := []warehouse.Column{{Name: "a", Kind: warehouse.KindNumber}, {Name: "b", Kind: warehouse.KindNumber}, {Name: "c", Kind: warehouse.KindOther},
		{Name: "d", Kind: warehouse.KindTime}, {Name: "e", Kind: warehouse.KindOther}}
	if diff := cmp.Diff(want, rows.Columns()); diff != "" {
		t.Error(diff)
	}
	values, err := rows.Next(t.Context())
	must(t, err)
	if diff := cmp.Diff([]any{int64(12), 1.5, nil, "2026-03-10", nil}, values); diff != "" {
		t.Error(diff)
	}
}

func TestNamesAreChecked(t *testing.T) {
	for _, wrong := range []Config{{}, {Project: "acme", Dataset: "a`b", View: "v"}, {Project: "acme", Dataset: "a.b.c", View: "v"}, {Project: "Acme/x", Dataset: "d", View: "v"}, {Project: "acme", Dataset: "d"}} {
		wrong.Client = http.DefaultClient
		if _, err := New(wrong); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if _, err := New(Config{Project: "acme", Dataset: "other.d", View: "v"}); err == nil {
		t.Error("a config without a client is accepted")
	}
}

func TestCredentials(t *testing.T) {
	for name, text := range map[string]string{
		"foreign.json": `{"type":"external_account"}`, "none.json": `[]`,
		"broken.json": `{"type":"service_account","client_email":"a@b.example","private_key":"none","token_uri":"https://example.com"}`,
	} {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), 0o600))
		client, err := Client(t.Context(), path)
		if err == nil {
			_, err = client.Get("http://127.0.0.1:1/")
		}
		if err == nil || strings.Contains(err.Error(), "private_key") {
			t.Errorf("%s gives %v", name, err)
		}
	}
}

// TestSyncFromBigQuery syncs from BigQuery to the outbox.
func TestSyncFromBigQuery(t *testing.T) {
	pool, _ := testenv.Database(t)
	_, view := newView(t, application(1), application(2), application(3))
	cfg := warehouse.Config{Pool: pool, Log: slog.New(slog.DiscardHandler)}
	for _, want := range []int64{3, 0} {
		summary, err := warehouse.Sync(t.Context(), cfg, view, warehouse.Options{Full: true})
		must(t, err)
		if summary.Added != want || summary.Held != nil || summary.Broken != 0 {
			t.Errorf("%+v", summary)
		}
	}
}
