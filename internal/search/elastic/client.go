package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/applylens/applylens/internal/config"
)

// Client speaks with one cluster. It is safe for concurrent use.
type Client struct {
	transport *elastictransport.Client
	alias     string
}

// requestTimeout bounds every request but searches, which have their own.
const requestTimeout = time.Minute

// Open prepares a client for checked settings. It connects lazily: a cluster that is down is no error here.
func Open(settings config.Elasticsearch) (*Client, error) {
	options := []elastictransport.Option{
		elastictransport.WithUserAgent("applylens"),
		elastictransport.WithDisableRetry(), // whoever asks knows whether to ask again
		elastictransport.WithTransport(http.DefaultTransport.(*http.Transport).Clone()),
	}
	var addresses []*url.URL
	for _, text := range settings.ElasticsearchURL {
		address, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("--elasticsearch-url is not a URL")
		}
		addresses = append(addresses, address)
	}
	options = append(options, elastictransport.WithURLs(addresses...))
	switch {
	case settings.ElasticsearchAPIKey != "":
		options = append(options, elastictransport.WithAPIKey(string(settings.ElasticsearchAPIKey)))
	case settings.ElasticsearchUsername != "":
		options = append(options, elastictransport.WithBasicAuth(settings.ElasticsearchUsername, string(settings.ElasticsearchPassword)))
	}
	if settings.ElasticsearchCAFile != "" {
		authorities, err := os.ReadFile(settings.ElasticsearchCAFile)
		if err != nil {
			return nil, fmt.Errorf("--elasticsearch-ca-file: %w", err)
		}
		options = append(options, elastictransport.WithCACert(authorities))
	}
	transport, err := elastictransport.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("prepare Elasticsearch client: %w", err)
	}
	return &Client{transport: transport, alias: settings.ElasticsearchAlias}, nil
}

// Alias is the name that searches read.
func (c *Client) Alias() string { return c.alias }

// ErrNoAnswer tells that no answer came, or not the whole: what was asked for may have been done.
var ErrNoAnswer = errors.New("no answer from Elasticsearch")

// Error is an answer that says no. It holds nothing of the request.
type Error struct {
	Status int
	Type   string // such as index_not_found_exception; empty when the answer was no JSON
}

// Error implements error.
func (e *Error) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("Elasticsearch answers %d", e.Status)
	}
	return fmt.Sprintf("Elasticsearch answers %d %s", e.Status, e.Type)
}

// is tells whether err is an answer of the type.
func is(err error, kind string) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Type == kind
}

// IsMissing tells whether err says that there is no such index.
func IsMissing(err error) bool { return is(err, "index_not_found_exception") }

// request is one of esapi's.
type request interface {
	Do(context.Context, esapi.Transport) (*esapi.Response, error)
}

// maxAnswer bounds an answer, unpacked, in bytes. The largest that we ask for is a page of hits.
const maxAnswer = 64 << 20

// do sends a request and decodes its answer into answer, which may be nil.
func (c *Client) do(ctx context.Context, r request, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	response, err := r.Do(ctx, c.transport)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer response.Body.Close()
	if response.IsError() {
		return refusal(response)
	}
	body := &io.LimitedReader{R: response.Body, N: maxAnswer}
	if answer == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(answer)
	}
	if body.N == 0 {
		return fmt.Errorf("the answer of Elasticsearch has more than %d bytes", maxAnswer)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return nil
}

func refusal(response *esapi.Response) error {
	var answer struct {
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer) // a proxy may answer with a page
	return &Error{Status: response.StatusCode, Type: answer.Error.Type}
}
