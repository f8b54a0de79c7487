package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestElasticsearchIsCheckedAsAWhole(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Elasticsearch{ElasticsearchURL: []string{"https://a:9200"}, ElasticsearchUsername: "alice", ElasticsearchPasswordFile: secret,
		ElasticsearchCAFile: "ca.pem", ElasticsearchAlias: "emails"}
	for range 2 { // may be called again
		if err := good.Validate(); err != nil || good.ElasticsearchPassword != "s3cret" {
			t.Errorf("%v, password %q", err, string(good.ElasticsearchPassword))
		}
	}
	key := Elasticsearch{ElasticsearchURL: []string{"http://a:9200"}, ElasticsearchAPIKeyFile: secret, ElasticsearchAlias: "emails"}
	if err := key.Validate(); err != nil || key.ElasticsearchAPIKey != "s3cret" {
		t.Errorf("%v, key %q", err, string(key.ElasticsearchAPIKey))
	}

	bad := Elasticsearch{ElasticsearchURL: []string{"a:9200", "http://u:hidden@a:9200", "http://a:9200"}, ElasticsearchUsername: "alice",
		ElasticsearchAPIKey: "k", ElasticsearchCAFile: "ca.pem", ElasticsearchAlias: "E mails"}
	err := bad.Validate()
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, want := range []string{"http://host:port", "contains a user", "needs an https address", "must be set together", "keep one", "--elasticsearch-alias"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the faults lack %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("the faults contain a password: %v", err)
	}
}
