package mailsync

import (
	"context"
	"slices"
	"time"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/producers/mailimport"
)

// folder is a folder that is read.
type folder struct {
	accounts.Folder
	known int64 // UIDs that the index has of it

	// What is found to be gone is noted at the end of the pass, when it is known where it went.
	gone   []uint32
	others bool // it had another UIDVALIDITY before, of which the index still has mails
}

// watches tells which folders are read: all but those that people do not look into (trash, drafts and junk), and those that only show the
// mail of others once more (all mail, flagged, important). On Gmail, where folders are labels and archived mail is in "all mail" alone,
// these are the inbox, what was sent, and all mail.
func watches(gmail bool, f imapbox.Folder) bool {
	if f.Name == imapbox.Inbox {
		return true
	}
	switch f.Use {
	case imapbox.UseTrash, imapbox.UseDrafts, imapbox.UseJunk, imapbox.UseFlagged, imapbox.UseImportant:
		return false
	case imapbox.UseAll:
		return gmail
	case imapbox.UseArchive, imapbox.UseSent:
		return true
	}
	return !gmail && !mailimport.Aside(f.Name, f.Delimiter)
}

// pass brings the index up to date with the mailbox. What is gone from one folder is noted last, when it may be in another.
func (s *session) pass(ctx context.Context) error {
	for range passes {
		if again, err := s.once(ctx); err != nil || !again {
			return err
		}
	}
	return nil
}

// once is one pass. It leaves the inbox open, which tells of new mail, and says whether there is some already.
func (s *session) once(ctx context.Context) (again bool, err error) {
	s.done, s.total = 0, 0
	var listed []accounts.Folder
	if time.Since(s.listedAt) >= s.Poll/2 {
		if listed, err = s.list(ctx); err != nil {
			return false, err
		}
	}
	for _, f := range s.folders {
		if err := s.read(ctx, f); err != nil {
			return false, err
		}
	}
	for _, f := range s.folders {
		if err := s.forget(ctx, f); err != nil {
			return false, err
		}
	}
	if listed != nil {
		told, err := s.index.SetFolders(ctx, s.lease, listed)
		s.told(told)
		if err != nil {
			return false, err
		}
	}
	if s.total > 0 {
		if err := accounts.Progress(ctx, s.Pool, s.lease, s.done, s.total); err != nil {
			return false, err
		}
	}
	if s.inbox == nil {
		return false, nil
	}
	state, err := s.box.Examine(ctx, s.inbox.Name)
	return err == nil && s.inbox.changed(state), err
}

// list finds out which folders there are, and stores those that are new.
func (s *session) list(ctx context.Context) ([]accounts.Folder, error) {
	found, err := s.box.Folders(ctx)
	if err != nil {
		return nil, err
	}
	gmail := s.box.Has(imapbox.GmailLabels)
	listed := make([]accounts.Folder, 0, len(found))
	for _, f := range found {
		listed = append(listed, accounts.Folder{Name: f.Name, Use: f.Use, Watched: watches(gmail, f)})
	}
	have, err := accounts.Folders(ctx, s.Pool, s.lease.AccountID)
	if err != nil {
		return nil, err
	}
	if fresh(have, listed) {
		if err := s.index.AddFolders(ctx, s.lease, listed); err != nil {
			return nil, err
		}
		if have, err = accounts.Folders(ctx, s.Pool, s.lease.AccountID); err != nil {
			return nil, err
		}
	}
	if err := s.adopt(ctx, have, listed); err != nil {
		return nil, err
	}
	s.listedAt = time.Now()
	if len(have) == len(listed) && !fresh(have, listed) {
		return nil, nil // nothing is to be forgotten
	}
	return listed, nil
}

// fresh tells whether some folder is not stored as it is listed.
func fresh(have, listed []accounts.Folder) bool {
	return slices.ContainsFunc(listed, func(f accounts.Folder) bool {
		return !slices.ContainsFunc(have, func(h accounts.Folder) bool { return h.Name == f.Name && h.Use == f.Use && h.Watched == f.Watched })
	})
}

// adopt makes the folders that are listed and watched those that are read, the inbox first.
func (s *session) adopt(ctx context.Context, have, listed []accounts.Folder) error {
	var folders []*folder
	s.inbox = nil
	for _, h := range have {
		if !h.Watched || !slices.ContainsFunc(listed, func(f accounts.Folder) bool { return f.Name == h.Name }) {
			continue
		}
		known, err := accounts.Count(ctx, s.Pool, h.ID, h.UIDValidity)
		if err != nil {
			return err
		}
		one := &folder{Folder: h, known: known}
		if i := slices.IndexFunc(s.folders, func(f *folder) bool { return f.ID == h.ID }); i >= 0 {
			one = s.folders[i]
		}
		if h.Name == imapbox.Inbox {
			s.inbox = one
			folders = slices.Insert(folders, 0, one)
			continue
		}
		folders = append(folders, one)
	}
	s.folders = folders
	return nil
}

// changed tells whether the state of a folder is not the one that is known.
func (f *folder) changed(now imapbox.Status) bool {
	return now.UIDValidity != f.UIDValidity || now.UIDNext != f.UIDNext || now.HighestModSeq != f.HighestModSeq || int64(now.Messages) != f.known
}

// mayDiffer is changed, or that the server does not count changes of flags.
func (f *folder) mayDiffer(now imapbox.Status) bool { return now.HighestModSeq == 0 || f.changed(now) }

// passes is how often a mailbox is looked at once more because something has come meanwhile. A mailbox that never agrees with
// itself is looked at again when it tells of something, or with the next poll.
const passes = 3

// forget notes what is gone from a folder.
func (s *session) forget(ctx context.Context, f *folder) error {
	const portion = 1000
	for len(f.gone) > 0 {
		part := f.gone[:min(portion, len(f.gone))]
		told, err := s.index.Apply(ctx, s.lease, accounts.Change{Folder: f.ID, UIDValidity: f.UIDValidity, Gone: part})
		s.told(told)
		if err != nil {
			return err
		}
		f.gone = f.gone[len(part):]
		f.known -= int64(len(part))
	}
	return nil
}

// told counts changes that were told of, and wakes the relay.
func (s *session) told(changes int) {
	if changes > 0 {
		s.observers.changes.Add(float64(changes))
		s.Wake()
	}
}
