package grouptest

import (
	"fmt"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/world"
)

// PublishMixture writes own and foreign decisions, repeats and bad records.
func (l *Loop) PublishMixture(from, to int) {
	l.Helper()
	for n := from; n < to; n++ {
		user := fmt.Sprint("user-", n%11)
		own := l.Own(world.Decision(user, n))
		foreign := l.Foreign(world.Decision(user, 100_000+n, world.Rejected))
		l.Publish(own, foreign)
		if n%7 == 0 {
			l.Publish(own, foreign)
		}
		if n%50 == 0 {
			bad := l.Foreign(world.Decision(user, 200_000+n))
			bad.Value = []byte("{}")
			l.Publish(bad)
		}
	}
}

// failing is a batch whose Add does half of its work and then panics.
type failing struct {
	consumers.Batch
	at events.UUID
}

func (f *failing) Add(e *events.Event) {
	f.Batch.Add(e)
	if e.Action.ActionID == f.at {
		panic("a bug")
	}
}

// FailingAt gives the group a bug that a decision meets.
func FailingAt(e *events.Event) func(*consumers.Config) {
	return func(c *consumers.Config) {
		mended, group := c.Group.NewBatch, *c.Group
		group.NewBatch = func() consumers.Batch { return &failing{mended(), e.Action.ActionID} }
		c.Group = &group
	}
}
