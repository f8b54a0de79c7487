package indexer

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search/elastic"
)

const (
	// lockMails takes marks of mails that are not at work, what has changed before what is only read again and the oldest
	// first, and tells how long the texts of their mails are. Here and below OFFSET 0 looks mails up one by one, however
	// wrong the statistics are.
	lockMails = `
SELECT d.mail_id, d.generation, COALESCE(m.size, 0)
FROM (SELECT mail_id, generation FROM dirty_mails
      WHERE not_before <= now() AND mail_id <> ALL ($2::uuid[]) ORDER BY backfill, marked_at LIMIT $1 FOR UPDATE SKIP LOCKED) d
LEFT JOIN LATERAL (
    SELECT octet_length(text) + octet_length(subject) + pg_column_size(recipients) AS size
    FROM live_mails WHERE id = d.mail_id OFFSET 0
) m ON true`

	// drawVersion draws the version of the documents that are read next, and tells as of when they are: never before
	// what ageing has marked already.
	drawVersion = `
SELECT nextval('index_rev'), now(), GREATEST($1, (SELECT aged_until FROM index_ageing))`

	// readMails reads mails with the application that belongs to each; of those that are gone only the id.
	readMails = `
WITH a AS MATERIALIZED (SELECT * FROM ats_of($1))
SELECT d.id::text, m.user_id, m.received_at, m.expires_at, m.subject, m.text, m.sender_name, m.sender, m.sender_domain,
       m.recipients, m.category, m.labels, m.list_id, m.risk_score, m.quarantined,
       a.system, a.application_id, a.stage, a.company, a.last_stage_change, a.interview_date,
       ghosting_risk(a.last_stage_change, a.interview_date, $2)
FROM unnest($1::uuid[]) AS d(id)
LEFT JOIN LATERAL (SELECT * FROM live_mails WHERE id = d.id OFFSET 0) m ON true
LEFT JOIN a ON a.mail_id = d.id`
)

// mark is a mark that is at work: the state of it that was read.
type mark struct {
	id         events.UUID
	generation int64
}

// batch are mails as of one version, and their documents once build was called.
type batch struct {
	marks    []mark
	mails    []*elastic.Mail // of the marks, in their order; nil: gone
	version  int64
	readAt   time.Time // the database's clock before they were read
	targets  []string  // indices; each mail has an operation for each
	bulk     elastic.Bulk
	enriched map[string]bool // ids of the mails that have an application
}

// take locks marks, draws a version, and reads under the locks, which are gone when it returns. It returns nil when
// there is nothing to do.
func (x *indexer) take(ctx context.Context, targets []string) (*batch, error) {
	b := &batch{targets: targets, enriched: map[string]bool{}}
	err := x.transact(ctx, func(tx pgx.Tx) error {
		var err error
		if b.marks, err = x.lock(ctx, tx); err != nil || len(b.marks) == 0 {
			return err
		}
		var asOf time.Time
		if err := tx.QueryRow(ctx, drawVersion, x.Now()).Scan(&b.version, &b.readAt, &asOf); err != nil {
			return err
		}
		err = b.read(ctx, tx, asOf)
		b.bulk.Expire(time.Now().Add(x.BatchLife)) // until COMMIT the locks keep anybody from reading and sending them later
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read marked mails: %w", err)
	}
	if len(b.marks) == 0 {
		return nil, nil
	}
	return b, nil
}

// lock takes as many marks as a bulk may hold mails and bytes, and at least one.
func (x *indexer) lock(ctx context.Context, tx pgx.Tx) ([]mark, error) {
	rows, err := tx.Query(ctx, lockMails, x.BatchMails, x.atWork())
	if err != nil {
		return nil, err
	}
	var marks []mark
	var next mark
	var size, total int
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&next.id), &next.generation, &size}, func() error {
		if total += size; len(marks) == 0 || total <= x.BatchBytes {
			marks = append(marks, next)
		}
		return nil
	})
	return marks, err
}

func (b *batch) read(ctx context.Context, tx pgx.Tx, asOf time.Time) error {
	rows, err := tx.Query(ctx, readMails, ids(b.marks), asOf)
	if err != nil {
		return err
	}
	defer rows.Close()
	order := make(map[events.UUID]mark, len(b.marks))
	for _, m := range b.marks {
		order[m.id] = m
	}
	b.marks = b.marks[:0]
	for rows.Next() {
		mail, id, err := scan(rows)
		if err != nil {
			return err
		}
		parsed, err := events.ParseUUID(id)
		if err != nil {
			return err
		}
		b.marks, b.mails = append(b.marks, order[parsed]), append(b.mails, mail)
	}
	return rows.Err()
}

// build makes the documents. It is not part of read, so that the next batch can be read meanwhile.
func (b *batch) build() error {
	for i, mail := range b.mails {
		id := b.marks[i].id.String()
		var document *elastic.Document
		if mail != nil {
			document = elastic.NewDocument(mail)
			b.enriched[id] = mail.ATS != nil
		}
		for _, target := range b.targets {
			if err := b.add(target, id, document); err != nil {
				return err
			}
		}
		b.mails[i] = nil
	}
	return nil
}

func (b *batch) add(target, id string, document *elastic.Document) error {
	if document == nil {
		return b.bulk.Delete(target, id, b.version)
	}
	return b.bulk.Put(target, document, b.version)
}

// scan reads a row of readMails. The mail is nil when it is gone.
func scan(rows pgx.Rows) (*elastic.Mail, string, error) {
	var id string
	var user, subject, text, senderName, sender, domain, category, list, system, application, stage, company *string
	var received, expires, change, interview *time.Time
	var recipients, labels []string
	var score *int
	var quarantined *bool
	var risk *float64
	err := rows.Scan(&id, &user, &received, &expires, &subject, &text, &senderName, &sender, &domain, &recipients, &category, &labels, &list,
		&score, &quarantined, &system, &application, &stage, &company, &change, &interview, &risk)
	if err != nil || user == nil {
		return nil, id, err
	}
	mail := &elastic.Mail{
		ID: id, UserID: *user, ReceivedAt: *received, ExpiresAt: expires, Subject: *subject, Text: *text, SenderName: *senderName, Sender: *sender,
		SenderDomain: *domain, Recipients: recipients, Category: *category, Labels: labels, ListID: *list, RiskScore: score, Quarantined: *quarantined,
	}
	if system != nil {
		mail.ATS = &elastic.ATS{System: *system, ApplicationID: *application, Stage: *stage, Company: *company,
			LastStageChange: utc(change), InterviewDate: utc(interview), GhostingRisk: *risk}
	}
	return mail, id, nil
}

func utc(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	moment := at.UTC()
	return &moment
}

func ids(marks []mark) [][16]byte {
	list := make([][16]byte, len(marks))
	for i, m := range marks {
		list[i] = m.id
	}
	return list
}
