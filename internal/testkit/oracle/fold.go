package oracle

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// effect names what must happen at most once in a group.
type effect struct{ group, source, user, id string }

// folder folds one record after the other.
type folder struct {
	trust      Trust
	expected   *Expected
	partitions map[string]int    // how many a topic has
	effects    map[effect]string // what had its effect, and with which content
}

// hasher is franz-go's own murmur2 partitioner, as the Java client has it.
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

// decide lets a record have its effect in a group, unless an earlier one had it, or returns why it may not.
func (f *folder) decide(group string, e *event, place Place, record *kgo.Record) string {
	if e.stamped && f.trust.Relays[e.relay] && f.published(group, e) {
		f.expected.Repeats[group]++
		return ""
	}
	fold := folds[group][e.kind]
	switch {
	case !f.trusts(e):
		return "source"
	case fold == nil || e.redriveGroup != "" && e.redriveGroup != group:
		return ""
	}
	if reason := e.readPayload(record.Value); reason != "" {
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

// trusts tells whether the source of an event and its stamp fit each other.
func (f *folder) trusts(e *event) bool {
	own := e.source == f.trust.Source
	switch {
	case e.stamped && !f.trust.Relays[e.relay], own && !e.stamped:
		return false
	}
	return own || !e.stamped || e.redrivenFrom != "" || e.kind == "void"
}

// published tells whether the relay published an event before, whatever became of it, and remembers that it did. An
// event that was redriven is another one than it was at first.
func (f *folder) published(group string, e *event) bool {
	key := effect{group: group, source: e.source, id: e.id + " " + e.redrivenFrom}
	_, before := f.effects[key]
	f.effects[key] = ""
	return before
}

// repeats tells whether a foreign event's effect is there already, with the same content or with another.
func (f *folder) repeats(group string, e *event) (repeat, conflict bool) {
	key := effectOf(group, e)
	earlier, seen := f.effects[key]
	if !seen {
		f.effects[key] = e.content
	}
	forced := seen && e.forced
	return seen && !forced && earlier == e.content, seen && !forced && earlier != e.content
}

// effectOf names the effect of a foreign event: of a proposal, decision or revert by action and round, so that two
// events about one decision are one effect, and of the rest by the event's own id.
func effectOf(group string, e *event) effect {
	id := e.id
	switch e.kind {
	case "action.proposed", "action.approved", "action.rejected", "action.reverted":
		id = fmt.Sprintf("%s %s %d", e.kind, strings.ToLower(e.payload.ActionID), e.payload.Round)
	}
	return effect{group, e.source, e.payload.UserID, id}
}

// folds gives for each group and kind how an event changes the rows; false tells that it changed nothing because an
// equal or newer one was there.
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

// stored is a time as PostgreSQL keeps it.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
