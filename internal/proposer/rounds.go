package proposer

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/retry"
)

const (
	// personsAtOnce and versionMails are how many persons are listed, and how many mails of a version that became live are looked
	// at, at once.
	personsAtOnce = 500
	versionMails  = 5000

	// forgetEvery is how often what was noted of persons who have no turns any more is forgotten.
	forgetEvery = time.Minute
)

// How long a person has no turn after one that failed: at first, and at most, by whose fault it is.
const (
	firstRetry   = 200 * time.Millisecond
	longestRetry = 10 * time.Second
	policyRetry  = 5 * time.Minute
)

// standing is what is noted of a person between turns.
type standing struct {
	running   bool
	size      int       // how many mails the next turn considers at most
	failures  int       // turns that failed in a row
	notBefore time.Time // of the next turn
	lateAfter time.Time // when to look at late mail again
}

// result is what a turn came to.
type result struct {
	person string
	did    bool // it considered some mail: there may be more
	standing
}

// rounds gives persons turns, each one turn after the other in a round, however much mail waits. Its loop alone touches it, but
// for ended.
type rounds struct {
	*proposer
	persons map[string]standing
	running int
	ended   chan result
	forgot  time.Time
}

func newRounds(p *proposer) *rounds {
	return &rounds{proposer: p, persons: map[string]standing{}, ended: make(chan result, p.Workers), forgot: time.Now()}
}

// run goes round until ctx ends, or held, which is asked before each round, or the database fails. When it returns, no turn is
// under way.
func (r *rounds) run(ctx context.Context, held func() error) error {
	turns, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for r.running > 0 {
			r.settle(<-r.ended)
		}
	}()
	for ctx.Err() == nil {
		if err := held(); err != nil {
			return err
		}
		again, err := r.lookThroughVersions(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := r.round(turns); err != nil {
			return err
		}
		if !again {
			r.rest(ctx, max(r.Poll, 4*time.Since(began)/time.Duration(r.Workers)))
		}
	}
	return ctx.Err()
}

// round gives a turn to everybody who has mail that waits, as far as they may have one now.
func (r *rounds) round(ctx context.Context) error {
	r.forget()
	for after, more := "", true; more; {
		persons, err := actions.WaitingPersons(ctx, r.Pool, after, personsAtOnce)
		if err != nil {
			return err
		}
		for _, person := range persons {
			after = person.ID
			if person.CreatedAt == nil {
				continue // nobody to propose to, yet
			}
			if err := r.begin(ctx, person); err != nil {
				return err
			}
		}
		more = len(persons) == personsAtOnce
	}
	return nil
}

// begin lets a person have a turn as soon as a worker is free.
func (r *rounds) begin(ctx context.Context, person actions.Person) error {
	for r.running == r.Workers {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ended := <-r.ended:
			r.settle(ended)
		}
	}
	at, known := r.persons[person.ID]
	if !known {
		at.size = r.TurnMails
	}
	if at.running || time.Now().Before(at.notBefore) {
		return nil
	}
	at.running = true
	r.persons[person.ID] = at
	r.running++
	go func() { r.ended <- r.take(ctx, person, at) }()
	return nil
}

func (r *rounds) settle(ended result) {
	r.running--
	ended.running = false
	r.persons[ended.person] = ended.standing
}

// rest waits until a turn has ended that may be followed by another, but for no longer than d.
func (r *rounds) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case ended := <-r.ended:
			r.settle(ended)
			if ended.did {
				return
			}
		}
	}
}

// forget forgets, now and then, those of whom nothing has to be known.
func (r *rounds) forget() {
	now := time.Now()
	if now.Sub(r.forgot) < forgetEvery {
		return
	}
	r.forgot = now
	maps.DeleteFunc(r.persons, func(_ string, at standing) bool {
		return !at.running && now.After(at.notBefore) && now.After(at.lateAfter) && at.size == r.TurnMails
	})
}

// lookThroughVersions looks for new mail in a version that became live, and tells whether there may be more of it.
func (r *rounds) lookThroughVersions(ctx context.Context) (more bool, err error) {
	err = pgx.BeginFunc(ctx, r.Pool, func(tx pgx.Tx) error {
		more, err = actions.LookThroughVersions(ctx, tx, versionMails)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look through versions: %w", err)
	}
	return more, nil
}

// take lets a person have a turn, and decides what of its outcome matters for the next.
func (r *rounds) take(ctx context.Context, person actions.Person, at standing) result {
	t := &turn{proposer: r.proposer, person: person, standing: at}
	did, err := t.run(ctx)
	at = t.standing
	switch fault := faultOf(err); {
	case err == nil && did:
		at.failures, at.size = 0, min(2*at.size, r.TurnMails)
	case err == nil:
		at.failures, at.notBefore = 0, time.Now().Add(r.Poll)
	case ctx.Err() != nil:
	case fault == tooMuch && at.size > 1:
		at.size, did = at.size/2, true
	default:
		at.failures++
		at.notBefore = time.Now().Add(retry.Delay(at.failures, firstRetry, fault.longest(), rand.Float64()))
		r.observers.failures.WithLabelValues(string(fault)).Inc()
		r.Log.Warn("a person's new mail has to wait", "reason", string(fault), "failures", at.failures, "error", err)
	}
	return result{person.ID, did, at}
}
