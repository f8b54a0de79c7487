// Package enrichment keeps the newest known state of each job application, as an applicant tracking system told it, in
// table applications, with the keys by which its mail is found in application_keys, and marks whose mail has to be
// looked at again.
//
// It promises that the highest src_version wins in whatever order and however often the events come; of two events with
// one version the first stands. Matching mail to applications is left to whoever reads. Positions and retries are the
// loop's.
package enrichment

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
)

// Changes are the newest states that a run of events brings, per application. Two runs in a row bring the same as one
// run of all their events. They are not for concurrent use.
type Changes struct {
	newest map[key]state
	bytes  int
}

// key identifies an application.
type key struct{ system, applicationID string }

// state is an application at one version; nothing but the version is known of a removed one.
type state struct {
	addresses       []string // lower case, sorted, without repeats
	company         string
	stage           string
	lastStageChange time.Time // zero when unknown
	interviewDate   time.Time // zero when there is none
	srcVersion      int64
	removed         bool
	recordedAt      time.Time
}

// NewChanges returns empty changes.
func NewChanges() *Changes { return &Changes{newest: make(map[key]state)} }

// Fold adds one event. Kinds that are not about applications are ignored.
func (c *Changes) Fold(event *events.Event) {
	switch event.Type {
	case events.TypeApplicationChanged:
		c.put(event.Application, changed)
	case events.TypeApplicationRemoved:
		c.put(event.Application, removed)
	}
}

func (c *Changes) put(application *events.Application, toState func(*events.Application) state) {
	at := key{application.System, application.ApplicationID}
	before, known := c.newest[at]
	if known && application.SrcVersion <= before.srcVersion {
		return
	}
	after := toState(application)
	c.newest[at] = after
	c.bytes += after.size() - before.size()
	if !known {
		c.bytes += len(at.system) + len(at.applicationID)
	}
}

func changed(application *events.Application) state {
	return state{
		addresses:       normalize(application.Addresses),
		company:         application.Company,
		stage:           application.Stage,
		lastStageChange: application.LastStageChange,
		interviewDate:   application.InterviewDate,
		srcVersion:      application.SrcVersion,
		recordedAt:      application.RecordedAt,
	}
}

func removed(application *events.Application) state {
	return state{addresses: []string{}, srcVersion: application.SrcVersion, removed: true, recordedAt: application.RecordedAt}
}

// normalize returns a sorted copy in lower case without repeats.
func normalize(addresses []string) []string {
	lower := make([]string, len(addresses))
	for i, address := range addresses {
		lower[i] = strings.ToLower(address)
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// match is a key by which an application meets mail: an address as ats.Key has it and a name of the company as
// ats.Names has it. The key with an empty company is there for each address.
type match struct {
	Address string `json:"address"`
	Company string `json:"company"`
	Whole   bool   `json:"whole"` // as ats.Name has it
}

// matches returns the keys of the application, each once.
func (s *state) matches() []match {
	names := append([]ats.Name{{Whole: true}}, ats.Names(s.company)...)
	matches, seen := make([]match, 0, len(s.addresses)*len(names)), map[string]bool{}
	for _, address := range s.addresses {
		address = ats.Key(address)
		if seen[address] {
			continue
		}
		seen[address] = true
		for _, name := range names {
			matches = append(matches, match{address, name.Text, name.Whole})
		}
	}
	return matches
}

// stateBytes is the memory of a state without its texts, and of its place in the map.
const stateBytes = 400

func (s *state) size() int {
	if s.srcVersion == 0 {
		return 0
	}
	size := stateBytes + len(s.company) + len(s.stage)
	for _, address := range s.addresses {
		size += 16 + len(address)
	}
	return size
}

// Size is a rough number of bytes that the changes hold.
func (c *Changes) Size() int { return c.bytes }

// Reset forgets the run.
func (c *Changes) Reset() {
	clear(c.newest)
	c.bytes = 0
}

// sorted returns the keys in byte order, so that two writers lock rows in one order.
func (c *Changes) sorted() []key {
	return slices.SortedFunc(maps.Keys(c.newest), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.system, b.system), cmp.Compare(a.applicationID, b.applicationID))
	})
}
