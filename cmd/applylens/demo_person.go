package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/private"
	"github.com/applylens/applylens/internal/retry"
)

// demoUser owns the sample mail, so that it never mixes with the local user's own and goes with "user erase".
const demoUser = "demo"

// The states of the demonstration, in the file demo of the data directory. The second is followed by the time at which the
// user was created, so that it says nothing about a later user of the same id.
const (
	demoPlaying = "playing"
	demoPlayed  = "played "
)

func demoPath(dir string) string      { return filepath.Join(dir, "demo") }
func demoTokenPath(dir string) string { return filepath.Join(dir, "demo-token") }

// runDemo imports and decides as the user demo, and shows what was learned. What was played before is only shown. If it was
// interrupted, its user is erased and all is played anew, so that the sums are always the same.
func runDemo(ctx context.Context, p *process, links *links, env *environment) error {
	d := &demo{p: p, links: links, address: env.url}
	err := d.run(ctx, env)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

func (d *demo) run(ctx context.Context, env *environment) error {
	users := auth.NewStore(d.links.pool)
	played, err := d.prepare(ctx, users, env.dir)
	if err != nil {
		return err
	}
	user, err := users.CreateUser(ctx, auth.User{ID: demoUser})
	if err != nil {
		return err
	}
	if err := d.signIn(ctx, users, env); err != nil {
		return err
	}
	if !played {
		if err := d.play(ctx); err != nil {
			return err
		}
		if err := private.WriteFile(demoPath(env.dir), []byte(demoPlayed+stamp(user))); err != nil {
			return err
		}
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	return env.printNext(ctx, users, d.p.stdout)
}

func stamp(user auth.User) string { return user.CreatedAt.UTC().Format(time.RFC3339Nano) }

// prepare reports whether the demonstration was played. Otherwise there is no user demo when it returns, and everything that
// was there of an earlier one is gone.
func (d *demo) prepare(ctx context.Context, users *auth.Store, dir string) (played bool, err error) {
	state, err := os.ReadFile(demoPath(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	user, err := users.Find(ctx, demoUser)
	switch {
	case errors.Is(err, auth.ErrNoUser):
	case err != nil:
		return false, err
	case string(state) == demoPlayed+stamp(user):
		return true, nil
	case !strings.HasPrefix(string(state), demoPlaying):
		return false, fmt.Errorf("there is a user %q that the demonstration did not create: use another --data-dir, or start without --demo and run: applylens user erase %s", demoUser, demoUser)
	default:
		d.say("the demonstration was interrupted: beginning again")
		if _, err := person.Erase(ctx, d.links.pool, demoUser); err != nil {
			return false, err
		}
	}
	if err := private.WriteFile(demoPath(dir), []byte(demoPlaying)); err != nil {
		return false, err
	}
	return false, d.drained(ctx)
}

// drained waits until everything that the database knows of is folded: the import does not pass through the outbox, and an
// erasure that is still in there would reach the new mail.
func (d *demo) drained(ctx context.Context) error {
	err := retry.Until(ctx, foldedEvery, foldedEvery, func(int) error {
		backlog, err := outbox.ReadBacklog(ctx, d.links.pool)
		if err != nil {
			return retry.Stop(err)
		}
		if backlog.Rows > 0 {
			return errBehind
		}
		return nil
	})
	if err == nil {
		_, err = d.caughtUp(ctx)
	}
	return err
}

// signIn gets the user's token and adds it to the settings of other commands.
func (d *demo) signIn(ctx context.Context, users *auth.Store, env *environment) (err error) {
	if d.token, err = keptToken(ctx, users, demoUser, demoTokenPath(env.dir), auth.Owner); err != nil {
		return err
	}
	env.demoToken = d.token
	return env.write()
}
