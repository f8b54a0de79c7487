package proposals

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/postgres"
)

const mailColumns = ` id::text, category, sender, sender_domain, list_id, subject, risk_score, quarantined, labels, received_at, expires_at`

const selectNewestMails = `
SELECT` + mailColumns + ` FROM live_mails WHERE user_id = $1 ORDER BY received_at DESC, id LIMIT $2`

const selectMails = `
SELECT` + mailColumns + ` FROM live_mails WHERE user_id = $1 AND id = ANY ($2::uuid[]) ORDER BY received_at DESC, id`

// selectMailPage lists a person's mails after a place, newest first. The first comparison lets it use the index. ORDER BY
// names the table, since a bare id would mean the text that is selected.
const selectMailPage = `
SELECT` + mailColumns + ` FROM live_mails
WHERE user_id = $1 AND received_at <= $2 AND (received_at < $2 OR id > $3)
ORDER BY received_at DESC, live_mails.id
LIMIT $4`

// ATS returns the job applications that belong to mails of a person, by mail id.
type ATS func(ctx context.Context, userID string, mailIDs []string) (map[string]policy.ATS, error)

// Mails reads mail as policies see it: with the application that belongs to each. It is safe for concurrent use.
type Mails struct {
	// Pool is the migrated database. Required.
	Pool *pgxpool.Pool

	// ATS finds applications. Default: none belong to any mail.
	ATS ATS
}

// Newest reads the person's newest mails.
func (m *Mails) Newest(ctx context.Context, user string, limit int) ([]policy.Mail, error) {
	return m.read(ctx, user, selectNewestMails, limit)
}

// Find reads those of the mails that the person has, newest first.
func (m *Mails) Find(ctx context.Context, user string, ids []events.UUID) ([]policy.Mail, error) {
	return m.read(ctx, user, selectMails, postgres.UUIDs(ids))
}

func (m *Mails) read(ctx context.Context, user, sql string, arg any) ([]policy.Mail, error) {
	mails, err := m.query(ctx, sql, user, arg)
	if err != nil {
		return nil, err
	}
	return mails, m.attachATS(ctx, user, mails)
}

// Place is the place of a mail in the order from the newest to the oldest.
type Place struct {
	Received time.Time
	ID       events.UUID
}

// PlaceOf returns the place of a mail.
func PlaceOf(mail policy.Mail) Place {
	id, _ := events.ParseUUID(mail.ID) // the database's
	return Place{mail.ReceivedAt, id}
}

// Behind reads the person's next mails after a place, with their applications if so wanted.
func (m *Mails) Behind(ctx context.Context, user string, place Place, limit int, withATS bool) ([]policy.Mail, error) {
	mails, err := m.query(ctx, selectMailPage, user, place.Received, [16]byte(place.ID), limit)
	if err == nil && withATS {
		err = m.attachATS(ctx, user, mails)
	}
	return mails, err
}

func (m *Mails) query(ctx context.Context, sql string, args ...any) ([]policy.Mail, error) {
	rows, err := m.Pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read mails: %w", err)
	}
	mails, err := pgx.CollectRows(rows, scanMail)
	if err != nil {
		return nil, fmt.Errorf("read mails: %w", err)
	}
	return mails, nil
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

func (m *Mails) attachATS(ctx context.Context, user string, mails []policy.Mail) error {
	if m.ATS == nil || len(mails) == 0 {
		return nil
	}
	ids := make([]string, len(mails))
	for i := range mails {
		ids[i] = mails[i].ID
	}
	found, err := m.ATS(ctx, user, ids)
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
