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

func conflictOf(a *action, detail string) error {
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

// problemOf turns what a handler met into what the client may read; everything that is not already a problem is
// logged with its whole chain.
func problemOf(ctx context.Context, err error) error {
	var problem huma.StatusError
	switch {
	case errors.As(err, &problem):
		return err
	case errors.Is(err, context.Canceled):
		return huma.NewError(statusClientGone, "the client went away")
	case unreachable(err):
		loggerFrom(ctx).Warn("database is unreachable", "error", err)
		return unavailable("the database cannot be reached at the moment; nothing was changed that you were not told of")
	}
	loggerFrom(ctx).Error("request failed", "error", err)
	return huma.Error500InternalServerError("something went wrong on our side")
}

// statusClientGone is never read by anybody; it keeps the metrics apart from our own failures.
const statusClientGone = 499

// unreachable tells whether err says that PostgreSQL, rather than what was asked of it, is the trouble.
func unreachable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		class := postgres.Classify(refused)
		return class == postgres.Transient || class == postgres.Conflict
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || pgconn.SafeToRetry(err)
}

// seal is a huma transformer: it completes a problem and takes out of it what a client must not see, whoever made it.
func seal(_ huma.Context, _ string, body any) (any, error) {
	var model *huma.ErrorModel
	switch problem := body.(type) {
	case *huma.ErrorModel:
		model = problem
	case *conflict:
		model = &problem.ErrorModel
	default:
		return body, nil
	}
	model.Type = "about:blank"
	for _, detail := range model.Errors {
		detail.Value = nil // what was sent may be long or secret
		// What Go's decoder says names our types. The JSON has been checked, so that only numbers are left to refuse.
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
