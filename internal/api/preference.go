package api

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
)

// selectPreferences lists a person's learned weights of at least a strength in the live version: the strongest likes,
// then the strongest dislikes.
const selectPreferences = `
WITH learned AS (
    SELECT feature, weight, GREATEST(approvals, 0) AS approvals, GREATEST(rejections, 0) AS rejections,
           pinned IS NOT NULL AS pinned, updated_at
    FROM live_weight_counts
    WHERE user_id = $1 AND abs(weight) >= $2)
(SELECT * FROM learned WHERE weight > 0 ORDER BY weight DESC, feature LIMIT $3)
UNION ALL
(SELECT * FROM learned WHERE weight < 0 ORDER BY weight, feature LIMIT $3)`

// selectHasFeature tells whether a person has a weight for a feature.
const selectHasFeature = `SELECT EXISTS (SELECT FROM user_weights WHERE user_id = $1 AND feature = $2)`

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

// FeatureName is part of the input of operations on one feature.
type FeatureName struct {
	Feature string `path:"feature" doc:"Such as category:promo or sender_domain:shop.example; percent-encoded, also the slashes"`
}

type pinInput struct {
	FeatureName
	Body struct {
		Weight float64 `json:"weight" minimum:"-100" maximum:"100"`
	}
}

// NamedFeature is a feature in a body, where also one that has an address may stand: paths are written to logs on the way.
type NamedFeature struct {
	Feature string `json:"feature" doc:"Such as category:promo, sender_domain:shop.example or sender:ann@gmail.com"`
}

type pinNamedInput struct {
	Body struct {
		NamedFeature
		Weight float64 `json:"weight" minimum:"-100" maximum:"100"`
	}
}

type forgetNamedInput struct {
	Idempotent
	Body NamedFeature
}

type forgotten struct {
	Forgotten bool `json:"forgotten" doc:"There was something to forget"`
}

type pinned struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"`
}

// emitted is the output of a change that answers with nothing but its event.
type emitted struct {
	EventID string `header:"X-Event-Id" doc:"The event that this answer emitted; give it to ?wait= to read your own effect. Absent when there was nothing to forget."`
}

