// Package mailbox folds mail.received into the tables mails, mail_addresses and mail_correspondents: of each mail the
// last version in log order, where another mail with the Message-ID of one that came before does not replace it, and of
// each person the addresses that mail was delivered to and those that ever wrote or were written to. It finds out which
// mails are receipts, and marks what the indexer has to look at again.
//
// The same mail folded twice changes nothing, so the group needs no memory of the mails that it has seen.
package mailbox

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/hypertext"
	"github.com/applylens/applylens/internal/money"
)

// Row is one mail as the table keeps it.
type Row struct {
	ID           events.UUID
	UserID       string
	MessageID    string
	Thread       string
	Subject      string
	Sender       string // as domain.Address
	SenderName   string
	SenderDomain string   // registrable
	Recipients   []string // as domain.Address
	Parties      []string // as ats.Key has addresses: the sender's, which may be empty, then the recipients'
	Companies    []string // in whose name it may have been sent: ats.Sender
	ListID       string
	ReceivedAt   time.Time
	Category     string
	Receipt      *money.Receipt // what it tells of money; nil for most mail
	HTML         string         // as it was sent
	RiskScore    *int32
	Quarantined  bool
	Labels       []string
	ExpiresAt    *time.Time
	Text         string
	Truncated    bool
	Identity     []byte // the event's content_hash, 32 bytes; empty if it has none
	ContentHash  uint64
	UpdatedAt    time.Time // recorded_at of the first event of the run of equal ones that ends the log
}

// MailID returns the id of the first mail of its Message-ID that a person gets, which is the same in every version. A mail without
// one has an id of its own.
func MailID(m *events.Mail) events.UUID {
	if m.MessageID != "" {
		return events.DeriveUUID(m.UserID, m.MessageID)
	}
	return events.DeriveUUID(m.UserID, m.ContentHash)
}

// otherID returns the id of a mail whose Message-ID another one has: whoever sends a mail chooses it.
func otherID(r *Row) events.UUID {
	if len(r.Identity) == 0 {
		return events.DeriveUUID(r.UserID, r.MessageID, "sender", r.Sender)
	}
	return events.DeriveUUID(r.UserID, r.MessageID, hex.EncodeToString(r.Identity))
}

// identity is what tells a mail from another of the same Message-ID.
type identity struct {
	hash   []byte // as Row.Identity
	sender string
}

// has tells whether a row is of the mail with this identity: by the hash, or by the sender where one of the two has none.
func (i identity) has(r *Row) bool {
	if len(i.hash) == 0 || len(r.Identity) == 0 {
		return i.sender == r.Sender
	}
	return bytes.Equal(i.hash, r.Identity)
}

// Fold holds what a run of events comes to. Folding a run at once or in pieces, one stored after the other, gives the same
// tables.
type Fold struct {
	mails          map[events.UUID][]*Row // what was received, by MailID and in log order, without repeats
	addresses      addresses              // the persons' own
	correspondents addresses              // of all mail that was received, also of what was replaced
	erased         map[string]struct{}    // users whose rows before this run are to go
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
	return &Fold{mails: map[events.UUID][]*Row{}, addresses: addresses{}, correspondents: addresses{}, erased: map[string]struct{}{}}
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
		f.addAddress(f.addresses, address{mail.UserID, domain.Address(delivered)})
	}
	id, hash := MailID(mail), events.ContentHash(event)
	known := f.mails[id]
	if len(known) > 0 && known[0].UserID != mail.UserID {
		return // the hashes that ids are made of have met: the first one has the row
	}
	row := rowOf(mail, id, hash)
	if repeats(known, row) {
		return
	}
	for _, party := range row.Parties {
		if party != "" {
			f.addAddress(f.correspondents, address{mail.UserID, party})
		}
	}
	f.size += row.size()
	f.mails[id] = append(known, row)
}

