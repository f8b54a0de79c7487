package oracle

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// effect is the identity by which a group deduplicates events.
type effect struct{ group, source, user, id string }

// folder folds records one by one.
type folder struct {
	trust      Trust
	expected   *Expected
	partitions map[string]int    // partition count by topic
	effects    map[effect]string // processed effects, with their content
}

// hasher is franz-go's murmur2 partitioner, which is compatible with the Java client.
var hasher = kgo.StickyKeyPartitioner(nil)

func (f *folder) fold(place Place, record *kgo.Record) error {
	e, err := read(record)
	if err != nil {
		return err
	}
	for group, topic := range topicOf {
		if topic != place.Topic {
			continue
		}
		event := e
		if reason := f.decide(group, &event, place, record); reason != "" {
			f.expected.DeadLetters[group][place] = reason
		}
	}
	return nil
}

// decide applies a record in a group, unless it is a duplicate, or returns the reason for a dead letter.
func (f *folder) decide(group string, e *event, place Place, record *kgo.Record) string {
	_, ours := f.trust.Relays[e.relay]
	switch {
	case e.stamped && ours && !f.trust.genuine(e, place.Topic, record):
		return "signature"
	case e.stamped && ours && f.published(group, e):
		f.expected.Repeats[group]++
		return ""
	}
	fold := folds[group][e.kind]
	switch {
	case e.broken != "":
		return e.broken
	case !f.trusts(e):
		return "source"
	case fold == nil || e.redriveGroup != "" && e.redriveGroup != group:
		return ""
	}
	if reason := e.readPayload(e.value); reason != "" {
		return reason
	}
	partition := hasher.ForTopic(record.Topic).Partition(record, f.partitions[place.Topic])
	switch {
	case e.badTime():
		return "bad_time"
	case string(record.Key) != e.key() || int32(partition) != record.Partition:
		return "key"
	}
	if (group == Weights || group == PolicyStats) && e.source != f.trust.Source {
		if repeat, conflict := f.repeats(group, e); conflict {
			return "conflict"
		} else if repeat {
			f.expected.Repeats[group]++
			return ""
		}
	}
	if !fold(f.expected, e) {
		f.expected.Repeats[group]++
	}
	return ""
}

// trusts reports whether the source of an event and its relay sequence are consistent.
func (f *folder) trusts(e *event) bool {
	own := e.source == f.trust.Source
	_, ours := f.trust.Relays[e.relay]
	switch {
	case e.stamped && !ours, own && !e.stamped:
		return false
	}
	return own || !e.stamped || e.redrivenFrom != "" || e.kind == "void"
}

// published records that the relay published an event, and reports whether it did before, whatever the outcome. A redriven
// event counts as another event.
func (f *folder) published(group string, e *event) bool {
	key := effect{group: group, source: e.source, id: e.id + " " + e.redrivenFrom}
	_, before := f.effects[key]
	f.effects[key] = ""
	return before
}

// repeats reports whether an event of another producer is a duplicate or a conflict.
func (f *folder) repeats(group string, e *event) (repeat, conflict bool) {
	key := effectOf(group, e)
	earlier, seen := f.effects[key]
	if !seen {
		f.effects[key] = e.content
	}
	forced := seen && e.forced
	return seen && !forced && earlier == e.content, seen && !forced && earlier != e.content
}

// effectOf returns the identity of an event of another producer: for proposals, decisions and reverts, action and round, so
// that two events about one decision have the same identity; for all others, the event's id.
func effectOf(group string, e *event) effect {
	id := e.id
	switch e.kind {
	case "action.proposed", "action.approved", "action.rejected", "action.reverted":
		id = fmt.Sprintf("%s %s %d", e.kind, strings.ToLower(e.payload.ActionID), e.payload.Round)
	}
	return effect{group, e.source, e.payload.UserID, id}
}

