package bigquery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/producers/warehouse"
)

const (
	attempts  = 5
	waitMs    = 10_000 // how long a call waits for the query to finish
	callLimit = 2 * time.Minute
	mostBytes = 64 << 20 // of a response; BigQuery's pages are much smaller
	scope     = "https://www.googleapis.com/auth/bigquery"
)

// Client returns a client that adds credentials to requests: those of a file with the key of a service account or a person,
// or the machine's default credentials if file is empty.
func Client(ctx context.Context, file string) (*http.Client, error) {
	if file == "" {
		found, err := google.FindDefaultCredentials(ctx, scope)
		if err != nil {
			return nil, fmt.Errorf("find credentials for BigQuery: %w", err)
		}
		return oauth2.NewClient(ctx, found.TokenSource), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read credentials for BigQuery: %w", err)
	}
	var kind struct{ Type google.CredentialsType }
	if err := json.Unmarshal(text, &kind); err != nil || kind.Type != google.ServiceAccount && kind.Type != google.AuthorizedUser {
		return nil, fmt.Errorf("%s is not the key of a service account or a person", file)
	}
	found, err := google.CredentialsFromJSONWithType(ctx, text, kind.Type, scope)
	if err != nil {
		return nil, fmt.Errorf("read credentials for BigQuery: %w", err)
	}
	return oauth2.NewClient(ctx, found.TokenSource), nil
}

// queryRequest is the body of jobs.query.
type queryRequest struct {
	Query           string           `json:"query"`
	UseLegacySQL    bool             `json:"useLegacySql"`
	Location        string           `json:"location,omitempty"`
	MaxResults      int              `json:"maxResults"`
	TimeoutMs       int              `json:"timeoutMs"`
	RequestID       string           `json:"requestId"`
	ParameterMode   string           `json:"parameterMode,omitempty"`
	QueryParameters []queryParameter `json:"queryParameters,omitempty"`
	FormatOptions   struct {
		UseInt64Timestamp bool `json:"useInt64Timestamp"`
	} `json:"formatOptions"`
}

type queryParameter struct {
	Name          string `json:"name"`
	ParameterType struct {
		Type string `json:"type"`
	} `json:"parameterType"`
	ParameterValue struct {
		Value string `json:"value"`
	} `json:"parameterValue"`
}

func newTimestamp(name string, at time.Time) queryParameter {
	p := queryParameter{Name: name}
	p.ParameterType.Type = "TIMESTAMP"
	p.ParameterValue.Value = at.UTC().Format("2006-01-02 15:04:05.999999") + "+00:00"
	return p
}

func newRequestID() string { return events.NewUUIDv7(time.Now()).String() }

// queryAnswer is what both methods return.
type queryAnswer struct {
	JobComplete  bool         `json:"jobComplete"`
	JobReference jobReference `json:"jobReference"`
	Schema       struct {
		Fields []field `json:"fields"`
	} `json:"schema"`
	PageToken string `json:"pageToken"`
	TotalRows string `json:"totalRows"`
	Rows      []struct {
		F []struct {
			V json.RawMessage `json:"v"`
		} `json:"f"`
	} `json:"rows"`
}

type jobReference struct {
	ProjectID string `json:"projectId"`
	JobID     string `json:"jobId"`
	Location  string `json:"location"`
}

type field struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Mode string `json:"mode"`
}

func (a *queryAnswer) total() int64 {
	n, _ := strconv.ParseInt(a.TotalRows, 10, 64) // 0 if absent
	return n
}

// refusal is an error response.
type refusal struct {
	Status int
	Body   errorBody
}

type errorBody struct {
	Message string `json:"message"`
	Errors  []struct {
		Reason string `json:"reason"`
	} `json:"errors"`
}

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("BigQuery returned %d %s: %s", r.Status, r.reason(), r.Body.Message)
}

func (r *refusal) reason() string {
	if len(r.Body.Errors) == 0 {
		return ""
	}
	return r.Body.Errors[0].Reason
}

// passes reports a transient error.
func (r *refusal) passes() bool {
	switch r.reason() {
	case "rateLimitExceeded", "jobRateLimitExceeded", "backendError", "jobBackendError", "jobInternalError", "internalError":
		return true
	}
	return r.Status == http.StatusTooManyRequests || r.Status >= 500
}

// drift reports that the view, or a table that it reads, is missing or has other columns.
func (r *refusal) drift() bool { return r.reason() == "invalidQuery" || r.reason() == "notFound" }

// call calls a method, and retries transient errors.
func (v *View) call(ctx context.Context, method, path string, parameters url.Values, body any) (answer *queryAnswer, err error) {
	err = retry.Until(ctx, v.Backoff, v.Backoff<<attempts, func(attempt int) error {
		var err error
		answer, err = v.try(ctx, method, path, parameters, body)
		var refused *refusal
		isRefusal := errors.As(err, &refused)
		switch {
		case isRefusal && refused.drift():
			return retry.Stop(&warehouse.DriftError{Detail: "the warehouse rejects the view: " + refused.Body.Message})
		case isRefusal && !refused.passes(), attempt == attempts-1, ctx.Err() != nil:
			return retry.Stop(err)
		}
		return err
	})
	return answer, err
}

func (v *View) try(ctx context.Context, method, path string, parameters url.Values, body any) (*queryAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	address := v.Endpoint + path
	if len(parameters) > 0 {
		address += "?" + parameters.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := v.Client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("query BigQuery: %w", err)
	}
	defer response.Body.Close()
	return read(response)
}

func read(response *http.Response) (*queryAnswer, error) {
	decoder := json.NewDecoder(io.LimitReader(response.Body, mostBytes))
	if response.StatusCode != http.StatusOK {
		refused := &refusal{Status: response.StatusCode}
		_ = decoder.Decode(&struct{ Error *errorBody }{&refused.Body}) // a proxy's response is not JSON
		return nil, refused
	}
	var answer queryAnswer
	if err := decoder.Decode(&answer); err != nil {
		return nil, fmt.Errorf("read BigQuery's response: %w", err)
	}
	return &answer, nil
}
