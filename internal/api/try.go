package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/turns"
)

// The limits of trying a condition.
const (
	tryFor  = 5 * time.Second
	tryMost = 100_000
	tryPage = 2_000 // mails read at once
)

const tryDescription = `Creates nothing. Mail is tried newest first, for five seconds at most; complete tells whether that was all ` +
	`mail that was asked for. An Idempotency-Key is accepted and not remembered.`

type (
	policyTry struct {
		Idempotent
		PolicyID
		Body *policyTryBody
	}
	policyTryBody struct {
		EmailIDs []string `json:"email_ids,omitempty" maxItems:"1000" doc:"Ids of mails; empty: the newest"`
		Limit    int      `json:"limit,omitempty" default:"100000" minimum:"1" maximum:"100000" doc:"How many of the newest mails, when no ids are given"`
	}
	unsavedTry struct {
		Idempotent
		Body unsavedTryBody
	}

	// unsavedTryBody is a policy, of which only the condition is required, and the mails to try it on.
	unsavedTryBody struct {
		Name                *string  `json:"name,omitempty" minLength:"1" maxLength:"255" doc:"Of no effect here, as enabled, priority, action and confidence_threshold"`
		Enabled             *bool    `json:"enabled,omitempty"`
		Priority            *int     `json:"priority,omitempty" minimum:"1" maximum:"1000"`
		Condition           object   `json:"condition" doc:"all, any, not, or one comparison {op: [field, value]}"`
		Action              *string  `json:"action,omitempty" enum:"label_email,archive_email,move_to_folder,unsubscribe_via_header,create_calendar_event,create_task,block_sender,quarantine_attachment"`
		ConfidenceThreshold *float64 `json:"confidence_threshold,omitempty" minimum:"0" maximum:"1"`
		EmailIDs            []string `json:"email_ids,omitempty" maxItems:"1000" doc:"Ids of mails; empty: the newest"`
		Limit               int      `json:"limit,omitempty" default:"100000" minimum:"1" maximum:"100000" doc:"How many of the newest mails, when no ids are given"`
	}
	tried struct {
		Matches  []string `json:"matches" nullable:"false" doc:"Ids of the mails that fulfil the condition, newest first"`
		Count    int      `json:"count" doc:"How many those are"`
		Tried    int      `json:"tried" doc:"How many mails were looked at"`
		Complete bool     `json:"complete" doc:"Whether all mail that was asked for was looked at; false when time was up"`
	}
	triedOutput struct{ Body tried }
)

func (s *server) routeTries(api huma.API) {
	tags := []string{"policies"}
	Route(api, costly(huma.Operation{OperationID: "testPolicy", Method: http.MethodPost, Path: "/policy/{id}/test", Tags: tags,
		Summary: "List the mails that a policy matches", Description: tryDescription}), s.testPolicy)
	Route(api, costly(huma.Operation{OperationID: "testUnsavedPolicy", Method: http.MethodPost, Path: "/policy/test", Tags: tags,
		Errors: []int{http.StatusNotFound}, Summary: "List the mails that a policy would match", Description: tryDescription}), s.testUnsaved)
}

func (s *server) testPolicy(ctx context.Context, in *policyTry) (*triedOutput, error) {
	p, err := actions.Policy(ctx, s.pool, auth.From(ctx).ID, in.ID)
	if err != nil {
		return nil, policyProblem("read policy", err)
	}
	condition, err := policy.Parse(p.Condition)
	if err != nil {
		return nil, fmt.Errorf("compile condition of policy %d: %w", p.ID, err)
	}
	choice := mailChoice{limit: tryMost}
	if in.Body != nil {
		choice = mailChoice{in.Body.EmailIDs, in.Body.Limit}
	}
	return s.try(ctx, in.Key, condition, choice)
}

func (s *server) testUnsaved(ctx context.Context, in *unsavedTry) (*triedOutput, error) {
	condition, err := policy.Parse(canonical(in.Body.Condition))
	var fault *policy.Error
	if errors.As(err, &fault) {
		return nil, invalidPolicy([]*policy.Error{{Pointer: "/condition" + fault.Pointer, Detail: fault.Detail}})
	}
	if err != nil {
		return nil, err
	}
	return s.try(ctx, in.Key, condition, mailChoice{in.Body.EmailIDs, in.Body.Limit})
}

// trial tries a condition on mail.
type trial struct {
	tried
	condition *policy.Condition
	now, end  time.Time
}

// look tries mails in turns until the time is up, and tells whether it tried all of them.
func (t *trial) look(ctx context.Context, p *turns.Processors, mails []policy.Mail) (all bool, err error) {
	bounded, cancel := context.WithDeadline(ctx, t.end)
	defer cancel()
	err = p.Run(bounded, tryFor, func(pause func() error) error {
		for i := range mails {
			if err := pause(); err != nil {
				return err
			}
			t.Tried++
			if t.condition.Match(mails[i], t.now) {
				t.Matches = append(t.Matches, mails[i].ID)
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return false, nil // the time is up
	}
	return err == nil, err
}

// try lists the chosen mails that match a condition. It holds no connection while it matches.
func (s *server) try(ctx context.Context, key string, condition *policy.Condition, choice mailChoice) (*triedOutput, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	now := time.Now()
	t := &trial{tried: tried{Matches: []string{}}, condition: condition, now: now, end: now.Add(s.tryFor)}
	err := s.tryChosen(ctx, t, choice)
	t.Count = len(t.Matches)
	return &triedOutput{t.tried}, err
}

func (s *server) tryChosen(ctx context.Context, t *trial, choice mailChoice) (err error) {
	var mails []policy.Mail
	if len(choice.ids) > 0 {
		if mails, err = s.mails(ctx, choice); err == nil {
			t.Complete, err = t.look(ctx, s.chooser.Processors, mails)
		}
		return err
	}
	user, before := auth.From(ctx).ID, proposals.Place{Received: afterAll}
	for left := choice.limit; left > 0; left -= len(mails) {
		wanted := min(tryPage, left)
		mails, err = s.chooser.Behind(ctx, user, before, wanted, t.condition.ReadsATS())
		if err != nil {
			return err
		}
		if all, err := t.look(ctx, s.chooser.Processors, mails); err != nil || !all {
			return err
		}
		if len(mails) < wanted {
			break
		}
		before = proposals.PlaceOf(mails[len(mails)-1])
	}
	t.Complete = true
	return nil
}

// afterAll is later than the time of any event.
var afterAll = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
