// Package demoperson makes demo persons: users of their own with sample mail, as whom somebody looks around without importing anything. A
// demo person is an ordinary person with the rights of an owner, and sees nothing of anybody else. Each person has one at most, all
// together are few, and each is removed after a day, or when whoever uses it says so: by the erasure that every person has
// (internal/person). The sample is imported as an uploaded file is.
package demoperson

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/internal/uploads"
)

// lifetime is how long a demo person stays.
const lifetime = 24 * time.Hour

// expireEvery is how often demo persons whose time is up are looked for.
const expireEvery = time.Minute

// fileName is what the sample is called among a demo person's uploads.
const fileName = "sample mail"

// Persons makes and removes demo persons. It is safe for concurrent use.
type Persons struct {
	Pool  *pgxpool.Pool
	Store *uploads.Store
	Most  int // at once
	Log   *slog.Logger
}

// Person is a demo person, and until when.
type Person struct {
	ID    string
	Until time.Time
}

// Make returns the demo person of somebody, with sample mail that is on its way. The error is auth.ErrDemos if there are as many as may
// be.
func (p *Persons) Make(ctx context.Context, of string) (*Person, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program instead
	wanted := auth.User{ID: "demo-" + hex.EncodeToString(random[:]), Addresses: []string{sample.Owner}, DemoUntil: time.Now().Add(lifetime).Truncate(time.Microsecond)}
	user, err := auth.NewStore(p.Pool).CreateDemo(ctx, wanted, of, p.Most)
	if err != nil {
		return nil, err
	}
	if err := p.fill(ctx, user.ID); err != nil {
		return nil, err
	}
	return &Person{user.ID, user.DemoUntil}, nil
}

// fill gives a demo person the sample mail, unless they have it.
func (p *Persons) fill(ctx context.Context, id string) error {
	list, _, err := p.Store.List(ctx, id)
	if err != nil {
		return err
	}
	for _, u := range list {
		if u.State != uploads.Receiving && u.State != uploads.Failed {
			return nil
		}
	}
	content, err := io.ReadAll(sample.Recent(time.Now()))
	if err != nil {
		return err
	}
	return p.Store.Put(ctx, id, fileName, content)
}

// Remove erases a demo person, or the ones that somebody made. It tells whether there was any.
func (p *Persons) Remove(ctx context.Context, caller *auth.Caller) (bool, error) {
	if caller.Demo() {
		return true, p.erase(ctx, []string{caller.ID})
	}
	made, err := actions.DemosOf(ctx, p.Pool, caller.ID)
	if err != nil {
		return false, err
	}
	for _, demo := range made {
		if err := p.erase(ctx, []string{demo.ID}); err != nil {
			return true, err
		}
	}
	return len(made) > 0, nil
}

func (p *Persons) erase(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if _, err := person.EraseKnown(ctx, p.Pool, id); err != nil && !errors.Is(err, person.ErrUnknown) {
			return fmt.Errorf("remove a demo person: %w", err)
		}
	}
	return nil
}

// Run removes demo persons whose time is up, until ctx ends.
func (p *Persons) Run(ctx context.Context) {
	for ; ctx.Err() == nil; _ = retry.Wait(ctx, expireEvery) {
		if err := p.expire(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("demo persons whose time is up cannot be removed", "error", err)
		}
	}
}

func (p *Persons) expire(ctx context.Context) error {
	ids, err := actions.ExpiredDemos(ctx, p.Pool)
	if err != nil {
		return err
	}
	return p.erase(ctx, ids)
}
