package events

import (
	"math"
	"time"
)

// MailChange is the payload of mail.changed: in which folders of an account a mail is, and which labels it has there. Each change
// has the whole set, and of an account the one with the greatest AccountSeq counts.
type MailChange struct {
	UserID      string
	MessageID   string // as in Mail
	ContentHash string // as in Mail; always there
	AccountID   UUID
	AccountSeq  int64    // rises with each change of the account, from 1
	Folders     []string // none: the mail is gone from the account
	Labels      []string // keywords
	RecordedAt  time.Time
}

func (m *MailChange) check(c *checker, _ Type) {
	c.required("user_id", m.UserID, MaxUserID)
	c.text("message_id", m.MessageID, MaxMessageID)
	checkHash(c, m.ContentHash)
	c.uuid("account_id", m.AccountID)
	c.within("account_seq", m.AccountSeq, 1, math.MaxInt64)
	c.texts("folders", m.Folders, MaxFolders, MaxFolder)
	c.texts("labels", m.Labels, MaxLabels, MaxLabel)
	c.time("recorded_at", m.RecordedAt)
}

func (m *MailChange) write(w *writer, _ Type, canonical bool) {
	w.text(fieldUserID, m.UserID)
	w.textIf(fieldMessageID, m.MessageID)
	w.text(fieldContentHash, m.ContentHash)
	w.textsIf(fieldLabels, m.Labels)
	w.uuid(fieldAccountID, m.AccountID)
	w.integer(fieldAccountSeq, m.AccountSeq)
	w.textsIf(fieldFolders, m.Folders)
	if !canonical {
		w.time(fieldRecordedAt, m.RecordedAt)
	}
}

func (d *Decoder) readMailChange() *MailChange {
	c := &d.mailChange
	*c = MailChange{Folders: c.Folders[:0], Labels: c.Labels[:0]}
	m := d.object(&shapes[TypeMailChanged])
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldUserID:
			c.UserID = d.interned()
		case fieldMessageID:
			c.MessageID = d.string()
		case fieldContentHash:
			c.ContentHash = d.string()
		case fieldAccountID:
			c.AccountID = d.uuid()
		case fieldAccountSeq:
			c.AccountSeq = d.integer()
		case fieldFolders:
			c.Folders = d.texts(c.Folders, MaxFolders)
		case fieldLabels:
			c.Labels = d.texts(c.Labels, MaxLabels)
		case fieldRecordedAt:
			c.RecordedAt = d.time()
		}
	}
	return c
}
