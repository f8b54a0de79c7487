package weights

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

// row is a row of weight_counts, and key its key.
type (
	key struct{ user, feature string }
	row struct {
		Approvals, Rejections int64
		Pinned                *float64
		UpdatedAt             time.Time
	}
	table map[key]row
)

// fold is the plain meaning of an event: one event, one step, no batch.
func (t table) fold(event events.Event) {
	switch event.Type {
	case events.TypeActionApproved:
		t.decide(event.Action, 1, 0)
	case events.TypeActionRejected:
		t.decide(event.Action, 0, 1)
	case events.TypeActionReverted:
		if event.Action.Decision == events.DecisionApproved {
			t.decide(event.Action, -1, 0)
		} else {
			t.decide(event.Action, 0, -1)
		}
	case events.TypePreferenceChanged:
		t.prefer(event.Preference)
	case events.TypeUserErased:
		t.forget(event.Erasure.UserID)
	}
}

func (t table) decide(action *events.Action, approvals, rejections int64) {
	for _, feature := range action.Features {
		at := key{action.UserID, feature}
		row := t[at]
		row.Approvals += approvals
		row.Rejections += rejections
		row.UpdatedAt = later(row.UpdatedAt, action.RecordedAt)
		t[at] = row
	}
}

func (t table) prefer(preference *events.Preference) {
	at := key{preference.UserID, preference.Feature}
	switch preference.Op {
	case events.PreferencePin:
		row := t[at]
		row.Pinned = &preference.Weight
		row.UpdatedAt = later(row.UpdatedAt, preference.RecordedAt)
		t[at] = row
	case events.PreferenceForget:
		delete(t, at)
	case events.PreferenceReset:
		t.forget(preference.UserID)
	}
}

func (t table) forget(user string) {
	for at := range t {
		if at.user == user {
			delete(t, at)
		}
	}
}

// add does to the table what the store does to the database.
func (t table) add(lessons *Lessons) {
	for _, user := range lessons.forgottenUsers() {
		t.forget(user)
	}
	for _, place := range lessons.sorted() {
		lesson := &lessons.lessons[place.lesson]
		at := key{lessons.learners[lesson.user].id, lessons.featureNames[lesson.feature]}
		if lesson.cleared {
			delete(t, at)
		}
		if !lesson.taught {
			continue
		}
		row := t[at]
		row.Approvals += int64(lesson.approvals)
		row.Rejections += int64(lesson.rejections)
		if lesson.pinned {
			pin := lesson.pin
			row.Pinned = &pin
		}
		row.UpdatedAt = later(row.UpdatedAt, time.UnixMicro(lesson.updatedAt).UTC())
		t[at] = row
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func decision(kind events.Type, user string, second int, features ...string) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: kind},
		Action:   &events.Action{UserID: user, Features: features, RecordedAt: start.Add(time.Duration(second) * time.Second)},
	}
}

func reversal(of, user string, second int, features ...string) events.Event {
	event := decision(events.TypeActionReverted, user, second, features...)
	event.Action.Decision = of
	return event
}

func preference(op, user, feature string, weight float64, second int) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: events.TypePreferenceChanged},
		Preference: &events.Preference{
			UserID: user, Op: op, Feature: feature, Weight: weight, RecordedAt: start.Add(time.Duration(second) * time.Second),
		},
	}
}

func erasure(user string, second int) events.Event {
	return events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased},
		Erasure:  &events.Erasure{UserID: user, RecordedAt: start.Add(time.Duration(second) * time.Second)},
	}
}

// anyEvent draws from few users and features, so that every kind meets every other. Its times go back and forth.
var anyEvent = rapid.Custom(func(t *rapid.T) events.Event {
	user := rapid.SampledFrom([]string{"ada", "bob", "Zoë"}).Draw(t, "user")
	feature := rapid.SampledFrom([]string{"category:promo", "contains:sale", "listid:a.b"})
	second := rapid.IntRange(0, 50).Draw(t, "second")
	features := rapid.SliceOfNDistinct(feature, 0, 3, rapid.ID).Draw(t, "features")
	switch rapid.IntRange(0, 20).Draw(t, "kind") {
	case 0:
		return erasure(user, second)
	case 1:
		return preference(events.PreferenceReset, user, "", 0, second)
	case 2, 3:
		return preference(events.PreferenceForget, user, feature.Draw(t, "feature"), 0, second)
	case 4, 5:
		return preference(events.PreferencePin, user, feature.Draw(t, "feature"), rapid.Float64Range(-2, 2).Draw(t, "weight"), second)
	case 6:
		return reversal(events.DecisionApproved, user, second, features...)
	case 7:
		return reversal(events.DecisionRejected, user, second, features...)
	case 8:
		return decision(events.TypeActionProposed, user, second, features...)
	case 9, 10, 11, 12, 13:
		return decision(events.TypeActionRejected, user, second, features...)
	}
	return decision(events.TypeActionApproved, user, second, features...)
})

// anyBatches draws a log that is cut into batches, some of them empty.
var anyBatches = rapid.SliceOfN(rapid.SliceOfN(anyEvent, 0, 12), 1, 6)

