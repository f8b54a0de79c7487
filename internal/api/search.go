package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/words"
)

// selectHits reads what people want to see of mails of the person, with the applications that belong to them. Many long
// texts would take much memory, for a snippet that is almost always near the beginning.
const selectHits = `
SELECT m.id, m.subject, m.sender, m.sender_name, m.received_at, m.category, m.labels, left(m.text, 20000),
       a.mail_id IS NOT NULL, COALESCE(a.system, ''), COALESCE(a.application_id, ''), COALESCE(a.stage, ''), COALESCE(a.company, ''),
       a.last_stage_change, a.interview_date, ghosting_risk(a.last_stage_change, a.interview_date, now()),
       COALESCE(floor(extract(epoch FROM now() - a.last_stage_change) / 86400), 0)::integer
FROM live_mails m
LEFT JOIN ats_of($2::uuid[]) a ON a.mail_id = m.id
WHERE m.user_id = $1 AND m.id = ANY ($2::uuid[])`

// snippetLength is how many characters of a mail's text a hit shows.
const snippetLength = 160

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

	// hitMail is a hit and what else is read to make it.
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

// Schema tells huma what it cannot find out.
func (atsOrNone) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{r.Schema(reflect.TypeFor[atsView](), true, ""), {Type: "null"}}}
}

func (s *server) routeSearch(api huma.API) {
	Route(api, huma.Operation{OperationID: "search", Method: http.MethodGet, Path: "/search", Tags: []string{"search"},
		Errors: waitErrors, Summary: "Find mail", Description: searchDescription}, s.find)
}

func (s *server) find(ctx context.Context, in *searchInput) (*searchOutput, error) {
	query, err := parseQuery("query.q", in.Q)
	if err != nil {
		return nil, err
	}
	if in.Near != "" && len(words.Split(in.Near)) == 0 {
		return nil, invalidField("query.near", "a place has letters or digits")
	}
	if err := s.waitForSearch(ctx, &in.Waiting); err != nil {
		return nil, err
	}
	wanted, err := s.taste(ctx, in)
	if err != nil {
		return nil, err
	}
	where, wishes := query.At(time.Now()), wanted.wishes()
	found, err := s.searchMails(ctx, "query.q", request(ctx, where, wishes, in.Limit))
	if err != nil {
		return nil, err
	}
	output := &searchOutput{}
	output.Body.Hits, err = s.hits(ctx, found, where, wishes)
	return output, err
}

// taste reads what was learned, when that counts in the mode.
func (s *server) taste(ctx context.Context, in *searchInput) (*taste, error) {
	wanted := &taste{mode: in.Mode, near: in.Near}
	if in.Mode != networking {
		return wanted, nil
	}
	weights, err := s.pairs(ctx, "read the weight of meetups", selectWeights, auth.From(ctx).ID, []string{meetupFeature})
	wanted.meetup = weights[meetupFeature]
	return wanted, err
}

func request(ctx context.Context, where search.Node, wishes []wish, limit int) search.Request {
	r := search.Request{UserID: auth.From(ctx).ID, Where: where, Limit: limit}
	for _, w := range wishes {
		r.Should = append(r.Should, w.node)
	}
	return r
}

// hits reads the mails that were found, in their order, and tells why they are high. A mail that has gone since it was
// indexed is left out.
func (s *server) hits(ctx context.Context, found []search.Hit, where search.Node, wishes []wish) ([]hit, error) {
	rows, err := s.pool.Query(ctx, selectHits, auth.From(ctx).ID, uuids(hitIDs(found)))
	if err != nil {
		return nil, fmt.Errorf("read hits: %w", err)
	}
	mails, err := pgx.CollectRows(rows, scanHit)
	if err != nil {
		return nil, fmt.Errorf("read hits: %w", err)
	}
	byID := make(map[string]*hitMail, len(mails))
	for i := range mails {
		byID[mails[i].ID] = &mails[i]
	}
	list := make([]hit, 0, len(mails))
	for _, f := range found {
		m := byID[f.ID.String()]
		if m == nil {
			continue
		}
		for _, i := range f.Matched {
			m.Boosts = append(m.Boosts, boost{wishes[i].boost, wishes[i].why(m)})
		}
		m.Snippet = search.Snippet(m.text, where, snippetLength)
		list = append(list, m.hit)
	}
	return list, nil
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

// parseQuery refuses a bad query with its field and the place in it.
func parseQuery(location, text string) (*search.Query, error) {
	query, err := search.Parse(text)
	var fault *search.Error
	if errors.As(err, &fault) {
		return nil, invalidField(location, fault.Error())
	}
	return query, err
}

// searchMails asks the engine. A search that takes too long is told of the field that holds the query.
func (s *server) searchMails(ctx context.Context, location string, r search.Request) ([]search.Hit, error) {
	found, err := s.engine.Search(ctx, r)
	if errors.Is(err, search.ErrTooSlow) {
		return nil, invalidField(location, "this search takes too long: name a field, a rarer word or a shorter time")
	}
	return found, engineProblem(ctx, err)
}

// engineProblem turns into a 503 that the engine is out of reach.
func engineProblem(ctx context.Context, err error) error {
	if !errors.Is(err, search.ErrUnavailable) {
		return err
	}
	loggerFrom(ctx).Warn("search engine is unavailable", "error", err)
	return unavailable("the search cannot be reached at the moment")
}
