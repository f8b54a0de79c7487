package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/hypertext"
	"github.com/applylens/applylens/internal/mailhtml"
	"github.com/applylens/applylens/internal/policy"
)

// selectMail reads one of a person's mails with its application. Its HTML is read for the addresses of its links.
const selectMail = `
WITH a AS MATERIALIZED (SELECT * FROM ats_of(ARRAY[$2::uuid]))
SELECT m.message_id, m.thread, m.subject, m.sender, m.sender_name, m.sender_domain, m.recipients, m.list_id, m.received_at, m.category,
       m.risk_score, m.quarantined, m.labels, m.expires_at, m.text, m.truncated, COALESCE(m.html, ''),
       a.mail_id IS NOT NULL, COALESCE(a.system, ''), COALESCE(a.application_id, ''), COALESCE(a.stage, ''), COALESCE(a.company, ''),
       a.last_stage_change, a.interview_date, ghosting_risk(a.last_stage_change, a.interview_date, now()),
       COALESCE(m.receipt_merchant, ''), COALESCE(round(m.receipt_amount, 2)::text, ''), COALESCE(m.receipt_currency, '')
FROM live_mails m
LEFT JOIN a ON a.mail_id = m.id
WHERE m.user_id = $1 AND m.id = $2`

// selectHTML reads the HTML of one of a person's mails, which is empty if it has none.
const selectHTML = `SELECT COALESCE(html, '') FROM live_mails WHERE user_id = $1 AND id = $2`

// selectLearned reads what was learned of features.
const selectLearned = `SELECT feature, weight, pinned IS NOT NULL FROM live_weight_counts WHERE user_id = $1 AND feature = ANY ($2)`

const (
	// mostOnMail is how many proposals the answer on a mail lists at most.
	mostOnMail = 100

	// mostLinks is how many links it lists at most, none of them longer than mostTarget bytes.
	mostLinks  = 100
	mostTarget = 2000
)

type mailInput struct {
	ID string `path:"id" doc:"The mail's id"`
}

type (
	mailOutput struct{ Body mailView }

	mailView struct {
		ID          string         `json:"id" format:"uuid"`
		MessageID   string         `json:"message_id"`
		Thread      string         `json:"thread"`
		Subject     string         `json:"subject"`
		Sender      string         `json:"sender" doc:"The address"`
		SenderName  string         `json:"sender_name"`
		Recipients  []string       `json:"recipients" nullable:"false"`
		ListID      string         `json:"list_id"`
		ReceivedAt  time.Time      `json:"received_at"`
		Category    string         `json:"category"`
		RiskScore   *int           `json:"risk_score" minimum:"0" maximum:"100" doc:"null when nothing speaks of a risk"`
		Quarantined bool           `json:"quarantined"`
		Labels      []string       `json:"labels" nullable:"false"`
		ExpiresAt   *time.Time     `json:"expires_at"`
		Text        string         `json:"text"`
		Truncated   bool           `json:"truncated" doc:"The text was longer"`
		HTML        bool           `json:"html" doc:"There is HTML, at /mail/{id}/html"`
		Links       []mailLink     `json:"links" nullable:"false" doc:"Those of the HTML that lead to a site or an address, at most 100"`
		ATS         *atsOrNone     `json:"ats" doc:"The application that the mail belongs to, as it is now"`
		Receipt     *receiptOrNone `json:"receipt" doc:"What was charged, paid or refunded"`
		Actions     []mailAction   `json:"actions" nullable:"false" doc:"What was proposed, whatever became of it, the newest first, at most 100"`
		Learned     []mailFeature  `json:"learned" nullable:"false" doc:"The mail's features with what your decisions taught of them, the strongest first"`
	}

	mailLink struct {
		Text string `json:"text"`
		URL  string `json:"url"`
	}

	mailAction struct {
		ID         string     `json:"id" format:"uuid"`
		Action     string     `json:"action"`
		Params     object     `json:"params"`
		Status     string     `json:"status" enum:"pending,approved,rejected,expired"`
		Confidence float64    `json:"confidence" minimum:"0" maximum:"1"`
		Explored   bool       `json:"explored"`
		Rationale  object     `json:"rationale"`
		Policy     trayPolicy `json:"policy"`
		CreatedAt  time.Time  `json:"created_at"`
		DecidedAt  *time.Time `json:"decided_at"`
	}

	mailFeature struct {
		Feature string  `json:"feature"`
		Weight  float64 `json:"weight" doc:"0 when nothing was learned"`
		Pinned  bool    `json:"pinned" doc:"The weight was set by hand"`
	}

	receiptView struct {
		Merchant string  `json:"merchant"`
		Amount   decimal `json:"amount"`
		Currency string  `json:"currency" doc:"ISO 4217"`
	}

	// receiptOrNone is a receiptView that may be null.
	receiptOrNone receiptView
)

