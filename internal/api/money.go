package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
)

// The kinds of rows of selectSummary.
const (
	ofCurrency = "currency"
	ofMerchant = "merchant"
	ofMonth    = "month"
)

// selectSummary adds up a person's receipts: those of each currency, and by merchant and UTC month those of the main one, which has
// most receipts. All are of one snapshot. A merchant has the name that most of its receipts have.
const selectSummary = `
WITH receipts AS (
    SELECT receipt_key, receipt_merchant, receipt_amount AS amount, receipt_currency AS currency, received_at
    FROM live_mails
    WHERE user_id = $1 AND receipt_amount IS NOT NULL),
main AS (SELECT currency FROM receipts GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1)
SELECT kind, name, receipts, average, total::text
FROM (
    SELECT 'currency' AS kind, currency AS name, count(*) AS receipts, round(avg(amount), 2)::text AS average, round(sum(amount), 2) AS total
    FROM receipts GROUP BY currency
    UNION ALL
    SELECT 'merchant', mode() WITHIN GROUP (ORDER BY receipt_merchant), count(*), '', round(sum(amount), 2)
    FROM receipts WHERE currency = (SELECT currency FROM main) GROUP BY receipt_key
    UNION ALL
    SELECT 'month', to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, count(*), '', round(sum(amount), 2)
    FROM receipts WHERE currency = (SELECT currency FROM main) GROUP BY month) sums
ORDER BY kind, CASE kind WHEN 'currency' THEN receipts END DESC, CASE kind WHEN 'merchant' THEN total END DESC, name COLLATE "C"`

// selectDuplicates finds a person's charges that another one of the same merchant and amount came shortly before, the newest first, and tells how
// many there are in all. It reads the index of receipts alone, and then the subjects of what it found.
const selectDuplicates = `
WITH charges AS (
    SELECT id, received_at, receipt_merchant, receipt_amount, receipt_currency,
           lag(id) OVER same AS earlier_id, lag(received_at) OVER same AS earlier_at
    FROM live_mails
    WHERE user_id = $1 AND receipt_amount IS NOT NULL AND receipt_amount > 0
    WINDOW same AS (PARTITION BY receipt_key, receipt_currency, receipt_amount ORDER BY received_at, id)),
found AS MATERIALIZED (
    SELECT *, count(*) OVER () AS found FROM charges
    WHERE received_at - earlier_at <= make_interval(days => $2)
    ORDER BY received_at DESC, id DESC LIMIT $3)
SELECT f.found, f.receipt_merchant, round(f.receipt_amount, 2)::text, f.receipt_currency,
       f.earlier_id, f.earlier_at, COALESCE(e.subject, ''), f.id, f.received_at, COALESCE(l.subject, ''),
       floor(extract(epoch FROM f.received_at - f.earlier_at) / 86400)::integer
FROM found f
LEFT JOIN LATERAL (SELECT subject FROM live_mails WHERE user_id = $1 AND id = f.earlier_id OFFSET 0) e ON true
LEFT JOIN LATERAL (SELECT subject FROM live_mails WHERE user_id = $1 AND id = f.id OFFSET 0) l ON true
ORDER BY f.received_at DESC, f.id DESC`

// mostDuplicates is how many an answer lists at most.
const mostDuplicates = 10_000

// decimal is an amount in an answer: a JSON number with two decimals, written as the database computed it and never a float.
type decimal string

// MarshalJSON implements json.Marshaler.
func (d decimal) MarshalJSON() ([]byte, error) { return []byte(d), nil }

// Schema describes the type to huma.
func (decimal) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "With exactly two decimals; negative for a refund", Examples: []any{json.Number("12.50")}}
}

// zero is no money.
const zero decimal = "0.00"

// amountsBy are amounts by a name, in an order.
type amountsBy []amountOf

type amountOf struct {
	name   string
	amount decimal
}

// MarshalJSON writes an object with its members in order.
func (list amountsBy) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, one := range list {
		name, err := json.Marshal(one.name)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", name, one.amount)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// Schema describes the type to huma.
func (amountsBy) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: decimal("").Schema(r)}
}

