package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
)

const mailColumns = ` id::text, category, sender, sender_domain, list_id, subject, risk_score, quarantined, labels, received_at, expires_at`

const selectNewestMails = `
SELECT` + mailColumns + ` FROM live_mails WHERE user_id = $1 ORDER BY received_at DESC, id LIMIT $2`

const selectMails = `
SELECT` + mailColumns + ` FROM live_mails WHERE user_id = $1 AND id = ANY ($2::uuid[]) ORDER BY received_at DESC, id`

// selectPromoRatios returns, by sender, the share of promotions among their mail to the person in the last 90 days. The
// domains let it use the index.
const selectPromoRatios = `
SELECT sender, avg((category = 'promo')::int)::float8
FROM live_mails
WHERE user_id = $1 AND sender_domain = ANY ($2) AND sender = ANY ($3) AND received_at > $4::timestamptz - interval '90 days' AND received_at <= $4
GROUP BY sender`

const selectWeights = `SELECT feature, weight FROM user_weights WHERE user_id = $1 AND feature = ANY ($2)`

// mailChoice tells which of the person's mails are meant.
type mailChoice struct {
	ids   []string // empty: the newest
	limit int      // of the newest
}

type proposeInput struct {
	Idempotent
	Body *proposeBody
}

type proposeBody struct {
	Query    string   `json:"query,omitempty" maxLength:"1000" doc:"What GET /search takes as q; empty: all mail"`
	EmailIDs []string `json:"email_ids,omitempty" maxItems:"1000" doc:"Ids of mails, of which a query takes those that it finds; empty: the newest that it finds"`
	Limit    int      `json:"limit,omitempty" default:"100" minimum:"1" maximum:"1000" doc:"How many of the newest mails, when no ids are given"`
}

func (s *server) propose(ctx context.Context, in *proposeInput) (*answered[[]actionView], error) {
	body := proposeBody{Limit: 100}
	if in.Body != nil {
		body = *in.Body
	}
	query, err := parseQuery("body.query", body.Query)
	if err != nil {
		return nil, err
	}
	mails, err := s.askedAbout(ctx, &body, query)
	if err != nil {
		return nil, err
	}
	proposals, err := s.choose(ctx, mails)
	if err != nil {
		return nil, err
	}
	slices.Reverse(proposals) // the oldest mail goes first, so that the tray shows the newest first
	var added actions.ByID
	return change(ctx, s, in.Key, http.StatusOK, work[[]actionView]{
		first: func(b *pgx.Batch, user string) { actions.Propose(b, user, proposals, &added) },
		then: func(_ context.Context, tx *transaction) ([]actionView, error) {
			return proposed(tx, proposals, added)
		},
	})
}

