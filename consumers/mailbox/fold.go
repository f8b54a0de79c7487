// Package mailbox folds mail.received into the tables mails, mail_addresses and mail_correspondents: of each mail the
// last version in log order, and of each person the addresses that mail was delivered to and those that ever wrote or
// were written to. It marks what the indexer has to look at again.
//
// The same mail folded twice changes nothing, so the group needs no memory of the mails that it has seen.
package mailbox

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/domain"
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
	Parties      []string // as ats.Key has addresses: the sender's, which may be empty, then the recipients'
	Companies    []string // in whose name it may have been sent: ats.Sender
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
	mails          map[events.UUID]*entry
	addresses      addresses           // the persons' own
	correspondents addresses           // of all mail that was received, also of what was replaced
	erased         map[string]struct{} // users whose rows before this run are to go
	size           int
}

// entry is the last row of a mail. replaces tells that the run held other content before, so that the row is new even
// if the table has its content already.
type entry struct {
	row      Row
	replaces bool
}

// address is an address that a person has or corresponds with.
type address struct{ user, address string }

// addresses are a set.
type addresses map[address]struct{}

// NewFold returns an empty fold.
func NewFold() *Fold {
	return &Fold{mails: map[events.UUID]*entry{}, addresses: addresses{}, correspondents: addresses{}, erased: map[string]struct{}{}}
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
		f.addAddress(f.addresses, address{mail.UserID, ats.Plain(delivered)})
	}
	id, hash := MailID(mail), events.ContentHash(event)
	known := f.mails[id]
	if known != nil && (known.row.UserID != mail.UserID || known.row.ContentHash == hash) {
		return // of another person only if the hashes that ids are made of meet: the first one has the row
	}
	row := rowOf(mail, id, hash)
	for _, party := range row.Parties {
		if party != "" {
			f.addAddress(f.correspondents, address{mail.UserID, party})
		}
	}
	f.size += row.size()
	if known != nil {
		f.size -= known.row.size()
	}
	f.mails[id] = &entry{row, known != nil}
}

func (f *Fold) addAddress(to addresses, a address) {
	if _, known := to[a]; !known {
		to[a] = struct{}{}
		f.size += a.size()
	}
}

func (a address) size() int { return 64 + len(a.user) + len(a.address) }

// erase forgets a person: what the run has so far now, and what the table has when the run is stored.
func (f *Fold) erase(user string) {
	maps.DeleteFunc(f.mails, func(_ events.UUID, e *entry) bool {
		if e.row.UserID != user {
			return false
		}
		f.size -= e.row.size()
		return true
	})
	for _, list := range []addresses{f.addresses, f.correspondents} {
		maps.DeleteFunc(list, func(a address, _ struct{}) bool {
			if a.user != user {
				return false
			}
			f.size -= a.size()
			return true
		})
	}
	f.erased[user] = struct{}{}
}

// Size is a rough number of bytes that the fold holds.
func (f *Fold) Size() int { return f.size + 64*len(f.erased) }

// Reset empties the fold for reuse.
func (f *Fold) Reset() {
	clear(f.mails)
	clear(f.addresses)
	clear(f.correspondents)
	clear(f.erased)
	f.size = 0
}

// sorted returns the entries in the order of their ids.
func (f *Fold) sorted() []*entry {
	return slices.SortedFunc(maps.Values(f.mails), func(a, b *entry) int { return bytes.Compare(a.row.ID[:], b.row.ID[:]) })
}

func (a addresses) sorted() []address {
	return slices.SortedFunc(maps.Keys(a), func(a, b address) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.address, b.address))
	})
}

func rowOf(m *events.Mail, id events.UUID, hash uint64) Row {
	sender := strings.ToLower(m.Sender.Address)
	senderDomain := domain.OfAddress(sender)
	row := Row{
		ID:           id,
		UserID:       m.UserID,
		MessageID:    m.MessageID,
		Thread:       m.Thread,
		Subject:      m.Subject,
		Sender:       sender,
		SenderName:   m.Sender.Name,
		SenderDomain: senderDomain,
		Recipients:   make([]string, 0, len(m.Recipients)),
		ListID:       strings.ToLower(m.ListID),
		ReceivedAt:   m.ReceivedAt,
		Category:     Category(m, senderDomain),
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
	row.Parties, row.Companies = partiesOf(&row), companiesOf(&row)
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

// partiesOf returns the sender's address and those of the recipients, once each, as applications are matched by them.
func partiesOf(r *Row) []string {
	parties := []string{ats.Key(r.Sender)}
	for _, recipient := range r.Recipients {
		if key := ats.Key(recipient); !slices.Contains(parties, key) {
			parties = append(parties, key)
		}
	}
	return parties
}

func companiesOf(r *Row) []string {
	bulk := r.Category == Newsletter || r.Category == Promo || r.ListID != ""
	sender := ats.Sender{Name: r.SenderName, Address: r.Sender, Domain: r.SenderDomain, Subject: r.Subject, Bulk: bulk}
	return sender.Companies()
}

// size is roughly what the row takes in memory.
func (r *Row) size() int {
	size := 600 + len(r.MessageID) + len(r.Thread) + len(r.Subject) + len(r.Sender) + len(r.SenderName) + len(r.ListID) + len(r.Text)
	for _, list := range [][]string{r.Recipients, r.Parties, r.Companies, r.Labels} {
		for _, text := range list {
			size += 16 + len(text)
		}
	}
	return size
}
