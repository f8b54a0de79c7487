// Package proposals lets a person's policies choose what to propose for mail. It reads the mail, what was learned of it, and
// the policies, and changes nothing: internal/actions stores proposals, under the person's lock. Requests that propose and the
// proposer both choose by it, so that a mail gets the same proposal from either.
package proposals

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/turns"
)

// selectPromoRatios returns, by sender, the share of promotions among their mail to the person in the last 90 days. The
// domains let it use the index.
const selectPromoRatios = `
SELECT sender, avg((category = 'promo')::int)::float8
FROM live_mails
WHERE user_id = $1 AND sender_domain = ANY ($2) AND sender = ANY ($3) AND received_at > $4::timestamptz - interval '90 days' AND received_at <= $4
GROUP BY sender`

const selectWeights = `SELECT feature, weight FROM user_weights WHERE user_id = $1 AND feature = ANY ($2)`

// Chooser lets policies choose. It is safe for concurrent use.
type Chooser struct {
	Mails

	// Processors are lent to policies, in turns with whatever else computes. Required.
	Processors *turns.Processors
}

// Choose returns what the person's policies propose for mails of theirs, in the order of the mails: one proposal at most for
// each. The error is turns.ErrTime when the policies compute for longer than most.
func (c *Chooser) Choose(ctx context.Context, user string, mails []policy.Mail, most time.Duration) ([]actions.Proposal, error) {
	now := time.Now()
	learned, err := c.learned(ctx, user, mails, now)
	if err != nil {
		return nil, err
	}
	weight := func(feature string) float64 { return learned.weights[feature] }
	var list []actions.Proposal
	err = c.Ask(ctx, learned.policies, most, func(set *policy.Set, pause func() error) error {
		for _, mail := range mails {
			if p, fires := set.Choose(mail, now, learned.promoRatios[mail.Sender], weight); fires {
				list = append(list, proposalOf(mail, p, now))
			}
			if err := pause(); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// Ask lets policies look at mail, in turns, for at most so long. pause is called before each condition, and has to be called
// after the last. The error is a *UnknownCondition if this binary cannot read the condition of a policy.
func (c *Chooser) Ask(ctx context.Context, policies []policy.Policy, most time.Duration, work func(set *policy.Set, pause func() error) error) error {
	return c.Processors.Run(ctx, most, func(pause func() error) error {
		set, err := policy.NewSet(policies)
		if err != nil {
			return &UnknownCondition{err}
		}
		return work(set.Pausing(pause), pause)
	})
}

// UnknownCondition tells that a stored condition is none of this binary's.
type UnknownCondition struct{ cause error }

// Error implements error.
func (u *UnknownCondition) Error() string { return u.cause.Error() }

// Unwrap returns the cause.
func (u *UnknownCondition) Unwrap() error { return u.cause }

func proposalOf(mail policy.Mail, p policy.Proposal, now time.Time) actions.Proposal {
	features := p.Features
	if features == nil {
		features = []string{}
	}
	return actions.Proposal{
		ID: events.NewUUIDv7(now).String(), PolicyID: p.Policy.ID, EmailID: mail.ID,
		Action: p.Policy.Action, Params: p.Params, Confidence: p.Confidence, Explored: p.Explored,
		Rationale: p.Rationale, Features: features, FeatureRule: policy.FeatureRule,
		Category: mail.Category, SenderDomain: mail.SenderDomain, ListID: mail.ListID,
	}
}

// learned is what a person's policies need, beside the mail, to propose.
type learned struct {
	policies    []policy.Policy
	weights     map[string]float64 // of the features of mails
	promoRatios map[string]float64 // how much of their mail the senders of promotions send as promotions
}

// learned reads, in one round trip, what the policies need to propose actions on mails.
func (c *Chooser) learned(ctx context.Context, user string, mails []policy.Mail, now time.Time) (*learned, error) {
	features, senders, domains := map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}
	for i := range mails {
		for _, feature := range mails[i].Features() {
			features[feature] = struct{}{}
		}
		if mails[i].Category == "promo" {
			senders[mails[i].Sender] = struct{}{}
			domains[mails[i].SenderDomain] = struct{}{}
		}
	}
	var l learned
	b := &pgx.Batch{}
	actions.ReadPolicies(b, user, &l.policies)
	ReadWeights(b, user, keys(features), &l.weights)
	if len(senders) > 0 {
		queuePairs(b, "read promo ratios", &l.promoRatios, selectPromoRatios, user, keys(domains), keys(senders), now)
	}
	return &l, c.Pool.SendBatch(ctx, b).Close()
}

// ReadWeights stores in into what the person's decisions taught of features, by feature.
func ReadWeights(b *pgx.Batch, user string, features []string, into *map[string]float64) {
	queuePairs(b, "read weights", into, selectWeights, user, features)
}

// queuePairs adds a query of rows with a text and a number.
func queuePairs(b *pgx.Batch, doing string, into *map[string]float64, sql string, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		found := map[string]float64{}
		var name string
		var value float64
		_, err := pgx.ForEachRow(rows, []any{&name, &value}, func() error {
			found[name] = value
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		*into = found
		return nil
	})
}

func keys(set map[string]struct{}) []string { return slices.Sorted(maps.Keys(set)) }
