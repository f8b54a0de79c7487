package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/applylens/applylens/internal/auth"
)

// answerWithin bounds an operation, beside the time that its caller asked to wait: a database that does not answer must
// not hold requests for ever.
const answerWithin = 15 * time.Second

// Go's decoder takes members whose names differ only in case, and the last of several. Names are exact here, since huma
// validates what is written exactly so, and the decoder would take another member than the one that was validated.
func init() { huma.ValidateStrictCasing = true }

// Route registers an operation. An error of its handler becomes a problem without internal details: a huma.StatusError is
// sent as it is, an unreachable database as 503 with Retry-After, and anything else is logged and sent as 500. The
// handler's context ends after 15 seconds; a streaming answer is not bounded.
func Route[I, O any](api huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1 // readBody bounds both
	op.Errors = append(op.Errors, possibleErrors(&op)...)
	huma.Register(api, op, func(ctx context.Context, input *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, answerWithin+patience(input))
		defer cancel()
		output, err := handler(ctx, input)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return output, nil
	})
}

// possibleErrors lists the errors that every operation can answer, for the OpenAPI document.
func possibleErrors(op *huma.Operation) []int {
	list := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusServiceUnavailable}
	if strings.Contains(op.Path, "{id}") {
		list = append(list, http.StatusNotFound)
	}
	if op.Method == http.MethodPost || op.Method == http.MethodPut {
		list = append(list, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return list
}

func patience(input any) time.Duration {
	if w, ok := input.(interface{ patience() time.Duration }); ok {
		return w.patience()
	}
	return 0
}

// identify is the middleware of all operations: it authenticates the caller and checks the role.
func (s *server) identify(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		op := ctx.Operation()
		if seen, ok := ctx.Context().Value(observationKey{}).(*observation); ok {
			seen.route = op.Path
		}
		caller, problem := s.caller(ctx, op)
		if problem != nil {
			refuse(api, ctx, problem)
			return
		}
		identified := context.WithValue(ctx.Context(), kindKey{}, kindOfRequest(requestOf(ctx)))
		next(huma.WithContext(ctx, auth.With(identified, caller)))
	}
}

func (s *server) caller(ctx huma.Context, op *huma.Operation) (*auth.Caller, error) {
	bounded, cancel := context.WithTimeout(ctx.Context(), answerWithin)
	defer cancel()
	caller, err := s.users.Authenticate(bounded, requestOf(ctx))
	switch {
	case errors.Is(err, auth.ErrUnauthenticated):
		return nil, errUnauthenticated()
	case err != nil:
		return nil, problemOf(bounded, err)
	case !caller.Has(roleFor(op)):
		return nil, huma.Error403Forbidden("this needs a token with the role " + roleFor(op))
	}
	if wait, ok := s.limiter.Take(caller.ID, time.Now()); !ok {
		seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
		return nil, retryLater(huma.Error429TooManyRequests("too many requests"), seconds)
	}
	return caller, nil
}

func errUnauthenticated() error {
	return huma.ErrorWithHeaders(huma.Error401Unauthorized("send a valid token: Authorization: Bearer …"),
		http.Header{"Www-Authenticate": {`Bearer realm="applylens"`}})
}

func roleFor(op *huma.Operation) string {
	if strings.HasPrefix(op.Path, "/ops/") {
		return auth.Operator
	}
	return auth.Owner
}

// checkParameters is the middleware that refuses a parameter or header that is given more than once: only one would count.
func checkParameters(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r := requestOf(ctx)
		query := r.URL.Query()
		for _, parameter := range ctx.Operation().Parameters {
			given := 0
			switch parameter.In {
			case "query":
				given = len(query[parameter.Name])
			case "header":
				given = len(r.Header.Values(parameter.Name))
			}
			if given > 1 {
				refuse(api, ctx, invalidField(parameter.In+"."+parameter.Name, "this is given more than once"))
				return
			}
		}
		next(ctx)
	}
}

// refuse answers with a problem from a middleware.
func refuse(api huma.API, ctx huma.Context, problem error) {
	var headers huma.HeadersError
	if errors.As(problem, &headers) {
		for name, values := range headers.GetHeaders() {
			ctx.SetHeader(name, values[0])
		}
	}
	var status huma.StatusError
	if !errors.As(problem, &status) {
		status = huma.Error500InternalServerError("something went wrong on our side")
	}
	var details []error
	var model *huma.ErrorModel
	if errors.As(problem, &model) {
		for _, detail := range model.Errors {
			details = append(details, detail)
		}
	}
	_ = huma.WriteErr(api, ctx, status.GetStatus(), status.Error(), details...) // the client may be gone
}

// requestOf returns the request of a huma context.
func requestOf(ctx huma.Context) *http.Request {
	r, _ := humago.Unwrap(ctx)
	return r
}
