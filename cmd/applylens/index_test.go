package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestMigratePlansAnIndexOnce checks migrate with Elasticsearch, and that index --forget deletes only with --yes.
func TestMigratePlansAnIndexOnce(t *testing.T) {
	pool, database := testenv.Database(t)
	address, prefix := testenv.Elasticsearch(t)
	applylens := func(arguments ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		arguments = append(arguments, "--database-url", database, "--elasticsearch-url", address, "--elasticsearch-alias", prefix+"emails")
		if status := run(t.Context(), arguments, &stdout, &stderr); status != 0 {
			t.Fatalf("%v: status %d: %s", arguments, status, &stderr)
		}
		return stdout.String()
	}
	known := func() (count int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM search_indices").Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	if out := applylens("migrate"); !strings.Contains(out, prefix+"emails-") || known() != 1 {
		t.Errorf("%d indices are known; printed %s", known(), out)
	}
	if out := applylens("migrate"); !strings.Contains(out, "up to date.\nThe search index is up to date") || known() != 1 {
		t.Errorf("%d indices are known; printed %s", known(), out)
	}
	if out := applylens("index", "--forget"); !strings.Contains(out, "repeat with --yes") || known() != 1 {
		t.Errorf("%d indices are known; printed %s", known(), out)
	}
	applylens("index", "--forget", "--yes")
	if known() != 0 {
		t.Errorf("%d indices are known in the end", known())
	}
}

func TestIndexNeedsElasticsearch(t *testing.T) {
	t.Setenv("ELASTICSEARCH_URL", "")
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"index", "--database-url", "postgres://x"}, &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), "--elasticsearch-url") {
		t.Errorf("status %d: %s", status, &stderr)
	}
}
