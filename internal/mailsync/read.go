package mailsync

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/failpoint"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/producers/mailimport"
)

// Bounds of what is read at a time: mails, and bytes of them. A mail that is longer is read alone; one beyond mostBytes is not read.
const (
	chunkMails = 200
	chunkBytes = 4 << 20
	mostBytes  = 200 << 20
)

// lookAtInbox is how long the reading of another folder may keep new mail in the inbox waiting.
const lookAtInbox = 5 * time.Second

// read brings the index up to date with a folder, but for what is gone.
func (s *session) read(ctx context.Context, f *folder) error {
	if f != s.inbox {
		state, err := s.box.Status(ctx, f.Name)
		if s.vanished(f, err) {
			return nil
		}
		if err != nil || !f.mayDiffer(state) {
			return err
		}
	}
	state, err := s.box.Examine(ctx, f.Name)
	if s.vanished(f, err) {
		return nil
	}
	if err != nil {
		return err
	}
	if f == s.inbox {
		s.lookedAt = time.Now()
	}
	if !f.mayDiffer(state) {
		return nil
	}
	if state.UIDValidity != f.UIDValidity {
		if f.known, err = accounts.Count(ctx, s.Pool, f.ID, state.UIDValidity); err != nil { // an earlier process may have begun
			return err
		}
		f.others = f.UIDValidity != 0
		f.Folder.UIDValidity, f.Folder.UIDNext, f.Folder.HighestModSeq = state.UIDValidity, 0, 0
	}
	fresh, err := s.compare(ctx, f, state)
	if err != nil {
		return err
	}
	if err := s.readFlags(ctx, f, state); err != nil {
		return err
	}
	if err := s.readMails(ctx, f, fresh); err != nil {
		return err
	}
	return s.finish(ctx, f, state)
}

// vanished tells whether a folder is gone since it was listed; it is then listed again soon. That the inbox is gone is an error.
func (s *session) vanished(f *folder, err error) bool {
	if err == nil || f == s.inbox || imapbox.KindOf(err) != imapbox.Refused {
		return false
	}
	s.listedAt = time.Time{}
	return true
}

// compare returns the UIDs of a folder that the index does not have, the newest first, and notes those that are gone. Only the UIDs from
// where the folder was read to are asked for, unless the counts do not add up.
func (s *session) compare(ctx context.Context, f *folder, state imapbox.Status) (fresh []uint32, err error) {
	if f.UIDNext > 0 {
		if fresh, err = s.box.UIDs(ctx, f.UIDNext); err != nil {
			return nil, err
		}
	}
	fresh = before(fresh, state.UIDNext)
	if f.UIDNext > 0 && f.known+int64(len(fresh)) == int64(state.Messages) {
		highest, err := accounts.Highest(ctx, s.Pool, f.ID, f.UIDValidity)
		if err != nil {
			return nil, err
		}
		if len(fresh) == 0 || highest < fresh[0] { // otherwise an earlier process was cut short
			slices.Reverse(fresh)
			return fresh, nil
		}
	}
	there, err := s.box.UIDs(ctx, 1)
	if err != nil {
		return nil, err
	}
	known, err := accounts.UIDs(ctx, s.Pool, f.ID, f.UIDValidity)
	if err != nil {
		return nil, err
	}
	there = before(there, state.UIDNext)
	f.known = int64(len(known))
	fresh, f.gone = differences(there, known)
	slices.Reverse(fresh)
	return fresh, nil
}

// before returns the UIDs, ascending, that a folder had in the state that is read: what has come since belongs to the next one.
func before(uids []uint32, next uint32) []uint32 {
	if next == 0 { // the server does not say
		return uids
	}
	i, _ := slices.BinarySearch(uids, next)
	return uids[:i]
}