// repeats tells whether a row changes nothing after others of its Message-ID: its mail is as it was, and nothing came since
// that may have been of the same mail.
func repeats(earlier []*Row, row *Row) bool {
	for _, last := range slices.Backward(earlier) {
		switch {
		case last.ContentHash == row.ContentHash:
			return true
		case len(last.Identity) == 0 || len(row.Identity) == 0 || bytes.Equal(last.Identity, row.Identity):
			return false
		}
	}
	return false
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
	maps.DeleteFunc(f.mails, func(_ events.UUID, rows []*Row) bool {
		if rows[0].UserID != user {
			return false
		}
		for _, row := range rows {
			f.size -= row.size()
		}
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

// sorted returns the entries in the order of their ids, where the table has the first mails of some ids already.
func (f *Fold) sorted(first map[events.UUID]identity) []*entry {
	entries := make(map[events.UUID]*entry, len(f.mails))
	for id, rows := range f.mails {
		owner, taken := first[id]
		for _, received := range rows {
			row := *received
			if !taken || owner.has(&row) {
				if taken && len(row.Identity) == 0 {
					row.Identity = owner.hash
				}
				owner, taken = identity{row.Identity, row.Sender}, true
			} else {
				row.ID = otherID(&row)
			}
			known := entries[row.ID]
			if known == nil || known.row.ContentHash != row.ContentHash {
				entries[row.ID] = &entry{row, known != nil}
			}
		}
	}
	return slices.SortedFunc(maps.Values(entries), func(a, b *entry) int { return bytes.Compare(a.row.ID[:], b.row.ID[:]) })
}

// firstIDs returns the ids of the first mails, in order.
func (f *Fold) firstIDs() [][16]byte {
	ids := make([][16]byte, 0, len(f.mails))
	for id := range f.mails {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func (a addresses) sorted() []address {
	return slices.SortedFunc(maps.Keys(a), func(a, b address) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.address, b.address))
	})
}

func rowOf(m *events.Mail, id events.UUID, hash uint64) *Row {
	sender := domain.Address(m.Sender.Address)
	senderDomain := domain.OfAddress(sender)
	row := &Row{
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
		HTML:         m.HTML,
		Truncated:    m.Truncated,
		ContentHash:  hash,
		UpdatedAt:    m.RecordedAt,
	}
	for _, recipient := range m.Recipients {
		if recipient.Address != "" {
			row.Recipients = append(row.Recipients, domain.Address(recipient.Address))
		}
	}
	row.Identity, _ = hex.DecodeString(m.ContentHash) // an event with another is refused
	row.Parties, row.Companies = partiesOf(row), companiesOf(row)
	row.Receipt = receiptOf(m, row)
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

// receiptOf returns the receipt that a mail is, nil if it is none. A mail of HTML alone has its text there.
func receiptOf(m *events.Mail, r *Row) *money.Receipt {
	text := m.Text
	if strings.TrimSpace(text) == "" && m.HTML != "" {
		text, _ = hypertext.Read(m.HTML, events.MaxText)
	}
	mail := money.Mail{
		Sender: r.Sender, SenderName: r.SenderName, SenderDomain: r.SenderDomain, Subject: r.Subject, Text: text,
		Category: r.Category, ListID: r.ListID, Bulk: m.Unsubscribe, Quarantined: r.Quarantined,
	}
	if m.RiskScore != nil {
		mail.Risk = *m.RiskScore
	}
	if receipt, found := money.Find(&mail); found {
		return &receipt
	}
	return nil
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
	size := 600 + len(r.MessageID) + len(r.Thread) + len(r.Subject) + len(r.Sender) + len(r.SenderName) + len(r.ListID) + len(r.Text) + len(r.HTML)
	if r.Receipt != nil {
		size += 200 + len(r.Receipt.Merchant) + len(r.Receipt.Key)
	}
	for _, list := range [][]string{r.Recipients, r.Parties, r.Companies, r.Labels} {
		for _, text := range list {
			size += 16 + len(text)
		}
	}
	return size
}
