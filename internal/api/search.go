package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

const searchDescription = `Hits with most boosts come first, then the newest. Boosts exclude nothing. Mail of applications at a ghosting ` +
	`risk of 0.6 or more, or at the stage Onsite, Offer, Final Round or Negotiation, has them in every mode.`

type searchInput struct {
	Waiting
	Q     string `query:"q" maxLength:"1000" doc:"Words, phrases, field:value, ranges, AND, OR, NOT and parentheses; empty finds all mail"`
	Mode  string `query:"mode" enum:"off,networking,money" doc:"What is boosted beside urgent mail of applications: events, or receipts and invoices"`
	Near  string `query:"near" maxLength:"100" doc:"A place; mail about events that names it is boosted"`
	Limit int    `query:"limit" default:"20" minimum:"1" maximum:"1000"`
}

type searchOutput struct {
	Body struct {
		Hits []hit `json:"hits" nullable:"false"`
	}
}

func (s *server) routeSearch(api huma.API) {
	Route(api, costly(huma.Operation{OperationID: "search", Method: http.MethodGet, Path: "/search", Tags: []string{"search"},
		Errors: waitErrors, Summary: "Find mail", Description: searchDescription}), s.find)
}

func (s *server) find(ctx context.Context, in *searchInput) (*searchOutput, error) {
	query, err := parseQuery("query.q", in.Q)
	if err != nil {
		return nil, err
	}
	if in.Near != "" && len(tokenize.Split(in.Near)) == 0 {
		return nil, invalidField("query.near", "a place has letters or digits")
	}
	if err := s.waitForSearch(ctx, &in.Waiting); err != nil {
		return nil, err
	}
	wanted, err := s.taste(ctx, in.Mode, in.Near)
	if err != nil {
		return nil, err
	}
	where, wishes := query.At(time.Now()), wanted.wishes()
	found, err := s.searchMails(ctx, "query.q", requestFor(ctx, where, wishes, in.Limit))
	if err != nil {
		return nil, err
	}
	output := &searchOutput{}
	output.Body.Hits, err = s.hits(ctx, found, where, wishes)
	return output, err
}

// taste reads the learned weights that the mode uses.
func (s *server) taste(ctx context.Context, mode, near string) (*taste, error) {
	wanted := &taste{mode: mode, near: near}
	if mode != networkingMode {
		return wanted, nil
	}
	var weights map[string]float64
	b := &pgx.Batch{}
	proposals.ReadWeights(b, auth.From(ctx).ID, []string{meetupFeature}, &weights)
	err := s.pool.SendBatch(ctx, b).Close()
	wanted.meetup = weights[meetupFeature]
	return wanted, err
}

func requestFor(ctx context.Context, where search.Node, wishes []wish, limit int) search.Request {
	r := search.Request{UserID: auth.From(ctx).ID, Where: where, Limit: limit}
	for _, w := range wishes {
		r.Should = append(r.Should, w.node)
	}
	return r
}

// parseQuery parses a query. The error names the field and the place in the query.
func parseQuery(location, text string) (*search.Query, error) {
	query, err := search.Parse(text)
	var fault *search.Error
	if errors.As(err, &fault) {
		return nil, invalidField(location, fault.Error())
	}
	return query, err
}

// searchMails searches. A search that takes too long is a fault of the field that holds the query.
func (s *server) searchMails(ctx context.Context, location string, r search.Request) ([]search.Hit, error) {
	found, err := s.engine.Search(ctx, r)
	if errors.Is(err, search.ErrTooSlow) {
		return nil, invalidField(location, "this search takes too long: name a field, a rarer word or a shorter time")
	}
	return found, engineProblem(ctx, err)
}

// engineProblem answers 503 when the engine cannot be reached.
func engineProblem(ctx context.Context, err error) error {
	if !errors.Is(err, search.ErrUnavailable) {
		return err
	}
	loggerFrom(ctx).Warn("search engine is unavailable", "error", err)
	return unavailable("the search cannot be reached at the moment")
}
