package actions_test

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
)

// TestABudgetIsSpentOnce: however many processes ask at once, a person has so many requests a day and no more.
func TestABudgetIsSpentOnce(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.user("bob")
	spend := func(user string, most int) bool {
		left, err := actions.Spend(t.Context(), w.Pool, user, most)
		if err != nil {
			t.Error(err)
		}
		return left
	}
	if spend("ann", 0) {
		t.Error("a budget of nothing was spent")
	}
	w.Exec("DELETE FROM chat_usage")
	var had atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if spend("ann", 7) {
				had.Add(1)
			}
		})
	}
	all.Wait()
	if had.Load() != 7 || spend("ann", 7) || !spend("bob", 7) || !spend("ann", 8) {
		t.Errorf("%d of 7 were spent", had.Load())
	}
	w.Exec("UPDATE chat_usage SET day = day - 1")
	if !spend("ann", 1) || spend("ann", 1) {
		t.Error("a new day does not begin with nothing spent")
	}
}

// TestAStreamIsUsedOnce: of several that run a question at once one is the first, and nobody else runs it.
func TestAStreamIsUsedOnce(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.user("bob")
	var b pgx.Batch
	actions.KeepStream(&b, "ann", "id", json.RawMessage(`{"q":"x"}`))
	w.Must(w.Pool.SendBatch(t.Context(), &b).Close())
	for _, f := range [][2]string{{"bob", "id"}, {"ann", "other"}} {
		if _, _, err := actions.UseStream(t.Context(), w.Pool, f[0], f[1]); !errors.Is(err, actions.ErrNoStream) {
			t.Errorf("%v: %v", f, err)
		}
	}
	var firsts atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			request, again, err := actions.UseStream(t.Context(), w.Pool, "ann", "id")
			if err != nil || len(request) == 0 {
				t.Error(err)
			}
			if !again {
				firsts.Add(1)
			}
		})
	}
	all.Wait()
	if firsts.Load() != 1 {
		t.Errorf("%d were the first", firsts.Load())
	}
}

func TestWhatWasProposedAboutMails(t *testing.T) {
	w := newOwner(t)
	w.user("ann")
	w.user("bob")
	decided, waiting := w.propose("ann", "m", 1), w.propose("ann", "m", 2)
	w.propose("ann", "n", 1)
	w.propose("bob", "m", 1)
	w.decide("ann", decided, actions.Approved)
	w.Exec("UPDATE actions SET created_at = created_at - interval '1 hour' WHERE policy_id = 1")
	about := func(most int) map[events.UUID]string {
		list, err := actions.About(t.Context(), w.Pool, "ann", []string{"m", "x"}, most)
		w.Must(err)
		found := map[events.UUID]string{}
		for _, a := range list {
			found[a.ID] = a.Status
		}
		return found
	}
	if got := about(10); len(got) != 2 || got[decided] != actions.Approved || got[waiting] != actions.Pending {
		t.Error(got)
	}
	if got := about(1); len(got) != 1 || got[waiting] == "" {
		t.Error(got)
	}
	w.Exec("UPDATE actions SET created_at = now() - interval '31 days' WHERE status = 'pending'")
	if got := about(10); len(got) != 1 || got[decided] == "" {
		t.Error(got)
	}
}
