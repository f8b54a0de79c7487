package mailbox

import (
	"maps"
	"slices"
	"time"

	"github.com/applylens/applylens/internal/postgres"
)

// addNewMails tells of mail, which the database takes for new unless it was told of it before.
const addNewMails = `
SELECT add_new_mails($1, $2, $3)`

// eraseNewMails forgets which mail of persons is new.
const eraseNewMails = `
SELECT erase_new_mails($1)`

// recent is how old mail may be of which the database is told. It takes for new what is a day younger, by its own clock.
const recent = 31 * 24 * time.Hour

// newMails are mails of a run that may be new, in the order of their ids.
type newMails struct {
	users    []string
	ids      [][16]byte
	received []time.Time
}

// add adds those entries that are recent.
func (n *newMails) add(entries []*entry, now time.Time) {
	for _, e := range entries {
		if e.row.ReceivedAt.After(now.Add(-recent)) {
			n.users, n.ids, n.received = append(n.users, e.row.UserID), append(n.ids, e.row.ID), append(n.received, e.row.ReceivedAt)
		}
	}
}

// queue tells of what the live version has folded: whose mail was erased, and which mail came after that.
func (n *newMails) queue(tx *postgres.Tx, erased map[string]struct{}) {
	if len(erased) > 0 {
		tx.Queue(eraseNewMails, slices.Sorted(maps.Keys(erased)))
	}
	for from := 0; from < len(n.ids); from += maxRows {
		to := min(from+maxRows, len(n.ids))
		tx.Queue(addNewMails, n.users[from:to], n.ids[from:to], n.received[from:to])
	}
}
