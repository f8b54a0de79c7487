// Package weights learns what each person likes: it folds decisions and preference changes into one row per person and
// feature, in table weight_counts.
//
// It promises that no batching changes a bit: a batch folds to counts that the database adds, and the weight
// 0.2 * (approvals - rejections) is derived from them. Positions, repeats and retries are the loop's.
package weights

import (
	"cmp"
	"slices"

	"github.com/applylens/applylens/events"
)

// Lessons are what a run of events teaches, per person and feature. Two runs in a row teach the same as one run of
// all their events. Its memory is kept over Reset. It is not for concurrent use.
type Lessons struct {
	users        map[string]uint32
	learners     []learner // by the number that users gives
	features     map[string]uint32
	featureNames []string          // by the number that features gives
	indices      map[uint64]uint32 // user and feature number -> index in lessons
	lessons      []lesson
	textBytes    int
	order        []ranked
}

// learner is a person whom the run is about.
type learner struct {
	id        string
	forgotten uint32 // grows whenever everything before is forgotten
	erased    bool   // wholly, so that the counters know nothing of them either
	plus      uint32 // decisions that moved weights up, since then
	minus     uint32 // decisions that moved weights down, since then
}

// lesson is what the run teaches of one feature to one person.
type lesson struct {
	user, feature uint32
	since         uint32 // the learner's forgotten when this began; an older lesson counts for nothing
	approvals     int32
	rejections    int32
	cleared       bool // what the table has of the feature is forgotten
	taught        bool // there is something after that
	pinned        bool
	pin           float64
	updatedAt     int64 // greatest recorded_at in microseconds since 1970
}

// ranked is a lesson with the rank of its key among all keys of the run.
type ranked struct {
	rank   uint64
	lesson uint32
}

// NewLessons returns empty lessons.
func NewLessons() *Lessons {
	return &Lessons{
		users:    make(map[string]uint32),
		features: make(map[string]uint32),
		indices:  make(map[uint64]uint32),
	}
}

// Learn folds one event; the events of a person must come in log order. Kinds that teach nothing are ignored.
func (l *Lessons) Learn(event *events.Event) {
	switch event.Type {
	case events.TypeActionApproved:
		l.decide(event.Action, 1, 0)
	case events.TypeActionRejected:
		l.decide(event.Action, 0, 1)
	case events.TypeActionReverted:
		if event.Action.Decision == events.DecisionApproved {
			l.decide(event.Action, -1, 0)
		} else {
			l.decide(event.Action, 0, -1)
		}
	case events.TypePreferenceChanged:
		l.prefer(event.Preference)
	case events.TypeUserErased:
		l.erase(event.Erasure.UserID)
	}
}

func (l *Lessons) decide(action *events.Action, approvals, rejections int32) {
	user := l.user(action.UserID)
	if approvals > rejections {
		l.learners[user].plus++
	} else {
		l.learners[user].minus++
	}
	recordedAt := action.RecordedAt.UnixMicro()
	for _, feature := range action.Features {
		lesson := l.lesson(user, feature)
		lesson.approvals += approvals
		lesson.rejections += rejections
		lesson.teach(recordedAt)
	}
}

func (l *Lessons) prefer(preference *events.Preference) {
	switch preference.Op {
	case events.PreferencePin:
		lesson := l.lesson(l.user(preference.UserID), preference.Feature)
		lesson.pinned, lesson.pin = true, preference.Weight
		lesson.teach(preference.RecordedAt.UnixMicro())
	case events.PreferenceForget:
		l.lesson(l.user(preference.UserID), preference.Feature).clear()
	case events.PreferenceReset:
		l.forget(preference.UserID)
	}
}

// forget takes back everything that a person was taught, in this run and before.
func (l *Lessons) forget(user string) { l.learners[l.user(user)].forgotten++ }

// erase forgets a person, and what was counted of them.
func (l *Lessons) erase(user string) {
	l.forget(user)
	learner := &l.learners[l.user(user)]
	learner.erased, learner.plus, learner.minus = true, 0, 0
}

func (s *lesson) teach(recordedAt int64) {
	if !s.taught || recordedAt > s.updatedAt {
		s.updatedAt = recordedAt
	}
	s.taught = true
}

func (s *lesson) clear() {
	*s = lesson{user: s.user, feature: s.feature, since: s.since, cleared: true}
}

func (l *Lessons) user(id string) uint32 {
	number, known := l.users[id]
	if !known {
		number = uint32(len(l.learners))
		l.users[id] = number
		l.learners = append(l.learners, learner{id: id})
		l.textBytes += len(id)
	}
	return number
}

// lesson returns the lesson of a feature as of the last time when everything was forgotten. The pointer is valid
// until the next call.
func (l *Lessons) lesson(user uint32, feature string) *lesson {
	number, known := l.features[feature]
	if !known {
		number = uint32(len(l.featureNames))
		l.features[feature] = number
		l.featureNames = append(l.featureNames, feature)
		l.textBytes += len(feature)
	}
	key := uint64(user)<<32 | uint64(number)
	at, known := l.indices[key]
	since := l.learners[user].forgotten
	if !known {
		at = uint32(len(l.lessons))
		l.indices[key] = at
		l.lessons = append(l.lessons, lesson{user: user, feature: number, since: since})
	}
	found := &l.lessons[at]
	if found.since != since {
		*found = lesson{user: user, feature: number, since: since}
	}
	return found
}

// The memory that one entry takes in the maps and slices above, growth included, as a heap profile shows it.
const (
	learnerBytes = 100
	featureBytes = 80
	lessonBytes  = 100
)

// Size is a rough number of bytes that the lessons hold.
func (l *Lessons) Size() int {
	return l.textBytes + learnerBytes*len(l.learners) + featureBytes*len(l.featureNames) + lessonBytes*len(l.lessons)
}

// Reset forgets the run.
func (l *Lessons) Reset() {
	clear(l.users)
	clear(l.features)
	clear(l.indices)
	clear(l.learners) // the strings
	clear(l.featureNames)
	l.learners, l.featureNames, l.lessons = l.learners[:0], l.featureNames[:0], l.lessons[:0]
	l.textBytes = 0
}

// sorted returns the lessons that count, ordered by the bytes of user and feature, so that two writers lock rows in
// one order. The slice is valid until the next call.
func (l *Lessons) sorted() []ranked {
	users := ranks(len(l.learners), func(i uint32) string { return l.learners[i].id })
	features := ranks(len(l.featureNames), func(i uint32) string { return l.featureNames[i] })
	l.order = l.order[:0]
	for i := range l.lessons {
		found := &l.lessons[i]
		if found.since == l.learners[found.user].forgotten {
			l.order = append(l.order, ranked{uint64(users[found.user])<<32 | uint64(features[found.feature]), uint32(i)})
		}
	}
	slices.SortFunc(l.order, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	return l.order
}

// forgottenUsers returns the persons of whom everything before the run's last lessons is forgotten, in byte order.
func (l *Lessons) forgottenUsers() []string {
	var users []string
	for i := range l.learners {
		if l.learners[i].forgotten > 0 {
			users = append(users, l.learners[i].id)
		}
	}
	slices.Sort(users)
	return users
}

// ranks returns for each of count distinct texts its place in byte order.
func ranks(count int, text func(uint32) string) []uint32 {
	numbers := make([]uint32, count)
	for i := range numbers {
		numbers[i] = uint32(i)
	}
	slices.SortFunc(numbers, func(a, b uint32) int { return cmp.Compare(text(a), text(b)) })
	rank := make([]uint32, count)
	for place, number := range numbers {
		rank[number] = uint32(place)
	}
	return rank
}
