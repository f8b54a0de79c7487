package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/turns"
)

// selectHits reads what a hit shows of the person's mails and of the applications that belong to them. AS MATERIALIZED and
// OFFSET 0 make every plan, also one that PostgreSQL keeps, call ats_of once. It reads only the beginning of long texts,
// where the snippet almost always is, to bound memory.
const selectHits = `
WITH a AS MATERIALIZED (SELECT * FROM ats_of($2::uuid[]))
SELECT m.id, m.subject, m.sender, m.sender_name, m.received_at, m.category, m.labels, left(m.text, 20000),
       a.mail_id IS NOT NULL, COALESCE(a.system, ''), COALESCE(a.application_id, ''), COALESCE(a.stage, ''), COALESCE(a.company, ''),
       a.last_stage_change, a.interview_date, ghosting_risk(a.last_stage_change, a.interview_date, now()),
       COALESCE(floor(extract(epoch FROM now() - a.last_stage_change) / 86400), 0)::integer
FROM unnest($2::uuid[]) AS hit(id)
CROSS JOIN LATERAL (SELECT * FROM live_mails WHERE user_id = $1 AND id = hit.id OFFSET 0) m
LEFT JOIN a ON a.mail_id = m.id`

// snippetLength is how many characters of a mail's text a hit shows.
const snippetLength = 160

type (
	hit struct {
		ID         string     `json:"id" format:"uuid"`
		Subject    string     `json:"subject"`
		Sender     string     `json:"sender" doc:"The address"`
		SenderName string     `json:"sender_name"`
		ReceivedAt time.Time  `json:"received_at"`
		Category   string     `json:"category"`
		Labels     []string   `json:"labels" nullable:"false"`
		Snippet    string     `json:"snippet" doc:"Some of the text, around a word that was searched for"`
		ATS        *atsOrNone `json:"ats" doc:"The application that the mail belongs to, as it is now"`
		Boosts     []boost    `json:"boosts" nullable:"false" doc:"Why the hit is high"`
	}

	// hitMail is a hit with the data that it is made from.
	hitMail struct {
		hit
		text      string
		quietDays int // since the application's stage changed
	}
	boost struct {
		Boost string `json:"boost" enum:"ghosting_risk,stage,category_event,meetup,conference,webinar,learned_meetup,near,receipt,invoice,payment,category_finance"`
		Why   string `json:"why" doc:"A sentence for people"`
	}
	atsView struct {
		System          string     `json:"system"`
		ApplicationID   string     `json:"application_id"`
		Stage           string     `json:"stage"`
		Company         string     `json:"company"`
		LastStageChange *time.Time `json:"last_stage_change"`
		InterviewDate   *time.Time `json:"interview_date"`
		GhostingRisk    float64    `json:"ghosting_risk" minimum:"0" maximum:"1"`
	}

	// atsOrNone is an atsView that may be null, which huma can say of scalars only.
	atsOrNone atsView
)

// Schema describes the type to huma, which cannot derive it.
func (atsOrNone) Schema(r huma.Registry) *huma.Schema { return orNull[atsView](r) }

// orNull describes a T that may be null.
func orNull[T any](r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[T](), true, ""), {Type: "null"}}}
}

// hits reads the mails that were found, in their order, and adds why they rank high. A mail that was deleted after it was
// indexed is left out.
func (s *server) hits(ctx context.Context, found []search.Hit, where search.Node, wishes []wish) ([]hit, error) {
	byID, err := s.hitMails(ctx, found)
	if err != nil {
		return nil, err
	}
	list := make([]hit, 0, len(byID))
	err = s.chooser.Processors.Run(ctx, s.compute, func(pause func() error) error {
		for _, f := range found {
			m := byID[f.ID]
			if m == nil {
				continue
			}
			m.boostBy(f.Matched, wishes)
			m.Snippet = search.Snippet(m.text, where, snippetLength)
			list = append(list, m.hit)
			if err := pause(); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, turns.ErrTime) {
		return nil, invalidField("query.limit", "the texts of so many hits take too long to read: ask for fewer")
	}
	return list, err
}

// boostBy notes the wishes that the mail fulfils.
func (m *hitMail) boostBy(matched []int, wishes []wish) {
	for _, i := range matched {
		m.Boosts = append(m.Boosts, boost{wishes[i].boost, wishes[i].why(m)})
	}
}

// hitMails reads the mails that were found, by id.
func (s *server) hitMails(ctx context.Context, found []search.Hit) (map[events.UUID]*hitMail, error) {
	rows, err := s.pool.Query(ctx, selectHits, auth.From(ctx).ID, postgres.UUIDs(hitIDs(found)))
	if err != nil {
		return nil, fmt.Errorf("read hits: %w", err)
	}
	mails, err := pgx.CollectRows(rows, scanHit)
	if err != nil {
		return nil, fmt.Errorf("read hits: %w", err)
	}
	byID := make(map[events.UUID]*hitMail, len(mails))
	for i := range mails {
		id, _ := events.ParseUUID(mails[i].ID) // our own
		byID[id] = &mails[i]
	}
	return byID, nil
}

func scanHit(row pgx.CollectableRow) (hitMail, error) {
	h := hitMail{hit: hit{Boosts: []boost{}}}
	var id [16]byte
	var a atsOrNone
	var has bool
	err := row.Scan(&id, &h.Subject, &h.Sender, &h.SenderName, &h.ReceivedAt, &h.Category, &h.Labels, &h.text,
		&has, &a.System, &a.ApplicationID, &a.Stage, &a.Company, &a.LastStageChange, &a.InterviewDate, &a.GhostingRisk, &h.quietDays)
	h.ID, h.Labels, h.ReceivedAt = events.UUID(id).String(), notNil(h.Labels), h.ReceivedAt.UTC()
	if has {
		a.LastStageChange, a.InterviewDate = utc(a.LastStageChange), utc(a.InterviewDate)
		h.ATS = &a
	}
	return h, err
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	at := t.UTC()
	return &at
}

func hitIDs(found []search.Hit) []events.UUID {
	ids := make([]events.UUID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	return ids
}
