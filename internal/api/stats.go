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

// selectStats sums the live version over a window of UTC days, today included, by policy. A day's fired is at least the
// number of its decisions, since a decision may be folded before its proposal. Proposals older than 30 days have expired
// and are not pending.
const selectStats = `
WITH days AS (
    SELECT policy_id, user_id, updated_at,
           day > (now() AT TIME ZONE 'UTC')::date - 30 AS recent,
           GREATEST(fired, 0, GREATEST(approved, 0) + GREATEST(rejected, 0)) AS fired,
           GREATEST(approved, 0) AS approved,
           GREATEST(rejected, 0) AS rejected,
           GREATEST(missed, 0) AS missed
    FROM live_policy_days
    WHERE user_id = $1
      AND day > (now() AT TIME ZONE 'UTC')::date - $2::integer
      AND day <= (now() AT TIME ZONE 'UTC')::date)
SELECT d.policy_id, p.name,
       sum(d.fired)::bigint,
       sum(d.approved)::bigint,
       sum(d.rejected)::bigint,
       sum(d.missed)::bigint,
       COALESCE(sum(d.fired - d.approved - d.rejected) FILTER (WHERE d.recent), 0)::bigint,
       max(d.updated_at)
FROM days d
LEFT JOIN policies p ON p.id = d.policy_id AND p.user_id = d.user_id
GROUP BY d.policy_id, p.name
ORDER BY 3 DESC, 1`

type statsInput struct {
	Waiting
	WindowDays int `query:"window_days" default:"30" minimum:"1" maximum:"365" doc:"UTC days, today included"`
}

type statsOutput struct {
	Body []policyStats `nullable:"false"`
}

type policyStats struct {
	PolicyID      int64     `json:"policy_id"`
	Name          *string   `json:"name" doc:"null for a policy that is not the caller's, such as another service's"`
	Precision     float64   `json:"precision" doc:"approved / fired, 0 when nothing fired"`
	PrecisionLow  float64   `json:"precision_low" doc:"Lower end of the 95 % Wilson interval"`
	PrecisionHigh float64   `json:"precision_high" doc:"Upper end of the 95 % Wilson interval"`
	Approved      int64     `json:"approved"`
	Rejected      int64     `json:"rejected"`
	Fired         int64     `json:"fired"`
	Pending       int64     `json:"pending" doc:"Fired within the last 30 days, and neither approved nor rejected; older proposals have expired"`
	Recall        *float64  `json:"recall" doc:"approved / (approved + missed), null while nothing is known"`
	WindowDays    int       `json:"window_days"`
	UpdatedAt     time.Time `json:"updated_at"`
}

func (s *server) routeStats(api huma.API) {
	Route(api, huma.Operation{OperationID: "policyStats", Method: http.MethodGet, Path: "/policy/stats", Tags: []string{"policies"},
		Errors: waitErrors, Summary: "Read how well the policies do"}, s.stats)
}

func (s *server) stats(ctx context.Context, in *statsInput) (*statsOutput, error) {
	if err := s.waitFor(ctx, &in.Waiting, "policystats", events.TopicActions); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, selectStats, auth.From(ctx).ID, in.WindowDays)
	if err != nil {
		return nil, fmt.Errorf("read policy statistics: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (policyStats, error) {
		p := policyStats{WindowDays: in.WindowDays}
		var missed int64
		err := row.Scan(&p.PolicyID, &p.Name, &p.Fired, &p.Approved, &p.Rejected, &missed, &p.Pending, &p.UpdatedAt)
		p.derive(missed)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read policy statistics: %w", err)
	}
	return &statsOutput{notNil(list)}, nil
}

// derive computes the ratios from the counts.
func (p *policyStats) derive(missed int64) {
	p.UpdatedAt = p.UpdatedAt.UTC()
	if p.Fired > 0 {
		p.Precision = round3(float64(p.Approved) / float64(p.Fired))
	}
	low, high := wilson(p.Approved, p.Fired)
	p.PrecisionLow, p.PrecisionHigh = round3(low), round3(high)
	if known := p.Approved + missed; known > 0 {
		recall := round3(float64(p.Approved) / float64(known))
		p.Recall = &recall
	}
}

// wilson returns the 95 % Wilson score interval of successes among n trials; 0 and 1 without a trial.
func wilson(successes, n int64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // the normal distribution's 97.5 % point
	trials := float64(n)
	share := float64(successes) / trials
	center := share + z*z/(2*trials)
	margin := z * math.Sqrt(share*(1-share)/trials+z*z/(4*trials*trials))
	scale := 1 + z*z/trials
	return max(0, (center-margin)/scale), min(1, (center+margin)/scale)
}

func round3(x float64) float64 { return math.Round(x*1000) / 1000 }
