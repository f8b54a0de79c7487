package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/internal/testkit/world"
)

var update = flag.Bool("update", false, "write schema/openapi.json anew")

const documentFile = "../../schema/openapi.json"

// unconnected is an API whose database is never asked.
func unconnected(t *testing.T) *server {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/none")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	handler, err := New(Config{Pool: pool, Search: postgres.New(pool)})
	if err != nil {
		t.Fatal(err)
	}
	return handler.(*server)
}

func TestDocumentIsCurrent(t *testing.T) {
	document := append(unconnected(t).document, '\n')
	if *update {
		if err := os.WriteFile(documentFile, document, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, document) {
		t.Error("schema/openapi.json is not what the handlers' types say: run go test ./internal/api -run TestDocumentIsCurrent -update")
	}
}

func TestDocumentIsServed(t *testing.T) {
	w := &deployment{World: &world.World{TB: t}, handler: unconnected(t)}
	for _, path := range []string{"/openapi.json", "/api/openapi.json"} {
		var document struct{ OpenAPI string }
		answer := w.ask("", http.MethodGet, path, nil).want(http.StatusOK)
		if err := json.Unmarshal(answer.body, &document); err != nil || document.OpenAPI != "3.1.0" {
			t.Errorf("%s: %v, openapi %q", path, err, document.OpenAPI)
		}
	}
}
