package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
)

// conflict is the answer to a decision on an action that is not in the state that the decision needs.
type conflict struct {
	huma.ErrorModel
	State actionState `json:"state" doc:"What the action is now"`
}

// actionState is what an action is now.
type actionState struct {
	ID     string `json:"id"`
	Status string `json:"status" enum:"pending,approved,rejected,expired"`
}

func conflictOf(a *actions.Action, detail string) error {
	return &conflict{
		ErrorModel: huma.ErrorModel{Title: http.StatusText(http.StatusConflict), Status: http.StatusConflict, Detail: detail},
		State:      actionState{a.ID.String(), a.Status},
	}
}

// invalid is a 422 that names the fields.
func invalid(faults ...*huma.ErrorDetail) error {
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = fault
	}
	return huma.Error422UnprocessableEntity("validation failed", errs...)
}

func invalidField(location, message string) error {
	return invalid(&huma.ErrorDetail{Location: location, Message: message})
}

// invalidPolicy turns the faults of a policy into a 422, their JSON pointers into locations.
func invalidPolicy(faults []*policy.Error) error {
	details := make([]*huma.ErrorDetail, len(faults))
	for i, fault := range faults {
		details[i] = &huma.ErrorDetail{Location: location("body", fault.Pointer), Message: fault.Detail}
	}
	return invalid(details...)
}

var pointerUnescapes = strings.NewReplacer("~1", "/", "~0", "~")

// location writes an RFC 6901 pointer as the other errors do: /condition/all/0 is condition.all[0].
func location(root, pointer string) string {
	var b strings.Builder
	b.WriteString(root)
	if pointer == "" {
		return root
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		if token != "" && strings.Trim(token, "0123456789") == "" {
			b.WriteString("[" + token + "]")
			continue
		}
		b.WriteString("." + pointerUnescapes.Replace(token))
	}
	return b.String()
}

func notFound(what string) error { return huma.Error404NotFound("there is no such " + what) }

func unavailable(detail string) error {
	return retryLater(huma.Error503ServiceUnavailable(detail), "1")
}

func retryLater(err error, seconds string) error {
	return huma.ErrorWithHeaders(err, http.Header{"Retry-After": {seconds}})
}

// problemOf turns an error of a handler into a problem for the client. An error that is not a problem yet is logged with
// its whole chain.
func problemOf(ctx context.Context, err error) error {
	var problem huma.StatusError
	switch {
	case errors.As(err, &problem):
		return err
	case errors.Is(err, context.Canceled):
		return huma.NewError(statusClientGone, "the client went away")
	case tookTooLong(err):
		loggerFrom(ctx).Warn("request took too long", "error", err)
		return unavailable("the answer took too long and was given up; nothing was changed that you were not told of")
	case unreachable(err):
		loggerFrom(ctx).Warn("database is unreachable", "error", err)
		return unavailable("the database cannot be reached at the moment; nothing was changed that you were not told of")
	}
	loggerFrom(ctx).Error("request failed", "error", err)
	return huma.Error500InternalServerError("something went wrong on our side")
}

// statusClientGone never reaches a client; it keeps these requests apart from our own failures in the metrics.
const statusClientGone = 499

// tookTooLong tells whether the time of the request, of a statement or of its wait for a lock was up. What took the time is
// not known: a connection of the pool, another change of the person, or a server that does not answer.
func tookTooLong(err error) bool {
	var connect *pgconn.ConnectError
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return true
	}
	return postgres.Classify(err) == postgres.Timeout && !errors.As(err, &connect)
}

const lockNotAvailable = "55P03" // lock_timeout

// unreachable tells whether PostgreSQL could not be reached or could not serve at the moment, rather than refused the
// statement.
func unreachable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return postgres.Classify(refused).Passes()
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || pgconn.SafeToRetry(err)
}

// seal is a huma transformer: it completes every problem and removes from it what a client must not see.
func seal(_ huma.Context, _ string, body any) (any, error) {
	var model *huma.ErrorModel
	switch problem := body.(type) {
	case *huma.ErrorModel:
		model = problem
	case *conflict:
		model = &problem.ErrorModel
	case *offsetConflict:
		model = &problem.ErrorModel
	default:
		return body, nil
	}
	model.Type = "about:blank"
	for _, detail := range model.Errors {
		detail.Value = nil // it may be long or secret
		// Messages of Go's decoder name our types. The JSON has been checked before, so it refused a number.
		if strings.HasPrefix(detail.Message, "json: ") {
			detail.Message = "a number is out of range, or a whole number is written with a fraction or an exponent"
		}
	}
	if model.Status == http.StatusInternalServerError {
		model.Errors, model.Detail = nil, "something went wrong on our side"
	}
	return body, nil
}

type loggerKey struct{}

func withLogger(ctx context.Context, log *slog.Logger) context.Context {
	return context.WithValue(ctx, loggerKey{}, log)
}

func loggerFrom(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(loggerKey{}).(*slog.Logger); ok {
		return log
	}
	return slog.Default()
}
