// Package bigquery reads vw_applications_enriched from BigQuery with two methods of its REST API, jobs.query and
// jobs.getQueryResults. Google's own client would add gRPC, Arrow and OpenTelemetry for these; only its package for
// credentials (golang.org/x/oauth2/google) is used.
//
// All rows come from one query, so they are of one point in time. Transient failures are retried; a view that BigQuery
// rejects is a *warehouse.DriftError. The tests use a local imitation of the API, written from the reference.
package bigquery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/applylens/applylens/producers/warehouse"
)

// Config names the view.
type Config struct {
	Project  string // billed for the query. Required.
	Dataset  string // optionally with another project: "other.analytics". Required.
	View     string // Required.
	Location string // Default: BigQuery finds it, for datasets in US and EU.

	Client   *http.Client // adds credentials to requests; see Client. Required.
	Endpoint string       // Default: BigQuery's.

	PageRows int           // Rows per response. Default: 5000.
	Backoff  time.Duration // Before the second attempt of a call; doubled before each further one. Default: 1s.
}

const defaultEndpoint = "https://bigquery.googleapis.com"

// View is a warehouse.Source.
type View struct {
	Config
	table string // quoted
}

var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*$`)
	tableName   = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// New checks the config. It does not connect.
func New(config Config) (*View, error) {
	parts := append(strings.Split(config.Dataset, "."), config.View)
	if !projectName.MatchString(config.Project) || len(parts) > 3 {
		return nil, fmt.Errorf("%q is not PROJECT/DATASET/VIEW of BigQuery", config.Project+"/"+config.Dataset+"/"+config.View)
	}
	for _, part := range parts {
		if !tableName.MatchString(part) {
			return nil, fmt.Errorf("%q is not a valid name in BigQuery", part)
		}
	}
	if len(parts) == 2 {
		parts = append([]string{config.Project}, parts...)
	}
	if config.Client == nil {
		return nil, errors.New("bigquery: Client is required")
	}
	if config.Endpoint == "" {
		config.Endpoint = defaultEndpoint
	}
	if config.PageRows <= 0 {
		config.PageRows = 5000
	}
	if config.Backoff <= 0 {
		config.Backoff = time.Second
	}
	return &View{config, "`" + strings.Join(parts, "`.`") + "`"}, nil
}

// Name implements warehouse.Source.
func (v *View) Name() string { return "bigquery://" + strings.ReplaceAll(v.table, "`", "") }

// Open implements warehouse.Source.
func (v *View) Open(ctx context.Context, since time.Time) (warehouse.Rows, error) {
	request := queryRequest{Query: "SELECT * FROM " + v.table, Location: v.Location, MaxResults: v.PageRows, TimeoutMs: waitMs}
	request.FormatOptions.UseInt64Timestamp = true
	if !since.IsZero() {
		request.Query += " WHERE synced_at >= @since"
		request.ParameterMode = "NAMED"
		request.QueryParameters = []queryParameter{newTimestamp("since", since)}
	}
	answer, err := v.begin(ctx, &request)
	for err == nil && !answer.JobComplete {
		answer, err = v.page(ctx, answer.JobReference, "")
	}
	if err != nil {
		return nil, err
	}
	return &rows{view: v, job: answer.JobReference, page: answer, fields: answer.Schema.Fields}, nil
}

// begin starts the query. A retry does not start another one, since it has the same request id.
func (v *View) begin(ctx context.Context, request *queryRequest) (*queryAnswer, error) {
	request.RequestID = newRequestID()
	return v.call(ctx, http.MethodPost, "/bigquery/v2/projects/"+url.PathEscape(v.Project)+"/queries", nil, request)
}

// page reads a page of the result, or waits for the query to finish.
func (v *View) page(ctx context.Context, job jobReference, token string) (*queryAnswer, error) {
	parameters := url.Values{
		"maxResults": {fmt.Sprint(v.PageRows)}, "timeoutMs": {fmt.Sprint(waitMs)}, "formatOptions.useInt64Timestamp": {"true"},
	}
	if token != "" {
		parameters.Set("pageToken", token)
	}
	if job.Location != "" {
		parameters.Set("location", job.Location)
	}
	path := "/bigquery/v2/projects/" + url.PathEscape(job.ProjectID) + "/queries/" + url.PathEscape(job.JobID)
	return v.call(ctx, http.MethodGet, path, parameters, nil)
}

// rows are the pages of a result.
type rows struct {
	view   *View
	job    jobReference
	page   *queryAnswer
	fields []field
	at     int // in the page
	read   int64
	values []any
}

// Columns implements warehouse.Rows.
func (r *rows) Columns() []warehouse.Column {
	columns := make([]warehouse.Column, len(r.fields))
	for i, f := range r.fields {
		columns[i] = warehouse.Column{Name: f.Name, Kind: f.kind()}
	}
	return columns
}

// Next implements warehouse.Rows.
func (r *rows) Next(ctx context.Context) ([]any, error) {
	for r.at == len(r.page.Rows) {
		if r.page.PageToken == "" {
			return nil, io.EOF
		}
		next, err := r.view.page(ctx, r.job, r.page.PageToken)
		if err != nil {
			return nil, err
		}
		r.page, r.at = next, 0
	}
	cells := r.page.Rows[r.at].F
	r.at++
	r.read++
	if len(cells) != len(r.fields) {
		return nil, &warehouse.RowError{Detail: fmt.Sprintf("row %d has %d values instead of %d", r.read, len(cells), len(r.fields))}
	}
	r.values = r.values[:0]
	for i, cell := range cells {
		r.values = append(r.values, r.fields[i].value(cell.V))
	}
	return r.values, nil
}

// Progress implements warehouse.Rows.
func (r *rows) Progress() (done, total int64) { return r.read, r.page.total() }

// Close implements warehouse.Rows: there is nothing to close.
func (r *rows) Close() error { return nil }
