package elastic

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/schema"
)

// versions are the mappings that there were. A changed mapping needs another version, or no index would be made of it.
var versions = map[int]string{1: "d134aae9bb0021aa", 2: "54c95c4051a7fff8", 3: "ac12bc09d36c13d1"}

func TestAChangedMappingHasAnotherVersion(t *testing.T) {
	sum := sha256.Sum256(schema.EmailIndex)
	if got, want := hex.EncodeToString(sum[:8]), versions[MappingVersion()]; got != want {
		t.Errorf("schema/elasticsearch/emails.json has the sum %s, version %d has %s: raise mappings._meta.version and add it here", got, MappingVersion(), want)
	}
}

// connect returns a client for an alias of the test's own, and the prefix of its indices.
func connect(t *testing.T) (*Client, string) {
	t.Helper()
	address, prefix := testenv.Elasticsearch(t)
	client, err := Open(config.Elasticsearch{ElasticsearchURL: []string{address}, ElasticsearchAlias: prefix + "emails"})
	if err != nil {
		t.Fatal(err)
	}
	return client, prefix
}

func TestIndicesComeAndGoAsOftenAsAsked(t *testing.T) {
	client, prefix := connect(t)
	ctx := t.Context()
	for range 2 {
		if err := errors.Join(client.Create(ctx, prefix+"1", "mine"), client.Serve(ctx, prefix+"1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(client.Create(ctx, prefix+"2", "mine"), client.Serve(ctx, prefix+"2")); err != nil {
		t.Fatal(err)
	}
	owners, err := client.Owners(ctx, client.Alias())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{prefix + "2": "mine"}, owners); diff != "" {
		t.Errorf("behind the alias (-want +got)\n%s", diff)
	}
	for range 2 {
		if err := client.Drop(ctx, prefix+"2"); err != nil {
			t.Fatal(err)
		}
	}
	if owners, err := client.Owners(ctx, client.Alias()); err != nil || len(owners) != 0 {
		t.Errorf("after the drop: %v, %v", owners, err)
	}
}

// TestVersionsDecide: of two writes the one with the higher version stands, in whatever order they come; the same again
// is harmless; and a bulk to an index that is gone makes none.
func TestVersionsDecide(t *testing.T) {
	client, prefix := connect(t)
	ctx, index := t.Context(), prefix+"1"
	if err := client.Create(ctx, index, "mine"); err != nil {
		t.Fatal(err)
	}
	send := func(want Outcome, fill func(b *Bulk) error) {
		t.Helper()
		var bulk Bulk
		if err := fill(&bulk); err != nil {
			t.Fatal(err)
		}
		outcomes, err := client.Send(ctx, &bulk)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Outcome{want}, outcomes); diff != "" {
			t.Error(diff)
		}
	}
	document := NewDocument(&Mail{ID: "1", UserID: "u"})
	send(Written, func(b *Bulk) error { return b.Delete(index, "1", 1) })
	send(Written, func(b *Bulk) error { return b.Put(index, document, 5) })
	send(Written, func(b *Bulk) error { return b.Put(index, document, 5) })
	send(Superseded, func(b *Bulk) error { return b.Put(index, document, 4) })
	send(Superseded, func(b *Bulk) error { return b.Delete(index, "1", 4) })
	send(Written, func(b *Bulk) error { return b.Delete(index, "1", 6) })
	send(Superseded, func(b *Bulk) error { return b.Put(index, document, 5) })
	send(Written, func(b *Bulk) error { return b.Put(index, NewDocument(&Mail{ID: "2", UserID: "u"}), 9) })
	if newest, err := client.Newest(ctx, index); err != nil || newest != 0 {
		t.Errorf("the newest of what can be found is %d, %v", newest, err)
	}
	if err := client.Refresh(ctx, index); err != nil {
		t.Fatal(err)
	}
	if newest, err := client.Newest(ctx, index); err != nil || newest != 9 {
		t.Errorf("the newest is %d, %v", newest, err)
	}
	if err := client.Drop(ctx, index); err != nil {
		t.Fatal(err)
	}
	send(Missing, func(b *Bulk) error { return b.Put(index, document, 7) })
	if owners, err := client.Owners(ctx, index); err != nil || len(owners) != 0 {
		t.Errorf("the bulk made %v, %v", owners, err)
	}
}
