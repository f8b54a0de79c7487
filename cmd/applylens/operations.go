package main

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/internal/api"
)

// lagAnswer is the body of GET /ops/lag.
type lagAnswer struct {
	Body *lag.Report
}

// operations adds the operators' routes on the consumers, which package api does not import.
func operations(links *links) []func(huma.API) {
	return []func(huma.API){func(routes huma.API) {
		operation := huma.Operation{
			OperationID: "get-lag", Method: http.MethodGet, Path: "/ops/lag", Tags: []string{"operations"},
			Summary: "Consumer lag in records and exact seconds, with status and cause; null means unknown",
		}
		api.Route(routes, operation, func(ctx context.Context, _ *struct{}) (*lagAnswer, error) {
			report, err := lag.Read(ctx, lag.Config{Projections: projections(), Broker: links.broker, Pool: links.pool})
			if err != nil {
				return nil, huma.Error503ServiceUnavailable("neither Kafka nor PostgreSQL responds")
			}
			return &lagAnswer{report}, nil
		})
	}}
}
