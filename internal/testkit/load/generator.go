package load

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// ForeignSource is the ce_source of the events that a foreign service writes.
const ForeignSource = "/load/service"

// Identity makes events a deployment's own: its ce_source, and a relay term in its table relays.
type Identity struct {
	Source string
	Relay  events.UUID
	Signer *events.Signer // of the term's key; nil: its records are not signed
}

// Generator makes one record after the other. It is not for concurrent use.
type Generator struct {
	profile    Profile
	identity   Identity
	partitions int
	random     *rand.Rand
	busy       *rand.Zipf
	now        time.Time
	users      []user
	numbers    []int64    // the last relay sequence, by partition
	recent     [][]Record // the last records, by partition, for repeats
	decided    []events.Action
	pending    []events.Action
	ready      []Record // made but not yet returned
	summary    Summary
}

// Fate is the outcome that a record must have.
type Fate int

// The fates.
const (
	Applied  Fate = iota
	Repeated      // the same identity and content came before
	Refused       // it becomes a dead letter
)

// Record is a record, its partition, and the outcome that it must have in groups that fold its type.
type Record struct {
	events.Record
	Partition int
	Event     *events.Event // the event that it holds, or would hold if it were not refused
	Fate      Fate
	Reason    string // of the dead letter, when it is refused
}

// user is a person.
type user struct {
	id        string
	partition int
	foreign   bool
}

// recentLength is the number of records of a partition that may be published again.
const recentLength = 32

// undecidedLength limits the proposals that await a decision, and the decisions that await a revert.
const undecidedLength = 4096

// NewGenerator returns a generator for a topic with the given number of partitions.
func NewGenerator(profile Profile, identity Identity, partitions int) (*Generator, error) {
	if err := profile.fill(); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(profile.Seed, 0x9e3779b97f4a7c15))
	g := &Generator{
		profile: profile, identity: identity, partitions: partitions, random: random,
		busy: rand.NewZipf(random, profile.Skew, 8, uint64(profile.Users-1)), now: profile.Start.UTC(),
		users: make([]user, profile.Users), numbers: make([]int64, partitions), recent: make([][]Record, partitions),
		summary: Summary{ByType: map[string]int64{}, Features: map[string]int64{}},
	}
	for i := range g.users {
		id := "user-" + strconv.FormatUint(profile.Seed, 36) + "-" + strconv.Itoa(i)
		g.users[i] = user{id: id, partition: events.Partition([]byte(id), partitions), foreign: g.chance(profile.Foreign)}
	}
	return g, nil
}

// Summary counts what Next returned.
func (g *Generator) Summary() Summary { return g.summary }

// Next returns the next record. The caller may keep its bytes but must not change them.
func (g *Generator) Next() (Record, error) {
	if len(g.ready) == 0 {
		if err := g.make(); err != nil {
			return Record{}, err
		}
	}
	next := g.ready[0]
	g.ready = g.ready[1:]
	g.summary.Records++
	g.summary.Bytes += int64(contentSize(&next.Record))
	return next, nil
}

func (g *Generator) chance(share float64) bool { return share > 0 && g.random.Float64() < share }

// happen makes the next event and returns it with its user.
func (g *Generator) happen() (*user, *events.Event) {
	g.now = g.now.Add(g.profile.Step)
	who := &g.users[g.busy.Uint64()]
	event := g.event(who)
	return who, &event
}

// make appends at least one record to ready.
func (g *Generator) make() error {
	who, event := g.happen()
	g.summary.ByType[event.Type.String()]++
	if event.Action != nil {
		g.summary.Features[event.Type.String()] += int64(len(event.Action.Features))
	}
	encoded, err := events.Encode(event)
	if err != nil {
		return fmt.Errorf("encode %s: %w", event.Type, err)
	}
	record := Record{Record: encoded, Partition: who.partition, Event: event}
	if !who.foreign {
		g.stamp(&record)
	} else if g.chance(g.profile.Structured) {
		record.Record = structured(encoded)
	}
	g.ready = append(g.ready[:0], record)
	g.repeat(record)
	if who.foreign && g.chance(g.profile.Refused) {
		g.spoil(record)
	}
	return nil
}

