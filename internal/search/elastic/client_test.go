package elastic

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/applylens/applylens/internal/config"
)

// TestClientShowsWhoItIs: over TLS, to a server whose authority is known only by a file.
func TestClientShowsWhoItIs(t *testing.T) {
	var shown string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := config.Elasticsearch{ElasticsearchURL: []string{server.URL}, ElasticsearchAlias: "emails", ElasticsearchCAFile: authority}
	key, user, stranger := plain, plain, plain
	key.ElasticsearchAPIKey = "a2V5"
	user.ElasticsearchUsername, user.ElasticsearchPassword = "ann", "secret"
	stranger.ElasticsearchCAFile = ""
	for _, test := range []struct {
		name     string
		settings config.Elasticsearch
		want     string
		refused  bool
	}{
		{"nobody", plain, "", false},
		{"an API key", key, "APIKey a2V5", false},
		{"a user", user, "Basic YW5uOnNlY3JldA==", false},
		{"unknown authority", stranger, "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			shown = ""
			client, err := Open(test.settings)
			if err != nil {
				t.Fatal(err)
			}
			err = client.Refresh(t.Context(), "x")
			if (err != nil) != test.refused || shown != test.want {
				t.Errorf("shown %q, want %q; %v", shown, test.want, err)
			}
		})
	}
}

// TestAnAnswerIsBounded: some kilobytes unpack to more than an answer may have.
func TestAnAnswerIsBounded(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write([]byte(`{"index":{"mappings":{"a":"`))
	for range maxAnswer >> 20 {
		_, _ = writer.Write(bytes.Repeat([]byte("a"), 1<<20))
	}
	_, _ = writer.Write([]byte(`"}}}`))
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer server.Close()
	client, err := Open(config.Elasticsearch{ElasticsearchURL: []string{server.URL}, ElasticsearchAlias: "emails"})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := client.Owners(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
		t.Errorf("%v, %v", found, err)
	}
}
