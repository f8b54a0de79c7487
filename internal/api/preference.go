package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
)

// selectPreferences lists what was learned of a person in the live version: the strongest likes, then the strongest
// dislikes, of at least a strength.
const selectPreferences = `
WITH learned AS (
    SELECT feature, weight, GREATEST(approvals, 0) AS approvals, GREATEST(rejections, 0) AS rejections,
           pinned IS NOT NULL AS pinned, updated_at
    FROM weight_counts
    WHERE user_id = $1 AND abs(weight) >= $2
      AND version = (SELECT live_version FROM projections WHERE group_name = 'weights'))
(SELECT * FROM learned WHERE weight > 0 ORDER BY weight DESC, feature LIMIT $3)
UNION ALL
(SELECT * FROM learned WHERE weight < 0 ORDER BY weight, feature LIMIT $3)`

type preferencesInput struct {
	Waiting
	Limit int     `query:"limit" default:"20" minimum:"1" maximum:"1000" doc:"At most so many liked and so many disliked"`
	Min   float64 `query:"min" default:"0" minimum:"0" doc:"Least strength, |weight|"`
}

type preferencesOutput struct {
	Body struct {
		Liked    []preference `json:"liked" nullable:"false" doc:"weight > 0, strongest first"`
		Disliked []preference `json:"disliked" nullable:"false" doc:"weight < 0, strongest first"`
	}
}

type preference struct {
	Feature    string    `json:"feature"`
	Weight     float64   `json:"weight"`
	Approvals  int64     `json:"approvals"`
	Rejections int64     `json:"rejections"`
	Pinned     bool      `json:"pinned" doc:"The weight was set by hand"`
	UpdatedAt  time.Time `json:"updated_at"`
}

func (s *server) routePreferences(api huma.API) {
	Route(api, huma.Operation{OperationID: "preferences", Method: http.MethodGet, Path: "/preferences", Tags: []string{"preferences"},
		Errors: waitErrors, Summary: "Read what was learned from decisions"}, s.preferences)
}

func (s *server) preferences(ctx context.Context, in *preferencesInput) (*preferencesOutput, error) {
	if math.IsNaN(in.Min) || math.IsInf(in.Min, 0) {
		return nil, invalidField("query.min", "expected a finite number")
	}
	if err := s.waitFor(ctx, &in.Waiting, "weights", events.TopicActions); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, selectPreferences, auth.From(ctx).ID, in.Min, in.Limit)
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (preference, error) {
		var p preference
		err := row.Scan(&p.Feature, &p.Weight, &p.Approvals, &p.Rejections, &p.Pinned, &p.UpdatedAt)
		p.UpdatedAt = p.UpdatedAt.UTC()
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read preferences: %w", err)
	}
	return split(list), nil
}

func split(list []preference) *preferencesOutput {
	out := &preferencesOutput{}
	out.Body.Liked, out.Body.Disliked = []preference{}, []preference{}
	for _, p := range list {
		if p.Weight > 0 {
			out.Body.Liked = append(out.Body.Liked, p)
		} else {
			out.Body.Disliked = append(out.Body.Disliked, p)
		}
	}
	return out
}
