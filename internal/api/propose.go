package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/turns"
)

// mailChoice tells which of the person's mails are meant.
type mailChoice struct {
	ids   []string // empty: the newest
	limit int      // of the newest
}

type proposeInput struct {
	Idempotent
	Body *proposeBody
}

type proposeBody struct {
	Query    string   `json:"query,omitempty" maxLength:"1000" doc:"What GET /search takes as q; empty: all mail"`
	EmailIDs []string `json:"email_ids,omitempty" maxItems:"1000" doc:"Ids of mails, of which a query takes those that it finds; empty: the newest that it finds"`
	Limit    int      `json:"limit,omitempty" default:"100" minimum:"1" maximum:"1000" doc:"How many of the newest mails, when no ids are given"`
}

func (s *server) propose(ctx context.Context, in *proposeInput) (*answered[[]actionView], error) {
	body := proposeBody{Limit: 100}
	if in.Body != nil {
		body = *in.Body
	}
	query, err := parseQuery("body.query", body.Query)
	if err != nil {
		return nil, err
	}
	mails, err := s.askedAbout(ctx, &body, query)
	if err != nil {
		return nil, err
	}
	proposals, err := s.choose(ctx, mails)
	if err != nil {
		return nil, err
	}
	slices.Reverse(proposals) // the oldest mail goes first, so that the tray shows the newest first
	var added actions.ByID
	return change(ctx, s, in.Key, http.StatusOK, work[[]actionView]{
		first: func(b *pgx.Batch, user string) {
			actions.Consider(b, user, uuidsOf(mails), nil) // the proposer need not
			actions.Propose(b, user, proposals, &added)
		},
		then: func(_ context.Context, tx *transaction) ([]actionView, error) {
			return proposed(tx, proposals, added)
		},
	})
}

func uuidsOf(mails []policy.Mail) []events.UUID {
	ids := make([]events.UUID, len(mails))
	for i := range mails {
		ids[i], _ = events.ParseUUID(mails[i].ID) // the database's
	}
	return ids
}

// choose lets the person's policies propose actions on mails. It only reads, before the lock is taken.
func (s *server) choose(ctx context.Context, mails []policy.Mail) ([]actions.Proposal, error) {
	list, err := s.chooser.Choose(ctx, auth.From(ctx).ID, mails, s.compute)
	return list, s.timeProblem(err)
}

// timeProblem answers 422 when the person's policies computed for longer than a request may.
func (s *server) timeProblem(err error) error {
	if errors.Is(err, turns.ErrTime) {
		return invalidField("body", fmt.Sprintf("your policies compute for more than %s about this mail: ask about less mail, "+
			"or let them have fewer and simpler regular expressions", s.compute))
	}
	return err
}

// proposed emits the events of the proposals that were added, in their order, and returns the actions the other way round.
func proposed(tx *transaction, list []actions.Proposal, added actions.ByID) ([]actionView, error) {
	views := make([]actionView, 0, len(added))
	emitted := make([]*events.Event, 0, len(added))
	for _, a := range actions.Added(list, added) {
		views = append(views, viewOfAction(a))
		emitted = append(emitted, tx.event(events.TypeActionProposed, a))
	}
	slices.Reverse(views)
	return views, tx.emit(emitted...)
}

// mails reads the chosen mails, newest first, with the applications that belong to them. Ids of mails that the person
// does not have are a 404.
func (s *server) mails(ctx context.Context, choice mailChoice) ([]policy.Mail, error) {
	user := auth.From(ctx).ID
	if len(choice.ids) == 0 {
		return s.chooser.Newest(ctx, user, choice.limit)
	}
	ids, err := mailIDs(choice.ids)
	if err != nil {
		return nil, err
	}
	mails, err := s.chooser.Find(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	return mails, allFound(choice.ids, mails)
}

func mailIDs(list []string) ([]events.UUID, error) {
	ids := make([]events.UUID, len(list))
	for i, text := range list {
		id, err := events.ParseUUID(text)
		if err != nil {
			return nil, noMail(i)
		}
		ids[i] = id
	}
	return ids, nil
}

func noMail(i int) error {
	return huma.Error404NotFound("there is no such mail",
		&huma.ErrorDetail{Location: fmt.Sprintf("body.email_ids[%d]", i), Message: "you have no mail with this id"})
}

func allFound(wanted []string, mails []policy.Mail) error {
	found := map[string]bool{}
	for _, mail := range mails {
		found[mail.ID] = true
	}
	for i, text := range wanted {
		id, _ := events.ParseUUID(text) // checked before
		if !found[id.String()] {
			return noMail(i)
		}
	}
	return nil
}
