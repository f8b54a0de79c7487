package proposer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/turns"
)

const (
	// mostProposals is how many proposals the proposer makes for a person in 24 hours. Late mail gets what other mail leaves of them;
	// other mail gets them all, however much late mail there is.
	mostProposals = 200

	// passAtOnce is how many mails are passed over in one turn when no more may be proposed.
	passAtOnce = 5000

	// longestQuiet is how long late mail waits for newer late mail at most, and lookAgain how often it is asked whether that
	// still comes.
	longestQuiet = 10 * time.Minute
	lookAgain    = time.Second
)

// How long the policies of a person may compute for all mails of a turn, and for a single one.
const (
	computeFor    = 2 * time.Second
	computeForOne = 10 * time.Second
)

// fault is why a turn failed; it is the label of a metric.
type fault string

const (
	unknownPolicy fault = "policy"   // a condition is none of this binary's
	tooMuch       fault = "mail"     // less mail may do; a single one is passed over
	restored      fault = "restored" // the database was, and the relay has not caught up
	unavailable   fault = "database" // anything else, which passes
)

func faultOf(err error) fault {
	var unknown *proposals.UnknownCondition
	var refused *events.Error
	switch {
	case errors.As(err, &unknown):
		return unknownPolicy
	case errors.Is(err, turns.ErrTime), errors.As(err, &refused), postgres.Classify(err) == postgres.Permanent:
		return tooMuch
	case errors.Is(err, outbox.ErrRestored):
		return restored
	}
	return unavailable
}

// longest is how long a person has no turn at most.
func (f fault) longest() time.Duration {
	if f == unknownPolicy {
		return policyRetry
	}
	return longestRetry
}

// turn considers some mail of one person.
type turn struct {
	*proposer
	standing
	person actions.Person
}

// batch is the mail of a turn.
type batch struct {
	late  bool
	mails []actions.WaitingMail
	room  int // for proposals, before the lock is taken
}

// run takes the turn and tells whether it considered any mail.
func (t *turn) run(ctx context.Context) (did bool, err error) {
	b, err := t.waiting(ctx)
	switch {
	case err != nil || b == nil:
		return false, err
	case b.room <= 0:
		err = t.passOver(ctx, b.late)
	default:
		err = t.consider(ctx, b)
	}
	if errors.Is(err, actions.ErrErased) { // and so is the mail
		return false, nil
	}
	return err == nil && len(b.mails) > 0, err
}

// consider puts mails before the policies. A single one to which they cannot be applied is passed over.
func (t *turn) consider(ctx context.Context, b *batch) error {
	chosen, err := t.choose(ctx, b)
	if err == nil && len(b.mails) > 0 {
		failpoint.Hit("proposer_after_choose")
		err = t.propose(ctx, b, chosen)
	}
	if err != nil && faultOf(err) == tooMuch && len(b.mails) == 1 && ctx.Err() == nil {
		t.observers.failures.WithLabelValues(string(tooMuch)).Inc()
		t.Log.Warn("a mail is passed over, since its person's policies cannot be applied to it", "mail_id", b.mails[0].ID.String(), "error", err)
		err = t.propose(ctx, b, nil)
	}
	return err
}

// waiting returns the newest of the mail that waits: what is not late before what is. It returns nil if nothing may be considered
// now.
func (t *turn) waiting(ctx context.Context) (*batch, error) {
	prompt, late := batch{}, batch{late: true}
	var quiet, first time.Duration
	var proposed actions.ProposedCount
	b := &pgx.Batch{}
	actions.CountProposed(b, t.person.ID, &proposed)
	actions.WaitingMails(b, t.person.ID, false, t.size, &prompt.mails)
	look := time.Now().After(t.lateAfter)
	if look {
		actions.LateComing(b, t.person.ID, &quiet, &first)
		actions.WaitingMails(b, t.person.ID, true, t.size, &late.mails)
	}
	if err := t.Pool.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	prompt.room, late.room = room(proposed, false), room(proposed, true)
	switch {
	case len(prompt.mails) > 0:
		return &prompt, nil
	case len(late.mails) == 0:
		return nil, nil
	case quiet < t.Quiet && first < longestQuiet:
		t.lateAfter = time.Now().Add(min(lookAgain, t.Quiet))
		return nil, nil
	}
	return &late, nil
}

func room(proposed actions.ProposedCount, late bool) int {
	if late {
		return mostProposals - proposed.Late - proposed.Prompt
	}
	return mostProposals - proposed.Prompt
}