// folds has a function per group and kind that applies an event to the rows. It returns false if an equal or newer event was
// applied before.
var folds = map[string]map[string]func(*Expected, *event) bool{
	Weights: {
		"action.approved":    func(x *Expected, e *event) bool { return x.learn(e, 1, 0) },
		"action.rejected":    func(x *Expected, e *event) bool { return x.learn(e, 0, 1) },
		"action.reverted":    (*Expected).unlearn,
		"preference.changed": (*Expected).prefer,
		"user.erased": func(x *Expected, e *event) bool {
			maps.DeleteFunc(x.Weights, func(key WeightKey, _ Weight) bool { return key.User == e.payload.UserID })
			return true
		},
	},
	PolicyStats: {
		"action.proposed": func(x *Expected, e *event) bool { return x.count(e, e.payload.PolicyID, Day{Fired: 1}) },
		"action.approved": func(x *Expected, e *event) bool { return x.count(e, e.payload.PolicyID, Day{Approved: 1}) },
		"action.rejected": func(x *Expected, e *event) bool { return x.count(e, e.payload.PolicyID, Day{Rejected: 1}) },
		"action.reverted": func(x *Expected, e *event) bool {
			if e.payload.Decision == "approved" {
				return x.count(e, e.payload.PolicyID, Day{Approved: -1})
			}
			return x.count(e, e.payload.PolicyID, Day{Rejected: -1})
		},
		"action.performed": func(x *Expected, e *event) bool {
			for _, policy := range e.payload.Policies {
				x.count(e, policy, Day{Missed: 1})
			}
			return true
		},
		"user.erased": func(x *Expected, e *event) bool {
			maps.DeleteFunc(x.Days, func(key DayKey, _ Day) bool { return key.User == e.payload.UserID })
			return true
		},
	},
	Mailbox: {
		"mail.received": (*Expected).keep,
		"user.erased": func(x *Expected, e *event) bool {
			maps.DeleteFunc(x.Mails, func(key MailKey, _ Mail) bool { return key.User == e.payload.UserID })
			return true
		},
	},
	Enrichment: {
		"application.changed": (*Expected).enrich,
		"application.removed": (*Expected).enrich,
	},
}

func (x *Expected) learn(e *event, approvals, rejections int64) bool {
	for _, feature := range e.payload.Features {
		x.weight(e, feature, func(w *Weight) {
			w.Approvals += approvals
			w.Rejections += rejections
		})
	}
	return true
}

func (x *Expected) unlearn(e *event) bool {
	if e.payload.Decision == "approved" {
		return x.learn(e, -1, 0)
	}
	return x.learn(e, 0, -1)
}

func (x *Expected) prefer(e *event) bool {
	switch e.payload.Op {
	case "pin":
		x.weight(e, e.payload.Feature, func(w *Weight) { w.Pinned = &e.payload.Weight })
	case "forget":
		delete(x.Weights, WeightKey{e.payload.UserID, e.payload.Feature})
	case "reset":
		maps.DeleteFunc(x.Weights, func(key WeightKey, _ Weight) bool { return key.User == e.payload.UserID })
	}
	return true
}

func (x *Expected) weight(e *event, feature string, change func(*Weight)) {
	key := WeightKey{e.payload.UserID, feature}
	row := x.Weights[key]
	change(&row)
	row.UpdatedAt = later(row.UpdatedAt, e.payload.RecordedAt)
	x.Weights[key] = row
}

func (x *Expected) count(e *event, policy int64, add Day) bool {
	key := DayKey{e.payload.UserID, policy, e.payload.ProposedAt.UTC().Format(time.DateOnly)}
	row := x.Days[key]
	row.Fired += add.Fired
	row.Approved += add.Approved
	row.Rejected += add.Rejected
	row.Missed += add.Missed
	row.UpdatedAt = later(row.UpdatedAt, e.payload.RecordedAt)
	x.Days[key] = row
	return true
}

func (x *Expected) keep(e *event) bool {
	key := MailKey{User: e.payload.UserID, MessageID: e.payload.MessageID}
	if key.MessageID == "" {
		key.ContentHash = e.payload.ContentHash
	}
	mail := Mail{e.payload.Subject, e.payload.Thread, e.payload.ListID, stored(e.payload.ReceivedAt)}
	earlier, known := x.Mails[key]
	x.Mails[key] = mail
	return !known || earlier != mail
}

func (x *Expected) enrich(e *event) bool {
	key := ApplicationKey{e.payload.System, e.payload.ApplicationID}
	if x.Applications[key].SrcVersion >= e.payload.SrcVersion {
		return false
	}
	row := Application{Company: e.payload.Company, Stage: e.payload.Stage, SrcVersion: e.payload.SrcVersion}
	if e.kind == "application.removed" {
		row = Application{SrcVersion: e.payload.SrcVersion, Removed: true}
	}
	x.Applications[key] = row
	return true
}

func later(a, b time.Time) time.Time {
	if b = stored(b); b.After(a) {
		return b
	}
	return a
}

// stored returns a time with the precision of PostgreSQL.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