// structured returns a record in the structured mode of CloudEvents.
func structured(record events.Record) events.Record {
	attributes := []byte{'{'}
	for _, header := range record.Headers {
		if name, found := strings.CutPrefix(header.Key, "ce_"); found {
			attributes = append(strconv.AppendQuote(attributes, name), ':')
			attributes = append(strconv.AppendQuote(attributes, string(header.Value)), ',')
		}
	}
	record.Value = append(append(append(attributes, `"data":`...), record.Value...), '}')
	record.Headers = []events.Header{{Key: events.HeaderContentType, Value: []byte("application/cloudevents+json; charset=UTF-8")}}
	return record
}

// stamp numbers a record as the relay does.
func (g *Generator) stamp(record *Record) {
	g.numbers[record.Partition]++
	record.Headers = append(record.Headers,
		events.Header{Key: events.HeaderRelayID, Value: []byte(g.identity.Relay.String())},
		events.Header{Key: events.HeaderRelaySeq, Value: strconv.AppendInt(nil, g.numbers[record.Partition], 10)})
	if signer := g.identity.Signer; signer != nil {
		signature := signer.Sign(events.TopicActions, record.Partition, record.Key, record.Value, record.Headers)
		record.Headers = append(record.Headers, signature.Header())
	}
}

// repeat publishes some of the last records of a partition again now and then: from a random one to the last, in order.
func (g *Generator) repeat(record Record) {
	if g.profile.Repeated == 0 {
		return
	}
	recent := append(g.recent[record.Partition], record)
	if len(recent) > recentLength {
		recent = append(recent[:0], recent[len(recent)-recentLength/2:]...)
	}
	g.recent[record.Partition] = recent
	if g.chance(g.profile.Repeated) {
		again := recent[g.random.IntN(len(recent)):]
		for _, record := range again {
			record.Fate = Repeated
			g.ready = append(g.ready, record)
		}
		g.summary.Repeated += int64(len(again))
	}
}

// event makes the next event of a user.
func (g *Generator) event(who *user) events.Event {
	p, draw := &g.profile, g.random.Float64()
	took := func(share float64) bool {
		draw -= share
		return draw < 0
	}
	switch {
	case took(p.Proposed):
		return g.propose(who)
	case took(p.Reverted):
		if event, found := g.revert(who); found {
			return event
		}
	case took(p.Preferred):
		return g.prefer(who)
	case took(p.Performed):
		return g.perform(who)
	case took(p.Erased):
		return g.erase(who)
	}
	return g.decide(who)
}

func (g *Generator) envelope(who *user, kind events.Type) events.Envelope {
	source := g.identity.Source
	if who.foreign {
		source = ForeignSource
	}
	return events.Envelope{ID: g.uuid().String(), Source: source, Type: kind, Time: g.now}
}

// uuid returns a random UUIDv7 of the generator's time.
func (g *Generator) uuid() events.UUID {
	var id events.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(g.now.UnixMilli())<<16|g.random.Uint64()&0xfff)
	binary.BigEndian.PutUint64(id[8:], g.random.Uint64())
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// newAction makes a proposal for a new mail of a user.
func (g *Generator) newAction(who *user) events.Action {
	category := categories[g.random.IntN(len(categories))]
	domain := domains[skewed(g.random, len(domains))]
	mail := events.MailRef{ID: g.uuid().String(), Category: category.name, SenderDomain: domain}
	if g.chance(0.4) {
		mail.ListID = lists[skewed(g.random, len(lists))]
	}
	action := events.Action{
		ActionID: g.uuid(), UserID: who.id, PolicyID: int64(1 + skewed(g.random, g.profile.Policies)), Action: category.action,
		Confidence: float64(50+g.random.IntN(50)) / 100, Explored: g.chance(0.05), ProposedAt: g.now, RecordedAt: g.now, Mail: mail,
	}
	subject := category.subjects[g.random.IntN(len(category.subjects))]
	if who.foreign && g.chance(g.profile.Derived) {
		action.Mail.Subject = subject
		return action
	}
	action.Features = events.Features(events.MailRef{Category: mail.Category, SenderDomain: domain, ListID: mail.ListID, Subject: subject})
	action.HasFeatures, action.FeatureRule = true, events.FeatureRule
	return action
}