// differences returns what only one of two ascending lists has.
func differences(there, known []uint32) (fresh, gone []uint32) {
	for len(there) > 0 || len(known) > 0 {
		switch {
		case len(known) == 0 || len(there) > 0 && there[0] < known[0]:
			fresh, there = append(fresh, there[0]), there[1:]
		case len(there) == 0 || known[0] < there[0]:
			gone, known = append(gone, known[0]), known[1:]
		default:
			there, known = there[1:], known[1:]
		}
	}
	return fresh, gone
}

// readFlags notes the flags that have changed. New mails have theirs when they are read.
func (s *session) readFlags(ctx context.Context, f *folder, state imapbox.Status) error {
	if f.known == 0 || state.HighestModSeq != 0 && state.HighestModSeq == f.HighestModSeq {
		return nil
	}
	var known map[uint32][]string
	since := f.HighestModSeq
	if state.HighestModSeq == 0 || since == 0 {
		var err error
		since = 0
		if known, err = accounts.Entries(ctx, s.Pool, f.ID, f.UIDValidity); err != nil {
			return err
		}
	}
	var changed []accounts.Entry
	if err := s.box.Flags(ctx, since, func(uid uint32, flags []string) error {
		if old, there := known[uid]; known == nil || there && !slices.Equal(old, flags) {
			changed = append(changed, accounts.Entry{UID: uid, Flags: flags})
		}
		return nil
	}); err != nil {
		return err
	}
	for part := range slices.Chunk(changed, chunkMails) {
		told, err := s.index.Apply(ctx, s.lease, accounts.Change{Folder: f.ID, UIDValidity: f.UIDValidity, Flagged: part})
		s.told(told)
		if err != nil {
			return err
		}
	}
	return nil
}

