package policystats

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

// row is a row of policy_days, and key its key.
type (
	key struct {
		user   string
		policy int64
		day    string
	}
	row struct {
		Fired, Approved, Rejected, Missed int64
		UpdatedAt                         time.Time
	}
	table map[key]row
)

// fold is the plain meaning of an event: one event, one step, no batch.
func (t table) fold(event events.Event) {
	action := event.Action
	switch event.Type {
	case events.TypeActionProposed:
		t.step(action, action.PolicyID, row{Fired: 1})
	case events.TypeActionApproved:
		t.step(action, action.PolicyID, row{Approved: 1})
	case events.TypeActionRejected:
		t.step(action, action.PolicyID, row{Rejected: 1})
	case events.TypeActionReverted:
		if action.Decision == events.DecisionApproved {
			t.step(action, action.PolicyID, row{Approved: -1})
		} else {
			t.step(action, action.PolicyID, row{Rejected: -1})
		}
	case events.TypeActionPerformed:
		for _, policy := range action.Policies {
			t.step(action, policy, row{Missed: 1})
		}
	case events.TypeUserErased:
		t.erase(event.Erasure.UserID)
	}
}

func (t table) step(action *events.Action, policy int64, by row) {
	by.UpdatedAt = action.RecordedAt
	t.plus(key{action.UserID, policy, action.ProposedAt.UTC().Format(time.DateOnly)}, by)
}

func (t table) plus(at key, by row) {
	row := t[at]
	row.Fired += by.Fired
	row.Approved += by.Approved
	row.Rejected += by.Rejected
	row.Missed += by.Missed
	if by.UpdatedAt.After(row.UpdatedAt) {
		row.UpdatedAt = by.UpdatedAt
	}
	t[at] = row
}

func (t table) erase(user string) {
	for at := range t {
		if at.user == user {
			delete(t, at)
		}
	}
}

// add does to the table what the store does to the database.
func (t table) add(tally *Tally) {
	for _, user := range tally.erased() {
		t.erase(user)
	}
	for _, i := range tally.sorted() {
		count := &tally.counts[i]
		day := time.Unix(int64(count.day)*24*60*60, 0).UTC().Format(time.DateOnly)
		t.plus(key{tally.users[count.user].id, count.policy, day}, row{
			int64(count.fired), int64(count.approved), int64(count.rejected), int64(count.missed),
			time.UnixMicro(count.updatedAt).UTC(),
		})
	}
}

var midnight = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func action(kind events.Type, user string, policy int64, proposedAt time.Time) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: kind},
		Action:   &events.Action{UserID: user, PolicyID: policy, ProposedAt: proposedAt, RecordedAt: proposedAt.Add(time.Second)},
	}
}

func reversal(of, user string, policy int64, proposedAt time.Time) events.Event {
	event := action(events.TypeActionReverted, user, policy, proposedAt)
	event.Action.Decision = of
	return event
}

func performed(user string, at time.Time, policies ...int64) events.Event {
	event := action(events.TypeActionPerformed, user, 0, at)
	event.Action.Policies = policies
	return event
}

func erasure(user string) events.Event {
	return events.Event{Envelope: events.Envelope{Type: events.TypeUserErased}, Erasure: &events.Erasure{UserID: user}}
}

// anyEvent draws from few users, policies and days, so that every kind meets every other. Its times go back and forth.
var anyEvent = rapid.Custom(func(t *rapid.T) events.Event {
	user := rapid.SampledFrom([]string{"ada", "bob", "Zoë"}).Draw(t, "user")
	policy := rapid.Int64Range(1, 3)
	at := midnight.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "minutes")) * time.Minute)
	switch rapid.IntRange(0, 12).Draw(t, "kind") {
	case 0:
		return erasure(user)
	case 1:
		return reversal(events.DecisionApproved, user, policy.Draw(t, "policy"), at)
	case 2:
		return reversal(events.DecisionRejected, user, policy.Draw(t, "policy"), at)
	case 3, 4:
		return performed(user, at, rapid.SliceOfNDistinct(policy, 0, 3, rapid.ID).Draw(t, "policies")...)
	case 5, 6:
		return action(events.TypeActionRejected, user, policy.Draw(t, "policy"), at)
	case 7, 8:
		return action(events.TypeActionApproved, user, policy.Draw(t, "policy"), at)
	}
	return action(events.TypeActionProposed, user, policy.Draw(t, "policy"), at)
})