func (g *Generator) propose(who *user) events.Event {
	action := g.newAction(who)
	if len(g.pending) < undecidedLength {
		g.pending = append(g.pending, action)
	} else {
		g.pending[g.random.IntN(undecidedLength)] = action
	}
	return events.Event{Envelope: g.envelope(who, events.TypeActionProposed), Action: &action}
}

// decide decides on a recent proposal of the user, or else on one that was made before the log began.
func (g *Generator) decide(who *user) events.Event {
	action, found := g.take(&g.pending, who)
	if !found {
		action = g.newAction(who)
		action.ProposedAt = g.now.Add(-time.Duration(1+g.random.IntN(72)) * time.Hour)
	}
	action.DecidedAt, action.RecordedAt = g.now, g.now
	kind := events.TypeActionApproved
	if g.chance(0.3) {
		kind = events.TypeActionRejected
	}
	if g.profile.Reverted > 0 && len(g.decided) < undecidedLength {
		decided := action
		decided.Decision = events.DecisionApproved
		if kind == events.TypeActionRejected {
			decided.Decision = events.DecisionRejected
		}
		g.decided = append(g.decided, decided)
	}
	return events.Event{Envelope: g.envelope(who, kind), Action: &action}
}

// revert reverts a decision of the user, if there is a recent one; it may then be decided again.
func (g *Generator) revert(who *user) (events.Event, bool) {
	action, found := g.take(&g.decided, who)
	if !found {
		return events.Event{}, false
	}
	action.RecordedAt, action.DecidedAt = g.now, g.now
	again := action
	again.Decision, again.Round, again.DecidedAt = "", action.Round+1, time.Time{}
	g.pending = append(g.pending, again)
	return events.Event{Envelope: g.envelope(who, events.TypeActionReverted), Action: &action}, true
}

// take removes an action of the user, if there is one among the last few.
func (g *Generator) take(from *[]events.Action, who *user) (events.Action, bool) {
	list := *from
	for i := len(list) - 1; i >= 0 && i >= len(list)-64; i-- {
		if list[i].UserID == who.id {
			action := list[i]
			list[i] = list[len(list)-1]
			*from = list[:len(list)-1]
			return action, true
		}
	}
	return events.Action{}, false
}

func (g *Generator) prefer(who *user) events.Event {
	feature := events.FeatureSenderDomain + domains[skewed(g.random, len(domains))]
	preference := events.Preference{UserID: who.id, Op: events.PreferencePin, Feature: feature, RecordedAt: g.now}
	switch g.random.IntN(8) {
	case 0:
		preference.Op, preference.Feature = events.PreferenceReset, ""
	case 1, 2, 3:
		preference.Op = events.PreferenceForget
	default:
		preference.Weight = float64(g.random.IntN(41)-20) / 4
	}
	return events.Event{Envelope: g.envelope(who, events.TypePreferenceChanged), Preference: &preference}
}

func (g *Generator) perform(who *user) events.Event {
	action := g.newAction(who)
	action.PolicyID, action.Confidence, action.Explored = 0, 0, false
	for policy := range g.random.IntN(3) {
		action.Policies = append(action.Policies, int64(1+policy))
	}
	return events.Event{Envelope: g.envelope(who, events.TypeActionPerformed), Action: &action}
}

func (g *Generator) erase(who *user) events.Event {
	return events.Event{Envelope: g.envelope(who, events.TypeUserErased), Erasure: &events.Erasure{UserID: who.id, RecordedAt: g.now}}
}

// spoil appends a copy of a record with a fault for which it must be dead-lettered.
func (g *Generator) spoil(record Record) {
	g.summary.Refused++
	g.ready = append(g.ready, spoilt(record, g.random.IntN(len(faults))))
}
