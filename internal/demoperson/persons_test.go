package demoperson

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
)

func newPersons(t *testing.T, most int) (*world.World, *Persons) {
	t.Helper()
	w := world.New(t)
	store, err := uploads.Open(w.Pool, filepath.Join(t.TempDir(), "uploads"), uploads.DefaultLimits())
	w.Must(err)
	for _, id := range []string{"alice", "bob"} {
		_, err := auth.NewStore(w.Pool).CreateUser(t.Context(), auth.User{ID: id})
		w.Must(err)
	}
	return w, &Persons{Pool: w.Pool, Store: store, Most: most, Log: w.Logger}
}

// A demo person whose day is over is erased, and nobody else.
func TestExpiry(t *testing.T) {
	w, p := newPersons(t, 2)
	old, err := p.Make(t.Context(), "alice")
	w.Must(err)
	fresh, err := p.Make(t.Context(), "bob")
	w.Must(err)
	w.Exec(`UPDATE users SET demo_until = now() - interval '1 second' WHERE id = $1`, old.ID)
	w.Background("what removes demo persons", func(ctx context.Context) error { p.Run(ctx); return nil })
	w.Until("the old one is gone", func() bool { return w.Int(`SELECT count(*) FROM users WHERE id = $1`, old.ID) == 0 })
	if left := w.Int(`SELECT count(*) FROM users WHERE id = ANY ($1)`, []string{"alice", "bob", fresh.ID}); left != 3 {
		t.Errorf("%d of three others are left", left)
	}
	if orders := w.Int(`SELECT count(*) FROM outbox WHERE type = 'applylens.user.erased.v1' AND user_id <> $1`, old.ID); orders != 0 {
		t.Errorf("%d orders to erase somebody else", orders)
	}
	again, err := p.Make(t.Context(), "alice")
	w.Must(err)
	if again.ID == old.ID {
		t.Error("she gets the one that is gone")
	}
}

// Whoever asks twice at the same time gets one.
func TestOneOfEach(t *testing.T) {
	w, p := newPersons(t, 1)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if _, err := p.Make(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if made := w.Int(`SELECT count(*) FROM users WHERE demo_of = 'alice'`); made != 1 {
		t.Errorf("%d demo persons", made)
	}
	if _, err := p.Make(t.Context(), "bob"); !errors.Is(err, auth.ErrDemos) {
		t.Errorf("one more than may be: %v", err)
	}
	made, err := p.Remove(t.Context(), &auth.Caller{User: auth.User{ID: "bob"}})
	if made || err != nil {
		t.Errorf("bob removed one: %v", err)
	}
}