func TestAnyCutTeachesTheSame(t *testing.T) {
	lessons := NewLessons()
	rapid.Check(t, func(t *rapid.T) {
		got, want := table{}, table{}
		for _, batch := range anyBatches.Draw(t, "batches") {
			lessons.Reset()
			for _, event := range batch {
				lessons.Learn(&event)
				want.fold(event)
			}
			got.add(lessons)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLearn(t *testing.T) {
	const ada, promo, sale = "ada", "category:promo", "contains:sale"
	approved, rejected := events.TypeActionApproved, events.TypeActionRejected
	at := func(second int) time.Time { return start.Add(time.Duration(second) * time.Second) }
	half := 0.5
	for name, test := range map[string]struct {
		log  []events.Event
		want table
	}{
		"a decision counts for each feature": {
			[]events.Event{decision(approved, ada, 1, promo, sale), decision(rejected, ada, 2, sale)},
			table{{ada, promo}: {1, 0, nil, at(1)}, {ada, sale}: {1, 1, nil, at(2)}},
		},
		"a proposal teaches nothing": {
			[]events.Event{decision(events.TypeActionProposed, ada, 1, promo)},
			table{},
		},
		"a revert takes back what it lists": {
			[]events.Event{decision(approved, ada, 1, promo, sale), reversal(events.DecisionApproved, ada, 2, sale)},
			table{{ada, promo}: {1, 0, nil, at(1)}, {ada, sale}: {0, 0, nil, at(2)}},
		},
		"the greatest time stands": {
			[]events.Event{decision(approved, ada, 9, promo), decision(approved, ada, 3, promo)},
			table{{ada, promo}: {2, 0, nil, at(9)}},
		},
		"counting goes on below a pin": {
			[]events.Event{preference(events.PreferencePin, ada, promo, 0.5, 1), decision(rejected, ada, 2, promo)},
			table{{ada, promo}: {0, 1, &half, at(2)}},
		},
		"forgetting takes the pin and the counts": {
			[]events.Event{
				decision(approved, ada, 1, promo, sale), preference(events.PreferencePin, ada, promo, 2, 2),
				preference(events.PreferenceForget, ada, promo, 0, 3),
			},
			table{{ada, sale}: {1, 0, nil, at(1)}},
		},
		"learning begins anew after a reset": {
			[]events.Event{
				decision(approved, ada, 7, promo), preference(events.PreferenceReset, ada, "", 0, 8),
				decision(rejected, ada, 2, promo),
			},
			table{{ada, promo}: {0, 1, nil, at(2)}},
		},
		"erasing one leaves the other": {
			[]events.Event{decision(approved, ada, 1, promo), decision(approved, "bob", 1, promo), erasure(ada, 2)},
			table{{"bob", promo}: {1, 0, nil, at(1)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			lessons, got := NewLessons(), table{}
			for _, event := range test.log {
				lessons.Learn(&event)
			}
			got.add(lessons)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSizeGrowsAndResets(t *testing.T) {
	lessons := NewLessons()
	event := decision(events.TypeActionApproved, "ada", 1, "category:promo", "contains:sale")
	lessons.Learn(&event)
	one := lessons.Size()
	other := decision(events.TypeActionApproved, "bob", 1, "category:promo")
	lessons.Learn(&other)
	if two := lessons.Size(); one <= 0 || two <= one {
		t.Errorf("sizes %d and %d do not grow", one, two)
	}
	lessons.Reset()
	if size := lessons.Size(); size != 0 {
		t.Errorf("size after reset is %d", size)
	}
}

// manyEvents returns a log of 10,000 users with four features each, most events of few users, a third proposals.
func manyEvents(count int) []events.Event {
	random := rand.New(rand.NewPCG(1, 2))
	users := rand.NewZipf(random, 1.1, 10, 9_999)
	senders := rand.NewZipf(random, 1.1, 5, 1_999)
	kinds := []events.Type{events.TypeActionProposed, events.TypeActionApproved, events.TypeActionRejected}
	log := make([]events.Event, count)
	for i := range log {
		sender := senders.Uint64()
		log[i] = decision(kinds[random.IntN(3)], fmt.Sprintf("user-%04d", users.Uint64()), i,
			fmt.Sprintf("category:c%d", random.IntN(8)), fmt.Sprintf("sender_domain:example%d.com", sender),
			fmt.Sprintf("listid:news.example%d.com", sender), fmt.Sprintf("contains:t%d", random.IntN(17)))
	}
	return log
}

func BenchmarkLearn(b *testing.B) {
	log := manyEvents(1_000_000)
	for _, size := range []int{50_000, 300_000} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			lessons, learned := NewLessons(), 0
			for b.Loop() {
				lessons.Reset()
				at := learned % (len(log) - size)
				for i := range size {
					lessons.Learn(&log[at+i])
				}
				learned += size
			}
			b.ReportMetric(float64(learned)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(lessons.Size())/float64(len(lessons.lessons)), "B/lesson")
		})
	}
}