type (
	summaryInput struct{ Waiting }

	summaryOutput struct{ Body summary }

	summary struct {
		TotalAmount decimal   `json:"total_amount" doc:"What was charged in the main currency, less what was refunded"`
		Count       int64     `json:"count" doc:"Receipts in the main currency"`
		ByMerchant  amountsBy `json:"by_merchant" doc:"In the main currency, the largest amount first"`
		ByMonth     amountsBy `json:"by_month" doc:"In the main currency, by UTC month such as 2026-03"`
		AvgAmount   decimal   `json:"avg_amount" doc:"total_amount / count"`
		Currency    *string   `json:"currency" doc:"The main currency: that of most receipts, of several the first by its code; null without a receipt"`
		ByCurrency  amountsBy `json:"by_currency" doc:"The total of each currency, that of most receipts first; currencies are not added up"`
	}

	duplicatesInput struct {
		Waiting
		WindowDays int `query:"window_days" default:"7" minimum:"1" maximum:"365" doc:"How many times 24 hours may lie between two charges"`
	}

	duplicatesOutput struct {
		Body struct {
			Duplicates []duplicate `json:"duplicates" nullable:"false" doc:"The newest first, at most 10,000"`
			Count      int64       `json:"count" doc:"How many there are in all"`
			WindowDays int         `json:"window_days"`
		}
	}

	duplicate struct {
		Merchant  string      `json:"merchant"`
		Amount    decimal     `json:"amount"`
		Currency  string      `json:"currency" doc:"ISO 4217"`
		Earlier   receiptMail `json:"earlier" doc:"The last one before"`
		Later     receiptMail `json:"later"`
		DaysApart int         `json:"days_apart" doc:"Whole days of 24 hours"`
	}

	receiptsInput struct {
		Waiting
		Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"1000"`
		Before string `query:"before" format:"uuid" doc:"The mail of the last receipt of an answer: those that follow it"`
		Month  string `query:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" patternDescription:"a month such as 2026-12" doc:"Of one UTC month"`
		Text   string `query:"q" maxLength:"200" doc:"With this text in the merchant's name or the subject"`
	}

	receiptsOutput struct {
		Body struct {
			Receipts []listedReceipt `json:"receipts" nullable:"false" doc:"The newest first"`
			More     bool            `json:"more" doc:"Others follow"`
		}
	}

	listedReceipt struct {
		EmailID  string    `json:"email_id" format:"uuid"`
		Date     time.Time `json:"date"`
		Merchant string    `json:"merchant"`
		Amount   decimal   `json:"amount"`
		Currency string    `json:"currency" doc:"ISO 4217"`
		Subject  string    `json:"subject"`
		Category string    `json:"category"`
	}

	receiptMail struct {
		ID      string    `json:"id" format:"uuid"`
		Date    time.Time `json:"date"`
		Subject string    `json:"subject"`
	}
)

func (s *server) routeMoney(api huma.API) {
	tags := []string{"money"}
	Route(api, costly(huma.Operation{OperationID: "moneySummary", Method: http.MethodGet, Path: "/money/summary", Tags: tags,
		Errors: waitErrors, Summary: "Add up receipts by merchant and month"}), s.summary)
	Route(api, costly(huma.Operation{OperationID: "moneyDuplicates", Method: http.MethodGet, Path: "/money/duplicates", Tags: tags,
		Errors: waitErrors, Summary: "Find what may have been charged twice"}), s.duplicates)
	Route(api, costly(huma.Operation{OperationID: "receipts", Method: http.MethodGet, Path: "/money/receipts", Tags: tags,
		Errors: append([]int{http.StatusNotFound}, waitErrors...), Summary: "List receipts"}), s.receipts)
	Route(api, huma.Operation{OperationID: "exportReceipts", Method: http.MethodGet, Path: "/money/receipts.csv", Tags: tags,
		Errors: waitErrors, Summary: "Export all receipts as CSV", Description: receiptsDescription, Responses: receiptsResponses()}, s.export)
}

