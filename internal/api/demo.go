package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/internal/auth"
)

// routeDemo registers what makes and removes demo persons.
func (s *server) routeDemo(api huma.API) {
	tags := []string{"demo"}
	Route(api, huma.Operation{OperationID: "getDemo", Method: http.MethodGet, Path: "/demo", Tags: tags,
		Summary: "Tell whether the caller can look around with sample mail, or does"}, s.getDemo)
	Route(api, huma.Operation{OperationID: "makeDemo", Method: http.MethodPost, Path: "/demo", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make a demo person with sample mail", Errors: []int{http.StatusConflict},
		Description: "Asked again, it returns the same person, who is removed after a day. The page signs a browser in as them, and so does applylens token link --user."}, s.makeDemo)
	Route(api, huma.Operation{OperationID: "removeDemo", Method: http.MethodDelete, Path: "/demo", Tags: tags, DefaultStatus: http.StatusNoContent,
		Summary: "Remove the demo person that the caller is, or has made"}, s.removeDemo)
}

type demoState struct {
	Body struct {
		Offered bool       `json:"offered" doc:"POST /demo makes a demo person"`
		Until   *time.Time `json:"until,omitempty" doc:"The caller is a demo person, until then"`
	}
}

type demoMade struct {
	Body struct {
		UserID string    `json:"user_id"`
		Until  time.Time `json:"until"`
	}
}

func (s *server) getDemo(ctx context.Context, _ *struct{}) (*demoState, error) {
	answer := &demoState{}
	if caller := auth.From(ctx); caller.Demo() {
		until := caller.DemoUntil.UTC()
		answer.Body.Until = &until
	} else {
		answer.Body.Offered = s.demos != nil
	}
	return answer, nil
}

func (s *server) makeDemo(ctx context.Context, in *Idempotent) (*demoMade, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	caller := auth.From(ctx)
	switch {
	case caller.Demo():
		return nil, huma.Error403Forbidden("you look at sample mail already, as a demo person")
	case s.demos == nil:
		return nil, huma.Error403Forbidden("this deployment has no demo persons: it runs without UPLOADS_DIR or with DEMO_PERSONS=0")
	}
	made, err := s.demos.Make(ctx, caller.ID)
	if errors.Is(err, auth.ErrDemos) {
		return nil, retryLater(huma.Error503ServiceUnavailable("as many people as may look around with sample mail now: try again later"), "600")
	}
	if err != nil {
		return nil, err
	}
	answer := &demoMade{}
	answer.Body.UserID, answer.Body.Until = made.ID, made.Until.UTC()
	return answer, nil
}

func (s *server) removeDemo(ctx context.Context, _ *struct{}) (*struct{}, error) {
	if s.demos == nil {
		return nil, notFound("demo person")
	}
	found, err := s.demos.Remove(ctx, auth.From(ctx))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound("demo person")
	}
	s.wake() // the relay sends the order to erase
	return nil, nil
}