// choose lets the person's policies choose for those of the mails that are there and not too old, the newest first. What is not there
// goes on waiting: the live version of the mailbox may be behind the one that told of it.
func (t *turn) choose(ctx context.Context, b *batch) ([]actions.Proposal, error) {
	ids := make([]events.UUID, len(b.mails))
	for i, m := range b.mails {
		ids[i] = m.ID
	}
	found, err := t.Chooser.Find(ctx, t.person.ID, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]policy.Mail, len(found))
	for _, mail := range found {
		byID[mail.ID] = mail
	}
	var mails []policy.Mail
	b.mails = slices.DeleteFunc(b.mails, func(m actions.WaitingMail) bool {
		mail, there := byID[m.ID.String()]
		if there && !m.Old {
			mails = append(mails, mail)
		}
		return !there && !m.Long
	})
	if len(mails) == 0 {
		return nil, nil
	}
	limit := computeFor
	if len(mails) == 1 {
		limit = computeForOne
	}
	return t.Chooser.Choose(ctx, t.person.ID, mails, limit)
}

// propose notes that the mails were considered and adds what was chosen for them, in one transaction under the person's lock.
func (t *turn) propose(ctx context.Context, b *batch, chosen []actions.Proposal) error {
	ids := make([]events.UUID, len(b.mails))
	for i, m := range b.mails {
		ids[i] = m.ID
	}
	var waited, before []events.UUID
	var proposed actions.ProposedCount
	var added []*actions.Action
	err := t.locked(ctx, func(tx *postgres.Tx) error {
		actions.ProposedMails(tx.Batch(), t.person.ID, ids, &before)
		actions.CountProposed(tx.Batch(), t.person.ID, &proposed)
		actions.Consider(tx.Batch(), t.person.ID, ids, &waited)
		if err := tx.Flush(ctx); err != nil {
			return err
		}
		failpoint.Hit("proposer_after_consider")
		due := keep(chosen, waited, before)
		due = due[:min(len(due), max(room(proposed, b.late), 0))]
		slices.Reverse(due) // the oldest mail goes first, so that the tray shows the newest first
		var err error
		added, err = t.add(ctx, tx, due)
		return err
	})
	if err != nil {
		return err
	}
	failpoint.Hit("proposer_after_commit")
	t.observers.mails.WithLabelValues("proposed").Add(float64(len(added)))
	t.observers.mails.WithLabelValues("not_proposed").Add(float64(len(waited) - len(added)))
	if len(added) > 0 {
		t.Wake()
	}
	return nil
}

// keep returns the proposals for mails that waited and for which nothing was proposed before.
func keep(chosen []actions.Proposal, waited, before []events.UUID) []actions.Proposal {
	due := map[string]bool{}
	for _, id := range waited {
		due[id.String()] = true
	}
	for _, id := range before {
		delete(due, id.String())
	}
	return slices.DeleteFunc(slices.Clone(chosen), func(p actions.Proposal) bool { return !due[p.EmailID] })
}

// add inserts proposals, and their events into the outbox.
func (t *turn) add(ctx context.Context, tx *postgres.Tx, due []actions.Proposal) ([]*actions.Action, error) {
	if len(due) == 0 {
		return nil, nil
	}
	var byID actions.ByID
	actions.Propose(tx.Batch(), t.person.ID, due, &byID)
	if err := tx.Flush(ctx); err != nil {
		return nil, err
	}
	failpoint.Hit("proposer_after_propose")
	added := actions.Added(due, byID)
	list, mails := make([]*events.Event, len(added)), make([]events.UUID, len(added))
	for i, a := range added {
		list[i] = a.Event(events.TypeActionProposed, t.person.ID, t.source)
		mails[i], _ = events.ParseUUID(a.EmailID) // ours
	}
	actions.NoteProposed(tx.Batch(), t.person.ID, mails)
	return added, outbox.Queue(tx.Batch(), list...)
}

// passOver ends the wait of mail for which no more may be proposed.
func (t *turn) passOver(ctx context.Context, late bool) error {
	var passed int64
	err := t.locked(ctx, func(tx *postgres.Tx) error {
		actions.PassOver(tx.Batch(), t.person.ID, late, passAtOnce, &passed)
		return nil
	})
	if err == nil {
		t.observers.mails.WithLabelValues("passed_over").Add(float64(passed))
	}
	return err
}

// locked runs work in a transaction under the person's lock, and commits it.
func (t *turn) locked(ctx context.Context, work func(tx *postgres.Tx) error) error {
	return postgres.InTx(ctx, t.Pool, func(tx *postgres.Tx) error {
		actions.Lock(tx.Batch(), t.person.ID, *t.person.CreatedAt)
		t.Gate(tx.Batch(), t.person.ID)
		return work(tx)
	})
}