func (s *server) summary(ctx context.Context, in *summaryInput) (*summaryOutput, error) {
	if err := s.waitFor(ctx, &in.Waiting, "mailbox", events.TopicMail); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, selectSummary, auth.From(ctx).ID)
	if err != nil {
		return nil, fmt.Errorf("add up receipts: %w", err)
	}
	out := &summaryOutput{summary{TotalAmount: zero, AvgAmount: zero}}
	var kind, name string
	var count int64
	var average, total decimal
	_, err = pgx.ForEachRow(rows, []any{&kind, &name, &count, &average, &total}, func() error {
		out.Body.add(kind, amountOf{name, total}, count, average)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add up receipts: %w", err)
	}
	return out, nil
}

// add takes over a row of selectSummary. The first currency is the main one.
func (s *summary) add(kind string, of amountOf, count int64, average decimal) {
	switch kind {
	case ofCurrency:
		if s.Currency == nil {
			s.Currency, s.Count, s.TotalAmount, s.AvgAmount = &of.name, count, of.amount, average
		}
		s.ByCurrency = append(s.ByCurrency, of)
	case ofMerchant:
		s.ByMerchant = append(s.ByMerchant, of)
	case ofMonth:
		s.ByMonth = append(s.ByMonth, of)
	}
}

func (s *server) duplicates(ctx context.Context, in *duplicatesInput) (*duplicatesOutput, error) {
	if err := s.waitFor(ctx, &in.Waiting, "mailbox", events.TopicMail); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, selectDuplicates, auth.From(ctx).ID, in.WindowDays, mostDuplicates)
	if err != nil {
		return nil, fmt.Errorf("find duplicates: %w", err)
	}
	out := &duplicatesOutput{}
	out.Body.WindowDays = in.WindowDays
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d duplicate, err error) {
		var earlier, later [16]byte
		err = row.Scan(&out.Body.Count, &d.Merchant, &d.Amount, &d.Currency, &earlier, &d.Earlier.Date, &d.Earlier.Subject,
			&later, &d.Later.Date, &d.Later.Subject, &d.DaysApart)
		d.Earlier.ID, d.Later.ID = events.UUID(earlier).String(), events.UUID(later).String()
		d.Earlier.Date, d.Later.Date = d.Earlier.Date.UTC(), d.Later.Date.UTC()
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("find duplicates: %w", err)
	}
	out.Body.Duplicates = notNil(list)
	return out, nil
}

// selectReceiptTime reads when a receipt of a person came.
const selectReceiptTime = `SELECT received_at FROM live_mails WHERE user_id = $1 AND id = $2 AND receipt_amount IS NOT NULL`

func (s *server) receipts(ctx context.Context, in *receiptsInput) (*receiptsOutput, error) {
	if err := s.waitFor(ctx, &in.Waiting, "mailbox", events.TopicMail); err != nil {
		return nil, err
	}
	wanted := receiptsWanted{before: newest(always), text: in.Text, limit: in.Limit + 1}
	if month, err := time.Parse("2006-01", in.Month); err == nil {
		wanted.since, wanted.before = month, newest(month.AddDate(0, 1, 0).Add(-time.Microsecond))
	}
	if in.Before != "" {
		last, err := s.receiptOf(ctx, in.Before)
		if err != nil {
			return nil, err
		}
		if last.at.Before(wanted.before.at) {
			wanted.before = last
		}
	}
	list, err := s.receiptsOf(ctx, wanted)
	if err != nil {
		return nil, err
	}
	out := &receiptsOutput{}
	out.Body.More = len(list) > in.Limit
	out.Body.Receipts = make([]listedReceipt, 0, in.Limit)
	for _, r := range list[:min(len(list), in.Limit)] {
		out.Body.Receipts = append(out.Body.Receipts, listedReceipt{events.UUID(r.id).String(), r.at.UTC(), r.merchant, decimal(r.amount), r.currency, r.subject, r.category})
	}
	return out, nil
}

// receiptOf returns the place of a receipt among the others of its person.
func (s *server) receiptOf(ctx context.Context, id string) (r receipt, err error) {
	parsed, err := events.ParseUUID(id)
	if err != nil {
		return r, notFound("receipt")
	}
	r.id = parsed
	err = s.pool.QueryRow(ctx, selectReceiptTime, auth.From(ctx).ID, r.id).Scan(&r.at)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, notFound("receipt")
	}
	if err != nil {
		return r, fmt.Errorf("read when a receipt came: %w", err)
	}
	return r, nil
}
