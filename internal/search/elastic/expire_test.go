package elastic

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestLateWritesBringNothingBack: Elasticsearch forgets the version of a deleted document after index.gc_deletes, and takes
// an older write then. A bulk that has expired is not sent.
func TestLateWritesBringNothingBack(t *testing.T) {
	client, prefix := connect(t)
	ctx, index := t.Context(), prefix+"1"
	if err := client.Create(ctx, index, "mine"); err != nil {
		t.Fatal(err)
	}
	send := func(fill func(*Bulk) error) (Outcome, error) {
		t.Helper()
		var bulk Bulk
		if err := fill(&bulk); err != nil {
			t.Fatal(err)
		}
		outcomes, err := client.Send(ctx, &bulk)
		if err != nil {
			return Delayed, err
		}
		return outcomes[0], nil
	}
	document := NewDocument(&Mail{ID: "1", UserID: "u"})
	late := func(b *Bulk) error { return b.Put(index, document, 5) }
	for _, id := range []string{"1", "witness"} {
		if outcome, err := send(func(b *Bulk) error { return b.Delete(index, id, 6) }); err != nil || outcome != Written {
			t.Fatalf("the deletion of %s: %v, %v", id, outcome, err)
		}
	}
	if outcome, err := send(late); err != nil || outcome != Superseded {
		t.Errorf("a write that comes soon after a deletion: %v, %v", outcome, err)
	}
	forgetDeletions(t, index)
	testenv.Eventually(t, 30*time.Second, 50*time.Millisecond, "the deletions are forgotten", func() error {
		if err := client.Refresh(ctx, index); err != nil {
			return err
		}
		outcome, err := send(func(b *Bulk) error { return b.Put(index, NewDocument(&Mail{ID: "witness", UserID: "u"}), 5) })
		if err == nil && outcome != Written {
			err = fmt.Errorf("the witness: %v", outcome)
		}
		return err
	})
	outcome, err := send(func(b *Bulk) error {
		b.Expire(time.Now())
		return late(b)
	})
	if !errors.Is(err, ErrExpired) {
		t.Errorf("an expired write: %v, %v", outcome, err)
	}
	outcome, err = send(func(b *Bulk) error { return b.Delete(index, "1", 1) }) // succeeds where there is no document
	if err != nil || outcome != Written {
		t.Errorf("the document is back: %v, %v", outcome, err)
	}
	if outcome, err := send(late); err != nil || outcome != Written {
		t.Errorf("without an expiry nothing would keep it away: %v, %v", outcome, err)
	}
}

// TestABulkExpiresWhileItIsSent: what has not gone out yet does not.
func TestABulkExpiresWhileItIsSent(t *testing.T) {
	var bulk Bulk
	if err := bulk.Delete("x", "1", 1); err != nil {
		t.Fatal(err)
	}
	body := bulk.reader()
	bulk.Expire(time.Now().Add(time.Hour))
	if n, err := body.Read(make([]byte, 8)); n != 8 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	bulk.Expire(time.Now())
	if n, err := body.Read(make([]byte, 8)); n != 0 || !errors.Is(err, ErrExpired) {
		t.Errorf("%d more bytes, %v", n, err)
	}
}

// forgetDeletions makes an index forget the versions of deleted documents at its next refresh.
func forgetDeletions(t *testing.T, index string) {
	t.Helper()
	address, _ := testenv.Elasticsearch(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fmt.Sprintf("%s/%s/_settings", address, index), strings.NewReader(`{"index.gc_deletes": "0s"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("set gc_deletes: %s", response.Status)
	}
}