// Schema describes the type to huma.
func (receiptOrNone) Schema(r huma.Registry) *huma.Schema { return orNull[receiptView](r) }

// mailHTMLOutput is the HTML of a mail. Its headers take the place of those that all answers have.
type mailHTMLOutput struct {
	ContentType string `header:"Content-Type"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

// mailHTMLPolicy lets a mail's HTML do nothing and load nothing, whatever sanitising it missed: it has no origin, and only a page
// of ours may show it.
const mailHTMLPolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"

// mailHTMLResponses are made anew for each API, since huma adds to them.
func mailHTMLResponses() map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "OK",
		Content:     map[string]*huma.MediaType{"text/html": {Schema: &huma.Schema{Type: huma.TypeString}}},
	}}
}

const mailHTMLDescription = `A document of its own, without scripts, forms, images, addresses that a browser would follow, and styles beyond colours, type and ` +
	`boxes. Its Content-Security-Policy has it loaded into a sandbox. 404 also for a mail that has no HTML.`

func (s *server) routeMail(api huma.API) {
	tags := []string{"mail"}
	Route(api, huma.Operation{OperationID: "mail", Method: http.MethodGet, Path: "/mail/{id}", Tags: tags,
		Summary: "Read a mail, what was proposed for it, and what was learned of it"}, s.mail)
	Route(api, huma.Operation{OperationID: "mailHTML", Method: http.MethodGet, Path: "/mail/{id}/html", Tags: tags,
		Summary: "Read the HTML of a mail, made safe to show", Description: mailHTMLDescription, Responses: mailHTMLResponses()}, s.mailHTML)
}

// mail reads in two round trips: the features of what was learned are those of the mail.
func (s *server) mail(ctx context.Context, in *mailInput) (*mailOutput, error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("mail")
	}
	user := auth.From(ctx).ID
	m := &readMail{mailView: mailView{ID: id.String()}}
	var proposed []actions.OnMail
	b := &pgx.Batch{}
	b.Queue(selectMail, user, [16]byte(id)).QueryRow(m.scan)
	actions.ReadOnMail(b, user, id.String(), mostOnMail, &proposed)
	if err := s.pool.SendBatch(ctx, b).Close(); errors.Is(err, pgx.ErrNoRows) {
		return nil, notFound("mail")
	} else if err != nil {
		return nil, fmt.Errorf("read a mail: %w", err)
	}
	m.Actions = actionsOnMail(proposed)
	if m.Learned, err = s.learnedOf(ctx, user, m.features()); err != nil {
		return nil, err
	}
	err = s.chooser.Processors.Run(ctx, s.compute, func(func() error) error {
		m.Links = linksOf(m.source)
		return nil
	})
	return &mailOutput{m.mailView}, err
}

// readMail is a mail with the data that its view is made from.
type readMail struct {
	mailView
	domain string // the sender's
	source string // the HTML as it was sent
}

func (m *readMail) scan(row pgx.Row) error {
	var a atsOrNone
	var r receiptOrNone
	var hasATS bool
	err := row.Scan(&m.MessageID, &m.Thread, &m.Subject, &m.Sender, &m.SenderName, &m.domain, &m.Recipients, &m.ListID, &m.ReceivedAt, &m.Category,
		&m.RiskScore, &m.Quarantined, &m.Labels, &m.ExpiresAt, &m.Text, &m.Truncated, &m.source,
		&hasATS, &a.System, &a.ApplicationID, &a.Stage, &a.Company, &a.LastStageChange, &a.InterviewDate, &a.GhostingRisk,
		&r.Merchant, &r.Amount, &r.Currency)
	if err != nil {
		return err
	}
	m.Recipients, m.Labels, m.HTML = notNil(m.Recipients), notNil(m.Labels), m.source != ""
	m.ReceivedAt, m.ExpiresAt = m.ReceivedAt.UTC(), utc(m.ExpiresAt)
	if hasATS {
		a.LastStageChange, a.InterviewDate = utc(a.LastStageChange), utc(a.InterviewDate)
		m.ATS = &a
	}
	if r.Amount != "" {
		m.Receipt = &r
	}
	return nil
}

// features are those by which the mail is learned of and scored.
func (m *readMail) features() []string {
	mail := policy.Mail{ID: m.ID, Category: m.Category, Sender: m.Sender, SenderDomain: m.domain, ListID: m.ListID, Subject: m.Subject}
	return mail.Features()
}

func actionsOnMail(list []actions.OnMail) []mailAction {
	views := make([]mailAction, len(list))
	for i := range list {
		p := &list[i]
		views[i] = mailAction{
			ID: p.ID, Action: p.Action, Params: object(p.Params), Status: p.Status, Confidence: p.Confidence, Explored: p.Explored,
			Rationale: object(p.Rationale), Policy: trayPolicy{p.PolicyID, p.PolicyName}, CreatedAt: p.CreatedAt.UTC(), DecidedAt: utc(p.DecidedAt),
		}
	}
	return views
}

// learnedOf returns features with what was learned of them, the strongest first and else in their order.
func (s *server) learnedOf(ctx context.Context, user string, features []string) ([]mailFeature, error) {
	rows, err := s.pool.Query(ctx, selectLearned, user, features)
	if err != nil {
		return nil, fmt.Errorf("read what was learned of a mail: %w", err)
	}
	found := map[string]mailFeature{}
	var f mailFeature
	_, err = pgx.ForEachRow(rows, []any{&f.Feature, &f.Weight, &f.Pinned}, func() error {
		found[f.Feature] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was learned of a mail: %w", err)
	}
	list := make([]mailFeature, len(features))
	for i, feature := range features {
		list[i] = found[feature]
		list[i].Feature = feature
	}
	slices.SortStableFunc(list, func(a, b mailFeature) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
	return list, nil
}

// linksOf returns the links of HTML that a person could follow: to sites and addresses, each once.
func linksOf(source string) []mailLink {
	_, found := hypertext.Read(source, len(source))
	list := []mailLink{}
	known := map[string]bool{}
	for _, l := range found {
		target, err := url.Parse(l.Target)
		if err != nil || len(l.Target) > mostTarget || known[l.Target] || len(list) == mostLinks {
			continue
		}
		switch scheme := strings.ToLower(target.Scheme); {
		case (scheme == "http" || scheme == "https") && target.Host != "", scheme == "mailto" && target.Opaque != "":
			known[l.Target] = true
			list = append(list, mailLink{strings.Join(strings.Fields(l.Text), " "), l.Target})
		}
	}
	return list
}

func (s *server) mailHTML(ctx context.Context, in *mailInput) (*mailHTMLOutput, error) {
	id, err := events.ParseUUID(in.ID)
	if err != nil {
		return nil, notFound("mail")
	}
	var source string
	err = s.pool.QueryRow(ctx, selectHTML, auth.From(ctx).ID, [16]byte(id)).Scan(&source)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, notFound("mail")
	case err != nil:
		return nil, fmt.Errorf("read a mail's HTML: %w", err)
	case source == "":
		return nil, huma.Error404NotFound("the mail has no HTML")
	}
	out := &mailHTMLOutput{ContentType: "text/html; charset=utf-8", Policy: mailHTMLPolicy}
	err = s.chooser.Processors.Run(ctx, s.compute, func(func() error) error {
		out.Body = mailhtml.Document(source)
		return nil
	})
	return out, err
}