func (s *server) routePreferences(api huma.API) {
	tags := []string{"preferences"}
	Route(api, huma.Operation{OperationID: "preferences", Method: http.MethodGet, Path: "/preferences", Tags: tags,
		Errors: waitErrors, Summary: "Read what was learned from decisions"}, s.preferences)
	Route(api, huma.Operation{OperationID: "pin", Method: http.MethodPut, Path: "/preferences/{feature}", Tags: tags,
		Summary: "Set the weight of a feature by hand, whatever decisions teach, until it is forgotten"}, s.pin)
	Route(api, huma.Operation{OperationID: "pinNamed", Method: http.MethodPut, Path: "/preferences", Tags: tags,
		Summary: "Set the weight of any feature by hand, also that of a sender's address"}, s.pinNamed)
	Route(api, huma.Operation{OperationID: "forgetNamed", Method: http.MethodPost, Path: "/preferences/forget", Tags: tags,
		Summary: "Forget what was learned and set of any feature, also that of a sender's address"}, s.forgetNamed)
	Route(api, huma.Operation{OperationID: "forget", Method: http.MethodDelete, Path: "/preferences/{feature}", Tags: tags,
		DefaultStatus: http.StatusNoContent, Summary: "Forget what was learned and set of a feature; what is decided from now on teaches it anew"}, s.forgetFeature)
	Route(api, huma.Operation{OperationID: "reset", Method: http.MethodDelete, Path: "/preferences", Tags: tags,
		DefaultStatus: http.StatusNoContent, Summary: "Forget all that was learned and set"}, s.reset)
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

func (s *server) pin(ctx context.Context, in *pinInput) (*answered[pinned], error) {
	if err := checkPath(in.Feature); err != nil {
		return nil, err
	}
	return s.pinFeature(ctx, "path.feature", in.Feature, in.Body.Weight)
}

func (s *server) pinNamed(ctx context.Context, in *pinNamedInput) (*answered[pinned], error) {
	return s.pinFeature(ctx, "body.feature", in.Body.Feature, in.Body.Weight)
}

func (s *server) pinFeature(ctx context.Context, location, text string, weight float64) (*answered[pinned], error) {
	feature, detail, err := s.meant(ctx, location, text)
	if err != nil {
		return nil, err
	}
	if detail != "" {
		return nil, invalidField(location, detail)
	}
	done, err := s.pinAll(ctx, "", []pinned{{feature, weight}})
	if err != nil {
		return nil, err
	}
	return &answered[pinned]{done.Status, done.EventID, done.Body[0]}, nil
}

// pinAll sets the weights of features, all of them or none, once for each key unless it is empty.
func (s *server) pinAll(ctx context.Context, key string, list []pinned) (*answered[[]pinned], error) {
	at := make([]time.Time, len(list))
	return change(ctx, s, key, http.StatusOK, work[[]pinned]{
		first: func(b *pgx.Batch, user string) {
			for i := range list {
				actions.Pin(b, user, list[i].Feature, &at[i])
			}
		},
		then: func(_ context.Context, tx *transaction) ([]pinned, error) {
			for i, p := range list {
				told := events.Preference{Op: events.PreferencePin, Feature: p.Feature, Weight: p.Weight}
				if err := tx.prefer(events.NewUUIDv7(at[i]).String(), at[i], told); err != nil {
					return nil, err
				}
			}
			return list, nil
		},
	})
}

// meant returns the feature that a person means, or what is wrong with it if no mail of ours can have it. One that the person has a
// weight for is meant as it is: events of other services may carry others.
func (s *server) meant(ctx context.Context, location, text string) (feature, detail string, err error) {
	if text == "" || len(text) > events.MaxFeature {
		return "", "", invalidField(location, fmt.Sprintf("a feature has 1 to %d bytes", events.MaxFeature))
	}
	feature, detail = policy.ParseFeature(text)
	if feature == text {
		return feature, "", nil
	}
	var known bool
	if err := s.pool.QueryRow(ctx, selectHasFeature, auth.From(ctx).ID, text).Scan(&known); err != nil {
		return "", "", fmt.Errorf("look for the feature: %w", err)
	}
	if known {
		return text, "", nil
	}
	return feature, detail, nil
}

// checkPath refuses an address in a path.
func checkPath(feature string) error {
	kind, _, _ := strings.Cut(feature, ":")
	if strings.EqualFold(strings.TrimSpace(kind)+":", events.FeatureSender) {
		return invalidField("path.feature", "an address does not belong in a path, which is written to logs on the way: name the feature in the body of PUT /preferences or POST /preferences/forget")
	}
	return nil
}

func (s *server) forgetFeature(ctx context.Context, in *FeatureName) (*emitted, error) {
	if err := checkPath(in.Feature); err != nil {
		return nil, err
	}
	return emittedBy(s.forgetMeant(ctx, "", "path.feature", in.Feature))
}

func (s *server) forgetNamed(ctx context.Context, in *forgetNamedInput) (*answered[forgotten], error) {
	return s.forgetMeant(ctx, in.Key, "body.feature", in.Body.Feature)
}

func (s *server) forgetMeant(ctx context.Context, key, location, text string) (*answered[forgotten], error) {
	feature, detail, err := s.meant(ctx, location, text)
	if err != nil {
		return nil, err
	}
	if detail != "" {
		feature = text // of other services, for whom there may still be something to forget
	}
	return s.forget(ctx, key, feature, events.Preference{Op: events.PreferenceForget, Feature: feature})
}

// emittedBy is the answer that has no body.
func emittedBy(done *answered[forgotten], err error) (*emitted, error) {
	if err != nil {
		return nil, err
	}
	return &emitted{done.EventID}, nil
}

func (s *server) reset(ctx context.Context, _ *struct{}) (*emitted, error) {
	return emittedBy(s.forget(ctx, "", actions.Everything, events.Preference{Op: events.PreferenceReset}))
}

func (s *server) forget(ctx context.Context, key, feature string, told events.Preference) (*answered[forgotten], error) {
	var at time.Time
	var id string
	return change(ctx, s, key, http.StatusOK, work[forgotten]{
		first: func(b *pgx.Batch, user string) {
			id = events.NewUUIDv7(time.Now()).String()
			actions.Forget(b, user, feature, id, &at)
		},
		then: func(_ context.Context, tx *transaction) (forgotten, error) {
			if at.IsZero() { // there was nothing to forget, and an event would be kept for ever
				return forgotten{}, nil
			}
			return forgotten{true}, tx.prefer(id, at, told)
		},
	})
}

// prefer emits a change of the person's preferences. Every request about what the person had is a new event: repeating one
// has no effect, unless a decision came in between.
func (tx *transaction) prefer(id string, at time.Time, told events.Preference) error {
	told.UserID, told.RecordedAt = tx.user, at.UTC()
	return tx.emit(&events.Event{
		Envelope:   events.Envelope{ID: id, Source: tx.source, Type: events.TypePreferenceChanged, Time: at.UTC()},
		Preference: &told,
	})
}
