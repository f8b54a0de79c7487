package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/testkit/testenv/server"
)

// Elasticsearch returns the address of ELASTICSEARCH_URL and a prefix for the test's indices and aliases. Indices with that
// prefix are deleted when the test ends. The test is skipped if the variable is unset.
func Elasticsearch(t testing.TB) (address, prefix string) {
	t.Helper()
	address = os.Getenv("ELASTICSEARCH_URL")
	if address == "" {
		t.Skip("set ELASTICSEARCH_URL to the address of an Elasticsearch node to run this test")
	}
	prefix = "test-" + randomText() + "-"
	t.Cleanup(func() { deleteIndices(t, address, prefix) })
	return address, prefix
}

// Index registers an Elasticsearch index in a database, so that changes are marked.
func Index(t testing.TB, db *pgxpool.Pool) {
	t.Helper()
	const statement = `INSERT INTO search_indices (name, mapping_version, state, system_identifier, timeline_id) VALUES ('test', 0, 'live', 0, 0)`
	if _, err := db.Exec(context.Background(), statement); err != nil {
		t.Fatalf("register an index: %v", err)
	}
}

// deleteIndices deletes indices one by one, since clusters refuse to delete by a pattern by default.
func deleteIndices(t testing.TB, address, prefix string) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	text, err := call(ctx, http.MethodGet, address+"/_cat/indices/"+prefix+"*?h=index&expand_wildcards=all")
	if err != nil {
		t.Logf("indices %s* are not deleted: %v", prefix, err)
		return
	}
	for _, name := range strings.Fields(text) {
		if _, err := call(ctx, http.MethodDelete, address+"/"+name); err != nil {
			t.Logf("index %s is not deleted: %v", name, err)
		}
	}
}

func call(ctx context.Context, method, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	return string(text), err
}

// Search is an Elasticsearch node that a test may kill. If an operation on it fails, the test fails.
type Search struct {
	t      testing.TB
	server *server.Elasticsearch
}

// StartElasticsearch starts a dedicated node without security. It ends with the test. The test is skipped if
// ELASTICSEARCH_HOME is unset.
func StartElasticsearch(t testing.TB) *Search {
	t.Helper()
	home := os.Getenv("ELASTICSEARCH_HOME")
	if home == "" {
		t.Skip("set ELASTICSEARCH_HOME to the directory of an unpacked Elasticsearch to run this test")
	}
	started, err := server.NewElasticsearch(context.Background(), server.ElasticsearchConfig{Home: home})
	if err != nil {
		t.Fatal(err)
	}
	s := &Search{t: t, server: started}
	t.Cleanup(func() { s.must(started.Close()) })
	return s
}

// URL returns the node's address, the same across restarts.
func (s *Search) URL() string { return s.server.URL() }

// Start starts the stopped or killed node and waits until it serves its indices.
func (s *Search) Start() { s.t.Helper(); s.must(s.server.Start(context.Background())) }

// Stop shuts the node down.
func (s *Search) Stop() { s.t.Helper(); s.must(s.server.Stop()) }

// Kill kills the node with SIGKILL.
func (s *Search) Kill() { s.t.Helper(); s.must(s.server.Kill()) }

// Pause stops the node's process: connections stay open, without responses, until Continue.
func (s *Search) Pause() { s.t.Helper(); s.must(s.server.Pause()) }

// Continue resumes a paused node.
func (s *Search) Continue() { s.t.Helper(); s.must(s.server.Continue()) }

func (s *Search) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
