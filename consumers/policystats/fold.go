// Package policystats counts how each policy fares: per person, policy and UTC day of the proposal how often it fired,
// was approved, was rejected, and missed what its owner then did by hand, in table policy_days.
//
// It promises that no batching changes a count: a batch folds to differences that the database adds. Windows, precision
// and recall are computed when somebody reads. Positions, repeats and retries are the loop's.
package policystats

import (
	"cmp"
	"slices"
	"time"

	"github.com/applylens/applylens/events"
)

// Tally is what a run of events adds to the counts. Two runs in a row add the same as one run of all their events. Its
// memory is kept over Reset. It is not for concurrent use.
type Tally struct {
	numbers   map[string]uint32
	users     []user // by the number that numbers gives
	places    map[bucket]uint32
	counts    []count
	textBytes int
	order     []uint32
}

// user is a person whom the run is about.
type user struct {
	id     string
	erased uint32 // grows with every user.erased
}

// bucket is the key of a row.
type bucket struct {
	user   uint32
	day    int32 // since 1970-01-01, UTC
	policy int64
}

// count is what the run adds to a row.
type count struct {
	bucket
	since     uint32 // the user's erased when this began; an older count adds nothing
	fired     int32
	approved  int32 // without those that were reverted
	rejected  int32
	missed    int32
	updatedAt int64 // greatest recorded_at in microseconds since 1970
	seen      seen
}

// seen is what the run told of a row, reverted or not: counters only grow, until their person is erased.
type seen struct{ proposed, approved, rejected int32 }

// NewTally returns an empty tally.
func NewTally() *Tally {
	return &Tally{numbers: make(map[string]uint32), places: make(map[bucket]uint32)}
}

// Fold adds one event; the events of a person must come in log order. Kinds that count nothing are ignored.
func (t *Tally) Fold(event *events.Event) {
	switch event.Type {
	case events.TypeActionProposed:
		found := t.count(event.Action, event.Action.PolicyID)
		found.fired++
		found.seen.proposed++
	case events.TypeActionApproved:
		found := t.count(event.Action, event.Action.PolicyID)
		found.approved++
		found.seen.approved++
	case events.TypeActionRejected:
		found := t.count(event.Action, event.Action.PolicyID)
		found.rejected++
		found.seen.rejected++
	case events.TypeActionReverted:
		t.revert(event.Action)
	case events.TypeActionPerformed:
		for _, policy := range event.Action.Policies {
			t.count(event.Action, policy).missed++
		}
	case events.TypeUserErased:
		t.users[t.user(event.Erasure.UserID)].erased++
	}
}

func (t *Tally) revert(action *events.Action) {
	found := t.count(action, action.PolicyID)
	if action.Decision == events.DecisionApproved {
		found.approved--
	} else {
		found.rejected--
	}
}

// count returns what is added for a policy on the day when action was proposed. The pointer is valid until the next
// call.
func (t *Tally) count(action *events.Action, policy int64) *count {
	key := bucket{t.user(action.UserID), day(action.ProposedAt), policy}
	at, known := t.places[key]
	if !known {
		at = uint32(len(t.counts))
		t.places[key] = at
		t.counts = append(t.counts, count{bucket: key, since: t.users[key.user].erased})
	}
	found := &t.counts[at]
	if since := t.users[key.user].erased; found.since != since {
		*found = count{bucket: key, since: since}
	}
	found.updatedAt = max(found.updatedAt, action.RecordedAt.UnixMicro())
	return found
}

func (t *Tally) user(id string) uint32 {
	number, known := t.numbers[id]
	if !known {
		number = uint32(len(t.users))
		t.numbers[id] = number
		t.users = append(t.users, user{id: id})
		t.textBytes += len(id)
	}
	return number
}

// day returns the UTC day of at, counted from 1970-01-01.
func day(at time.Time) int32 {
	const seconds = 24 * 60 * 60
	unix := at.Unix()
	days := unix / seconds
	if unix%seconds < 0 {
		days--
	}
	return int32(days)
}

// The memory that one entry takes in the maps and slices above, growth included, as a heap profile shows it.
const (
	userBytes  = 100
	countBytes = 120
)

// Size is a rough number of bytes that the tally holds.
func (t *Tally) Size() int { return t.textBytes + userBytes*len(t.users) + countBytes*len(t.counts) }

// Reset forgets the run.
func (t *Tally) Reset() {
	clear(t.numbers)
	clear(t.places)
	clear(t.users) // the strings
	t.users, t.counts, t.textBytes = t.users[:0], t.counts[:0], 0
}

// sorted returns the indexes of the counts that stand, ordered by the bytes of the user, policy and day, so that two
// writers lock rows in one order. The slice is valid until the next call.
func (t *Tally) sorted() []uint32 {
	rank := t.ranks()
	t.order = t.order[:0]
	for i := range t.counts {
		if t.stands(&t.counts[i]) {
			t.order = append(t.order, uint32(i))
		}
	}
	slices.SortFunc(t.order, func(i, j uint32) int {
		a, b := &t.counts[i], &t.counts[j]
		return cmp.Or(cmp.Compare(rank[a.user], rank[b.user]), cmp.Compare(a.policy, b.policy), cmp.Compare(a.day, b.day))
	})
	return t.order
}

// stands tells whether a count's person was not erased since.
func (t *Tally) stands(c *count) bool { return c.since == t.users[c.user].erased }

// ranks returns for each user its place in byte order.
func (t *Tally) ranks() []uint32 {
	numbers := make([]uint32, len(t.users))
	for i := range numbers {
		numbers[i] = uint32(i)
	}
	slices.SortFunc(numbers, func(a, b uint32) int { return cmp.Compare(t.users[a].id, t.users[b].id) })
	rank := make([]uint32, len(numbers))
	for place, number := range numbers {
		rank[number] = uint32(place)
	}
	return rank
}

// erased returns the persons of whom everything before the run's last counts is deleted, in byte order.
func (t *Tally) erased() []string {
	var users []string
	for i := range t.users {
		if t.users[i].erased > 0 {
			users = append(users, t.users[i].id)
		}
	}
	slices.Sort(users)
	return users
}
