// Package mailbox folds mail.received into the tables mails and mail_addresses: of each mail the last version in log
// order, and of each person the addresses that mail was delivered to. It marks what the indexer has to look at again.
//
// The same mail folded twice changes nothing, so the group needs no memory of what it has seen.
package mailbox

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// Row is one mail as the table keeps it.
type Row struct {
	ID           events.UUID
	UserID       string
	MessageID    string
	Thread       string
	Subject      string
	Sender       string // address, lower case
	SenderName   string
	SenderDomain string   // registrable
	Recipients   []string // addresses, lower case
	ListID       string
	ReceivedAt   time.Time
	Category     string
	RiskScore    *int32
	Quarantined  bool
	Labels       []string
	ExpiresAt    *time.Time
	Text         string
	Truncated    bool
	ContentHash  uint64
	UpdatedAt    time.Time // recorded_at of the first event of the run of equal ones that ends the log
}

// MailID returns the id of a mail, which is the same in every version.
func MailID(m *events.Mail) events.UUID {
	if m.MessageID != "" {
		return events.DeriveUUID(m.UserID, m.MessageID)
	}
	return events.DeriveUUID(m.UserID, m.ContentHash)
}

// Fold holds what a run of events comes to: at most one row per mail. Folding a run at once or in pieces, one stored
// after the other, gives the same tables.
type Fold struct {
	mails     map[events.UUID]*entry
	addresses map[address]struct{}
	erased    map[string]struct{} // users whose rows before this run are to go
	size      int
}

// entry is the last row of a mail. replaces tells that the run held other content before, so that the row is new even
// if the table has its content already.
type entry struct {
	row      Row
	replaces bool
}

// address is one of a person's own addresses.
type address struct{ user, address string }

// NewFold returns an empty fold.
func NewFold() *Fold {
	return &Fold{mails: map[events.UUID]*entry{}, addresses: map[address]struct{}{}, erased: map[string]struct{}{}}
}

// Add folds one event; types that have no effect here are passed over.
func (f *Fold) Add(event *events.Event) {
	switch event.Type {
	case events.TypeMailReceived:
		f.receive(event)
	case events.TypeUserErased:
		f.erase(event.Erasure.UserID)
	}
}

func (f *Fold) receive(event *events.Event) {
	mail := event.Mail
	for _, delivered := range mail.DeliveredTo {
		f.addAddress(address{mail.UserID, strings.ToLower(delivered)})
	}
	id, hash := MailID(mail), events.ContentHash(event)
	known := f.mails[id]
	if known != nil && known.row.ContentHash == hash {
		return
	}
	row := rowOf(mail, id, hash)
	f.size += row.size()
	if known != nil {
		f.size -= known.row.size()
	}
	f.mails[id] = &entry{row, known != nil}
}

func (f *Fold) addAddress(a address) {
	if _, known := f.addresses[a]; !known {
		f.addresses[a] = struct{}{}
		f.size += 64 + len(a.user) + len(a.address)
	}
}

// erase forgets a person: what the run has so far now, and what the table has when the run is stored.
func (f *Fold) erase(user string) {
	maps.DeleteFunc(f.mails, func(_ events.UUID, e *entry) bool {
		if e.row.UserID != user {
			return false
		}
		f.size -= e.row.size()
		return true
	})
	maps.DeleteFunc(f.addresses, func(a address, _ struct{}) bool {
		if a.user != user {
			return false
		}
		f.size -= 64 + len(a.user) + len(a.address)
		return true
	})
	f.erased[user] = struct{}{}
}

// Size is a rough number of bytes that the fold holds.
func (f *Fold) Size() int { return f.size + 64*len(f.erased) }

// Reset empties the fold for reuse.
func (f *Fold) Reset() {
	clear(f.mails)
	clear(f.addresses)
	clear(f.erased)
	f.size = 0
}

// sorted returns the entries in the order of their ids.
func (f *Fold) sorted() []*entry {
	return slices.SortedFunc(maps.Values(f.mails), func(a, b *entry) int { return bytes.Compare(a.row.ID[:], b.row.ID[:]) })
}

func (f *Fold) sortedAddresses() []address {
	return slices.SortedFunc(maps.Keys(f.addresses), func(a, b address) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.address, b.address))
	})
}

func rowOf(m *events.Mail, id events.UUID, hash uint64) Row {
	sender := strings.ToLower(m.Sender.Address)
	domain := Registrable(sender)
	row := Row{
		ID:           id,
		UserID:       m.UserID,
		MessageID:    m.MessageID,
		Thread:       m.Thread,
		Subject:      m.Subject,
		Sender:       sender,
		SenderName:   m.Sender.Name,
		SenderDomain: domain,
		Recipients:   make([]string, 0, len(m.Recipients)),
		ListID:       strings.ToLower(m.ListID),
		ReceivedAt:   m.ReceivedAt,
		Category:     Category(m, domain),
		Quarantined:  m.Quarantined,
		Labels:       slices.Clone(m.Labels),
		Text:         m.Text,
		Truncated:    m.Truncated,
		ContentHash:  hash,
		UpdatedAt:    m.RecordedAt,
	}
	for _, recipient := range m.Recipients {
		if recipient.Address != "" {
			row.Recipients = append(row.Recipients, strings.ToLower(recipient.Address))
		}
	}
	if m.RiskScore != nil {
		risk := int32(*m.RiskScore)
		row.RiskScore = &risk
	}
	if !m.ExpiresAt.IsZero() {
		expires := m.ExpiresAt
		row.ExpiresAt = &expires
	}
	return row
}

// size is roughly what the row takes in memory.
func (r *Row) size() int {
	size := 600 + len(r.MessageID) + len(r.Thread) + len(r.Subject) + len(r.Sender) + len(r.SenderName) + len(r.ListID) + len(r.Text)
	for _, recipient := range r.Recipients {
		size += 16 + len(recipient)
	}
	for _, label := range r.Labels {
		size += 16 + len(label)
	}
	return size
}
