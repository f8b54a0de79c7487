package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/producers/mailimport"
)

// foldSample folds the sample mail into a person's mailbox, and returns how much it was.
func foldSample(w *deployment, user string) int {
	w.Helper()
	now := time.Now()
	reader, batch, count := mailimport.NewReader(sample.Recent(now), "sample"), mailbox.Group().NewBatch(), 0
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		w.Must(err)
		event, err := mailimport.Parse(raw, mailimport.Options{UserID: user, RecordedAt: now})
		w.Must(err)
		batch.Add(event)
		count++
	}
	err := postgres.InTx(w.Context(), w.Pool, func(tx *postgres.Tx) error {
		return batch.Write(w.Context(), tx, consumers.Version{Number: 1})
	})
	w.Must(err)
	return count
}

// TestEveryDefaultPolicyMatchesSampleMail asks the API, as somebody who starts with the sample and the default set.
func TestEveryDefaultPolicyMatchesSampleMail(t *testing.T) {
	w := newDeployment(t)
	if _, err := w.users.CreateUser(t.Context(), auth.User{ID: "new"}); err != nil {
		t.Fatal(err)
	}
	token, err := w.users.CreateToken(t.Context(), "new", auth.Bearer, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p := &person{w, "new", token}
	mails := foldSample(w, p.id)
	policies := decode[[]policyView](p.get("/policy").want(http.StatusOK))
	same(t, len(policies), len(policy.Defaults()))
	for _, one := range policies {
		got := decode[tried](p.post(fmt.Sprintf("/policy/%d/test", one.ID), nil).want(http.StatusOK))
		same(t, []any{got.Tried, got.Complete}, []any{mails, true})
		t.Logf("%q matches %d of %d mails", one.Name, got.Count, got.Tried)
		if got.Count < 10 || got.Count > mails/2 {
			t.Errorf("%q matches %d of %d mails: too few to see, or too many to want", one.Name, got.Count, mails)
		}
	}
}