// readMails reads mails, publishes those that are not known, and adds all of them to the index.
func (s *session) readMails(ctx context.Context, f *folder, uids []uint32) error {
	s.total += int64(len(uids))
	if len(uids) > chunkMails {
		if err := accounts.Note(ctx, s.Pool, s.lease, accounts.StateSyncing, ""); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(uids, chunkMails) {
		if err := s.inTurn(ctx, func(reader *mailimport.Single) error { return s.readChunk(ctx, f, part, reader) }); err != nil {
			return err
		}
		s.done += int64(len(part))
		if len(uids) > chunkMails {
			if err := accounts.Progress(ctx, s.Pool, s.lease, s.done, s.total); err != nil {
				return err
			}
		}
		if err := s.attendInbox(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// attendInbox looks for new mail in the inbox, if another folder has been read for a while, and returns to that.
func (s *session) attendInbox(ctx context.Context, f *folder) error {
	if s.inbox == nil || f == s.inbox || time.Since(s.lookedAt) < lookAtInbox {
		return nil
	}
	if err := s.read(ctx, s.inbox); err != nil {
		return err
	}
	state, err := s.box.Examine(ctx, f.Name)
	if err == nil && state.UIDValidity != f.UIDValidity {
		err = &imapbox.Error{Kind: imapbox.Temporary, Words: "the folder " + f.Name + " was made anew while it was read", Err: errors.New("another UIDVALIDITY")}
	}
	return err
}

// readChunk reads some mails. They are in the index only when Kafka has them.
func (s *session) readChunk(ctx context.Context, f *folder, uids []uint32, reader *mailimport.Single) error {
	sizes, err := s.box.Sizes(ctx, uids)
	if err != nil {
		return err
	}
	for len(uids) > 0 {
		part, long := portion(uids, sizes)
		uids = uids[len(part)+len(long):]
		c := &chunk{options: mailimport.Options{UserID: s.lease.UserID, Addresses: []string{s.account.Address}, RecordedAt: time.Now().UTC().Truncate(time.Microsecond)}, reader: reader}
		for _, uid := range long {
			c.entries = append(c.entries, accounts.Entry{UID: uid})
			c.ready = append(c.ready, nil)
			c.reasons = append(c.reasons, errors.New("it is too long"))
		}
		if err := s.box.Fetch(ctx, part, c.take); err != nil {
			return err
		}
		if err := s.publish(ctx, f, c); err != nil {
			return err
		}
	}
	return nil
}

// portion returns the first UIDs whose mails are read at once, and, before others, one that is too long to be read.
func portion(uids []uint32, sizes map[uint32]int64) (part, long []uint32) {
	var sum int64
	for i, uid := range uids {
		size := sizes[uid]
		if size > mostBytes {
			if i == 0 {
				return nil, uids[:1]
			}
			return uids[:i], nil
		}
		if sum += size; i > 0 && sum > chunkBytes {
			return uids[:i], nil
		}
	}
	return uids, nil
}

// chunk are mails that were read.
type chunk struct {
	options mailimport.Options
	reader  *mailimport.Single
	entries []accounts.Entry
	ready   []*mailimport.Ready // for each entry; nil: it is broken
	reasons []error
}

// take reads a message while it arrives. Flags may come once more behind the text.
func (c *chunk) take(m imapbox.Message) error {
	if m.Body == nil {
		if i := len(c.entries) - 1; i >= 0 && c.entries[i].UID == m.UID {
			c.entries[i].Flags = m.Flags
		}
		return nil
	}
	entry := accounts.Entry{UID: m.UID, Flags: m.Flags}
	ready, err := c.reader.Read(m.Body, c.options)
	var broken *mailimport.BrokenError
	switch {
	case err == nil:
		entry.Identity = accounts.Identity{MessageID: ready.MessageID, ContentHash: ready.ContentHash}
	case errors.As(err, &broken) || errors.Is(err, io.EOF):
		c.reasons = append(c.reasons, err)
	default:
		return err
	}
	c.entries, c.ready = append(c.entries, entry), append(c.ready, ready)
	return nil
}

// publish publishes the mails that are not in the account yet, and adds all to the index.
func (s *session) publish(ctx context.Context, f *folder, c *chunk) error {
	about := make([]accounts.Identity, 0, len(c.entries))
	for _, entry := range c.entries {
		about = append(about, entry.Identity)
	}
	known, err := accounts.Known(ctx, s.Pool, s.lease.AccountID, about)
	if err != nil {
		return err
	}
	var fresh []*mailimport.Ready
	var places []int
	for i, ready := range c.ready {
		if ready != nil && !known[c.entries[i].Identity] {
			known[c.entries[i].Identity] = true
			fresh, places = append(fresh, ready), append(places, i)
		}
	}
	refused, err := s.live.Publish(ctx, fresh)
	if err != nil {
		return err
	}
	for i, fault := range refused {
		c.entries[places[i]].Identity = accounts.Identity{}
		c.reasons = append(c.reasons, fault)
	}
	for _, reason := range c.reasons {
		s.Log.Warn("skip broken message", "account", s.lease.AccountID, "folder", f.Name, "error", reason)
	}
	failpoint.Hit("sync/published")
	told, err := s.index.Apply(ctx, s.lease, accounts.Change{Folder: f.ID, UIDValidity: f.UIDValidity, Seen: c.entries})
	if err != nil {
		return err
	}
	failpoint.Hit("sync/recorded")
	s.told(told)
	f.known += int64(len(c.entries))
	published, broken := len(fresh)-len(refused), len(c.reasons)
	s.observers.mails.WithLabelValues("published").Add(float64(published))
	s.observers.mails.WithLabelValues("broken").Add(float64(broken))
	s.observers.mails.WithLabelValues("known").Add(float64(len(c.entries) - published - broken))
	return nil
}

// finish notes that a folder was read up to a state.
func (s *session) finish(ctx context.Context, f *folder, state imapbox.Status) error {
	done := f.Folder
	done.UIDNext, done.HighestModSeq = state.UIDNext, state.HighestModSeq
	if done == f.Folder && !f.others {
		return nil
	}
	told, err := s.index.Apply(ctx, s.lease, accounts.Change{Folder: f.ID, UIDValidity: f.UIDValidity, Done: &done, Others: f.others})
	s.told(told)
	if err == nil {
		f.Folder, f.others = done, false
	}
	return err
}
