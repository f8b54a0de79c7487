package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/postgres"
)

const receiptsDescription = `RFC 4180 with a header, the newest first, amounts with two decimals. A cell that a spreadsheet would take for a formula begins ` +
	`with an apostrophe. An answer that breaks off is not complete.`

// receiptsHeader are the columns of the export.
var receiptsHeader = []string{"date", "merchant", "amount", "email_id", "subject", "category", "currency"}

// receiptsResponses are made anew for each API, since huma adds to them.
func receiptsResponses() map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "OK",
		Content:     map[string]*huma.MediaType{"text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}},
		Headers: map[string]*huma.Param{
			"Content-Disposition": {Description: "Names a file with the date, such as receipts-2026-12-01.csv", Schema: &huma.Schema{Type: huma.TypeString}},
		},
	}}
}

// selectReceipts reads some of a person's receipts, the newest first, from behind a place in their order: of a time, and with a text in
// the merchant's name or the subject, whatever its case.
const selectReceipts = `
SELECT id, received_at, receipt_merchant, round(receipt_amount, 2)::text, receipt_currency, subject, category
FROM live_mails
WHERE user_id = $1 AND receipt_amount IS NOT NULL AND (received_at, id) < ($2::timestamptz, $3::uuid) AND received_at >= $5
  AND ($6 = '' OR strpos(lower(receipt_merchant), lower($6)) > 0 OR strpos(lower(subject), lower($6)) > 0)
ORDER BY received_at DESC, id DESC
LIMIT $4`

// inOrder lets PostgreSQL walk the index of receipts. Right after an import it believes that there are few mails, and would read and sort all of
// them for each page.
const inOrder = `
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)`

// receiptsAtOnce is how many receipts are read at once. A long export holds no snapshot and no connection to PostgreSQL while its client
// reads, however slowly it does.
const receiptsAtOnce = 500

// receipt is a row of the export.
type receipt struct {
	id                                            [16]byte
	at                                            time.Time
	merchant, amount, currency, subject, category string
}

// receiptsWanted are some of a person's receipts.
type receiptsWanted struct {
	before receipt   // those behind it
	since  time.Time // no older ones; zero: all
	text   string    // those with it; empty: all
	limit  int
}

// newest is the place before the newest receipt of a time.
func newest(until time.Time) receipt {
	return receipt{id: [16]byte([]byte(strings.Repeat("\xff", 16))), at: until}
}

// always is later than any mail.
var always = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

type exportInput struct{ Waiting }

// export reads the first rows, so that what fails at once is answered with a problem, and streams the rest.
func (s *server) export(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	if err := s.waitFor(ctx, &in.Waiting, "mailbox", events.TopicMail); err != nil {
		return nil, err
	}
	first, err := s.receiptsOf(ctx, receiptsWanted{before: newest(always), limit: receiptsAtOnce})
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) { s.streamReceipts(ctx, first) }}, nil
}

func (s *server) receiptsOf(ctx context.Context, wanted receiptsWanted) (list []receipt, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx *postgres.Tx) error {
		tx.Queue(inOrder)
		rows, err := tx.Query(ctx, selectReceipts, auth.From(ctx).ID, wanted.before.at, wanted.before.id, wanted.limit, wanted.since, wanted.text)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r receipt, err error) {
			err = row.Scan(&r.id, &r.at, &r.merchant, &r.amount, &r.currency, &r.subject, &r.category)
			return r, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return list, nil
}

// streamReceipts writes the export. When it fails in between, it cuts the connection, since what the client has would look like a
// complete file otherwise.
func (s *server) streamReceipts(ctx huma.Context, rows []receipt) {
	_, w := humago.Unwrap(ctx)
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", time.Now().UTC().Format(`attachment; filename="receipts-2006-01-02.csv"`))
	if err := s.writeReceipts(ctx.Context(), w, rows); err != nil {
		loggerFrom(ctx.Context()).Warn("export of receipts was cut", "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *server) writeReceipts(ctx context.Context, w http.ResponseWriter, rows []receipt) error {
	buffer := bufio.NewWriterSize(&patientWriter{w, http.NewResponseController(w), s.stallFor}, maxPiece)
	out := csv.NewWriter(buffer)
	out.UseCRLF = true
	if err := out.Write(receiptsHeader); err != nil {
		return err
	}
	for len(rows) > 0 {
		err := unslotted(ctx, func() error {
			for i := range rows {
				if err := out.Write(rows[i].cells()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(rows) < receiptsAtOnce {
			break
		}
		bounded, cancel := context.WithTimeout(ctx, answerWithin)
		rows, err = s.receiptsOf(bounded, receiptsWanted{before: rows[len(rows)-1], limit: receiptsAtOnce})
		cancel()
		if err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	return buffer.Flush()
}

// cells is the receipt as a row of the export.
func (r *receipt) cells() []string {
	return []string{r.at.UTC().Format(time.DateOnly), harmless(r.merchant), r.amount, events.UUID(r.id).String(), harmless(r.subject),
		harmless(r.category), r.currency}
}

// formulas are what a spreadsheet takes for the beginning of a formula, also in its wide forms.
const formulas = "=+-@＝＋－＠"

// harmless returns a text as a cell that no spreadsheet computes: an apostrophe stands before a formula, also behind a semicolon or a
// tab, which some take for the end of a cell.
func harmless(text string) string {
	var b strings.Builder
	begins := true
	for _, r := range text {
		if begins && (strings.ContainsRune(formulas, r) || b.Len() == 0 && strings.ContainsRune("\t\r\n", r)) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = strings.ContainsRune(";\t\r\n", r)
	}
	return b.String()
}