// choose lets the person's policies propose actions on mails. It only reads, before the lock is taken.
func (s *server) choose(ctx context.Context, mails []policy.Mail) ([]actions.Proposal, error) {
	now := time.Now()
	learned, err := s.learned(ctx, mails, now)
	if err != nil {
		return nil, err
	}
	weight := func(feature string) float64 { return learned.weights[feature] }
	var list []actions.Proposal
	err = s.ask(ctx, learned.policies, func(set *policy.Set, pause func() error) error {
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

// ask lets a person's policies look at mail, in turns with other requests. pause is called before each condition, and has to be
// called after the last.
func (s *server) ask(ctx context.Context, policies []policy.Policy, work func(set *policy.Set, pause func() error) error) error {
	err := s.processor.run(ctx, s.compute, func(pause func() error) error {
		set, err := policy.NewSet(policies)
		if err != nil {
			return err
		}
		return work(set.Pausing(pause), pause)
	})
	if errors.Is(err, errProcessorTime) {
		return invalidField("body", fmt.Sprintf("your policies compute for more than %s about this mail: ask about less mail, "+
			"or let them have fewer and simpler regular expressions", s.compute))
	}
	return err
}

func proposalOf(mail policy.Mail, p policy.Proposal, now time.Time) actions.Proposal {
	return actions.Proposal{
		ID: events.NewUUIDv7(now).String(), PolicyID: p.Policy.ID, EmailID: mail.ID,
		Action: p.Policy.Action, Params: p.Params, Confidence: p.Confidence, Explored: p.Explored,
		Rationale: p.Rationale, Features: notNil(p.Features), FeatureRule: policy.FeatureRule,
		Category: mail.Category, SenderDomain: mail.SenderDomain, ListID: mail.ListID,
	}
}

// proposed emits the events of the proposals that were added, in their order, and returns the actions the other way round.
func proposed(tx *transaction, list []actions.Proposal, added actions.ByID) ([]actionView, error) {
	views := make([]actionView, 0, len(added))
	emitted := make([]*events.Event, 0, len(added))
	for _, p := range list {
		id, _ := events.ParseUUID(p.ID) // our own
		if a := added[id]; a != nil {
			views = append(views, viewOfAction(a))
			emitted = append(emitted, tx.event(events.TypeActionProposed, a))
		}
	}
	slices.Reverse(views)
	return views, tx.emit(emitted...)
}

// mails reads the chosen mails, newest first, with the applications that belong to them. Ids of mails that the person
// does not have are a 404.
func (s *server) mails(ctx context.Context, choice mailChoice) ([]policy.Mail, error) {
	if len(choice.ids) == 0 {
		return s.readMails(ctx, selectNewestMails, choice.limit)
	}
	ids, err := mailIDs(choice.ids)
	if err != nil {
		return nil, err
	}
	mails, err := s.readMails(ctx, selectMails, postgres.UUIDs(ids))
	if err != nil {
		return nil, err
	}
	return mails, allFound(choice.ids, mails)
}

// readMails runs selectNewestMails or selectMails.
func (s *server) readMails(ctx context.Context, sql string, arg any) ([]policy.Mail, error) {
	user := auth.From(ctx).ID
	rows, err := s.pool.Query(ctx, sql, user, arg)
	if err != nil {
		return nil, fmt.Errorf("read mails: %w", err)
	}
	mails, err := pgx.CollectRows(rows, scanMail)
	if err != nil {
		return nil, fmt.Errorf("read mails: %w", err)
	}
	return mails, s.attachATS(ctx, user, mails)
}

func mailIDs(list []string) ([]events.UUID, error) {
	ids := make([]events.UUID, len(list))
	for i, text := range list {
		id, err := events.ParseUUID(text)
		if err != nil {
			return nil, noMail(i)
		}
		ids[i] = id
	}
	return ids, nil
}

func noMail(i int) error {
	return huma.Error404NotFound("there is no such mail",
		&huma.ErrorDetail{Location: fmt.Sprintf("body.email_ids[%d]", i), Message: "you have no mail with this id"})
}

func allFound(wanted []string, mails []policy.Mail) error {
	found := map[string]bool{}
	for _, mail := range mails {
		found[mail.ID] = true
	}
	for i, text := range wanted {
		id, _ := events.ParseUUID(text) // checked before
		if !found[id.String()] {
			return noMail(i)
		}
	}
	return nil
}

func scanMail(row pgx.CollectableRow) (policy.Mail, error) {
	var m policy.Mail
	var expires *time.Time
	err := row.Scan(&m.ID, &m.Category, &m.Sender, &m.SenderDomain, &m.ListID, &m.Subject,
		&m.RiskScore, &m.Quarantined, &m.Labels, &m.ReceivedAt, &expires)
	if expires != nil {
		m.ExpiresAt = *expires
	}
	return m, err
}

func (s *server) attachATS(ctx context.Context, user string, mails []policy.Mail) error {
	if s.ats == nil || len(mails) == 0 {
		return nil
	}
	ids := make([]string, len(mails))
	for i := range mails {
		ids[i] = mails[i].ID
	}
	found, err := s.ats(ctx, user, ids)
	if err != nil {
		return fmt.Errorf("read applications: %w", err)
	}
	for i := range mails {
		if ats, ok := found[mails[i].ID]; ok {
			mails[i].ATS = &ats
		}
	}
	return nil
}

// learned is what a person's policies need, beside the mail, to propose.
type learned struct {
	policies    []policy.Policy
	weights     map[string]float64 // of the features of mails
	promoRatios map[string]float64 // how much of their mail the senders of promotions send as promotions
}

// learned reads, in one round trip, what the policies need to propose actions on mails.
func (s *server) learned(ctx context.Context, mails []policy.Mail, now time.Time) (*learned, error) {
	user := auth.From(ctx).ID
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
	queuePairs(b, "read weights", &l.weights, selectWeights, user, keys(features))
	if len(senders) > 0 {
		queuePairs(b, "read promo ratios", &l.promoRatios, selectPromoRatios, user, keys(domains), keys(senders), now)
	}
	return &l, s.pool.SendBatch(ctx, b).Close()
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

func keys(set map[string]struct{}) []string {
	list := make([]string, 0, len(set))
	for key := range set {
		list = append(list, key)
	}
	slices.Sort(list)
	return list
}
