package ats

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/policy"
)

// selectOfMails reads the applications of given mails, with their current risk.
const selectOfMails = `
SELECT mail_id::text, system, stage, company, ghosting_risk(last_stage_change, interview_date, now())
FROM ats_of($2::text[]::uuid[]) WHERE user_id = $1`

// OfMails returns the function with which the API reads the applications of a user's mails, by mail id.
func OfMails(pool *pgxpool.Pool) func(ctx context.Context, userID string, mailIDs []string) (map[string]policy.ATS, error) {
	return func(ctx context.Context, userID string, mailIDs []string) (map[string]policy.ATS, error) {
		rows, err := pool.Query(ctx, selectOfMails, userID, mailIDs)
		if err != nil {
			return nil, fmt.Errorf("read applications of mails: %w", err)
		}
		found := make(map[string]policy.ATS, len(mailIDs))
		var id string
		var application policy.ATS
		_, err = pgx.ForEachRow(rows, []any{&id, &application.System, &application.Stage, &application.Company, &application.GhostingRisk}, func() error {
			found[id] = application
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read applications of mails: %w", err)
		}
		return found, nil
	}
}