// anyBatches draws a log that is cut into batches, some of them empty.
var anyBatches = rapid.SliceOfN(rapid.SliceOfN(anyEvent, 0, 12), 1, 6)

func TestAnyCutCountsTheSame(t *testing.T) {
	tally := NewTally()
	rapid.Check(t, func(t *rapid.T) {
		got, want := table{}, table{}
		for _, batch := range anyBatches.Draw(t, "batches") {
			tally.Reset()
			for _, event := range batch {
				tally.Fold(&event)
				want.fold(event)
			}
			got.add(tally)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestFold(t *testing.T) {
	proposed, approved := events.TypeActionProposed, events.TypeActionApproved
	today, yesterday := midnight.Add(time.Hour), midnight.Add(-time.Second)
	second := func(at time.Time) time.Time { return at.Add(time.Second) }
	for name, test := range map[string]struct {
		log  []events.Event
		want table
	}{
		"a decision counts on the day of its proposal": {
			[]events.Event{action(proposed, "ada", 7, yesterday), func() events.Event {
				late := action(approved, "ada", 7, yesterday)
				late.Action.DecidedAt, late.Action.RecordedAt = today, today
				return late
			}()},
			table{{"ada", 7, "2026-02-28"}: {Fired: 1, Approved: 1, UpdatedAt: today}},
		},
		"the day is that of UTC": {
			[]events.Event{action(proposed, "ada", 7, today.In(time.FixedZone("", -5*60*60)))},
			table{{"ada", 7, "2026-03-01"}: {Fired: 1, UpdatedAt: second(today).In(time.FixedZone("", -5*60*60))}},
		},
		"a revert takes a decision back": {
			[]events.Event{
				action(proposed, "ada", 7, today), action(events.TypeActionRejected, "ada", 7, today),
				reversal(events.DecisionRejected, "ada", 7, today), action(approved, "ada", 7, today),
			},
			table{{"ada", 7, "2026-03-01"}: {Fired: 1, Approved: 1, UpdatedAt: second(today)}},
		},
		"a manual action is missed by each policy": {
			[]events.Event{performed("ada", today, 7, 8)},
			table{
				{"ada", 7, "2026-03-01"}: {Missed: 1, UpdatedAt: second(today)},
				{"ada", 8, "2026-03-01"}: {Missed: 1, UpdatedAt: second(today)},
			},
		},
		"counting begins anew after an erasure": {
			[]events.Event{
				action(proposed, "ada", 7, today), action(proposed, "bob", 8, today), erasure("ada"),
				action(approved, "ada", 7, today),
			},
			table{
				{"ada", 7, "2026-03-01"}: {Approved: 1, UpdatedAt: second(today)},
				{"bob", 8, "2026-03-01"}: {Fired: 1, UpdatedAt: second(today)},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tally, got := NewTally(), table{}
			for _, event := range test.log {
				tally.Fold(&event)
			}
			got.add(tally)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDay(t *testing.T) {
	for text, want := range map[string]int32{
		"1970-01-01T00:00:00Z": 0, "1970-01-01T23:59:59.999Z": 0, "1969-12-31T23:59:59.999Z": -1, "2000-03-01T00:00:00Z": 11017,
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := day(at); got != want {
			t.Errorf("%s is day %d, not %d", text, got, want)
		}
	}
}

// manyEvents returns a log of 10,000 users, most events of few of them, with twelve policies each over thirty days.
func manyEvents(count int) []events.Event {
	random := rand.New(rand.NewPCG(1, 2))
	users := rand.NewZipf(random, 1.1, 10, 9_999)
	kinds := []events.Type{events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected}
	log := make([]events.Event, count)
	for i := range log {
		user := users.Uint64()
		at := midnight.Add(time.Duration(i) * 30 * 24 * time.Hour / time.Duration(count))
		log[i] = action(kinds[random.IntN(3)], fmt.Sprintf("user-%04d", user), int64(user*12)+random.Int64N(12), at)
	}
	return log
}

func BenchmarkFold(b *testing.B) {
	log := manyEvents(1_000_000)
	for _, size := range []int{50_000, 300_000} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			tally, folded := NewTally(), 0
			for b.Loop() {
				tally.Reset()
				at := folded % (len(log) - size)
				for i := range size {
					tally.Fold(&log[at+i])
				}
				folded += size
			}
			b.ReportMetric(float64(folded)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
