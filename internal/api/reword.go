package api

import (
	"context"
	"errors"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
)

// tellMail says what the mail says, in the model's words if there is one, and else in those of the mail.
func (r *chatReply) tellMail(ctx context.Context) error {
	switch r.intent.Kind {
	case chat.Search, chat.Summary, chat.Money, chat.Networking, chat.Status:
		answered, err := r.reword(ctx)
		if answered || err != nil {
			return err
		}
		return r.say(byMail, r.quotes...)
	case chat.Propose:
		return r.say(byMail, r.quotes...)
	}
	return nil
}

// reword lets the model answer, and tells whether it did. Every failure of it leaves a note, and the answer to the mail.
func (r *chatReply) reword(ctx context.Context) (answered bool, err error) {
	if r.model == nil || r.Plain {
		return false, nil
	}
	left, err := actions.Spend(ctx, r.pool, auth.From(ctx).ID, r.budget)
	if err != nil {
		return false, err
	}
	if !left {
		r.metrics.chat.requests.WithLabelValues("over_budget").Inc()
		return false, r.say(byNote, chat.Claim{Text: "Your questions of today for the language model are used up; these are sentences of the mail."})
	}
	checker := chat.NewChecker(r.mails)
	failure, err := r.askModel(ctx, checker)
	if err != nil {
		return false, err
	}
	for reason, count := range checker.Dropped {
		r.metrics.chat.claims.WithLabelValues(reason).Add(float64(count))
	}
	outcome, note := "answered", ""
	switch {
	case errors.Is(failure, chat.ErrSlow):
		outcome, note = "slow", "The language model took too long"
	case failure != nil:
		loggerFrom(ctx).Warn("language model failed", "error", failure)
		outcome, note = "failed", "The language model failed"
	case !r.worded:
		outcome, note = "unsupported", "The language model said nothing that the mail supports"
	}
	r.metrics.chat.requests.WithLabelValues(outcome).Inc()
	if note == "" {
		return true, nil
	}
	return false, r.say(byNote, chat.Claim{Text: note + "; these are sentences of the mail."})
}

// askModel sends what the checker lets through. failure is the model's, err the stream's. When the server drains, the model is cut
// short, and the stream ends with what there is.
func (r *chatReply) askModel(ctx context.Context, checker *chat.Checker) (failure, err error) {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(serving(ctx), cancel)()
	pass := func(claims []chat.Claim) bool {
		for _, claim := range claims {
			r.worded = true
			r.metrics.chat.claims.WithLabelValues("kept").Inc()
			if err == nil {
				err = r.say(byModel, claim)
			}
		}
		return err == nil && !checker.Full()
	}
	failure = r.model.Write(asking, chat.Ask(r.Q, r.mails, newStreamID()), func(piece string) bool { return pass(checker.Add(piece)) })
	if failure == nil && err == nil {
		pass(checker.End())
	}
	if err == nil {
		err = ctx.Err()
	}
	return failure, err
}
