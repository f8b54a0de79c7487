package imapbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Limits of what is kept of a message beside its text.
const (
	mostFlags   = 100
	longestFlag = 255
	mostFound   = 1000
)

// Message is a message of the selected folder while it is being read.
type Message struct {
	UID   uint32
	Flags []string
	Body  io.Reader // its text with CRLF, valid until the function it is given to returns
}

// messageBytes is how long a message may be, and the overhead of its encryption.
const messageBytes = 300 << 20

func asImapError(err error, target **imap.Error) bool { return errors.As(err, target) }

// UIDs lists the UIDs from one on in the selected folder, ascending.
func (b *Box) UIDs(ctx context.Context, from uint32) ([]uint32, error) {
	var uids []uint32
	err := answered("list the mails of "+b.folder, b.within(ctx, longCommand, listBytes, func() error {
		criteria := &imap.SearchCriteria{}
		if from > 1 {
			criteria.UID = []imap.UIDSet{{imap.UIDRange{Start: imap.UID(from), Stop: 0}}}
		}
		var err error
		uids, err = b.search(criteria, mostUIDs)
		return err
	}))
	// "n:*" always has the last message, also one before n.
	return slices.DeleteFunc(uids, func(uid uint32) bool { return uid < from }), err
}

// mostUIDs is how many messages a folder may have.
const mostUIDs = 5_000_000

// search returns the UIDs that a search finds, ascending. What the server names beyond most is an error: it may write a range that would
// take all memory.
func (b *Box) search(criteria *imap.SearchCriteria, most int) ([]uint32, error) {
	var options *imap.SearchOptions
	if b.Has("ESEARCH") {
		options = &imap.SearchOptions{ReturnAll: true}
	}
	data, err := b.client.UIDSearch(criteria, options).Wait()
	if err != nil {
		return nil, err
	}
	set, _ := data.All.(imap.UIDSet)
	var uids []uint32
	for _, span := range set {
		if span.Start == 0 || span.Stop < span.Start {
			return nil, errContradicts
		}
		if uint64(span.Stop-span.Start)+uint64(len(uids)) >= uint64(most) {
			return nil, errTooMuch
		}
		for uid := uint64(span.Start); uid <= uint64(span.Stop); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids), nil
}

// Find returns the UIDs of messages of the selected folder with a Message-ID, given without brackets.
func (b *Box) Find(ctx context.Context, messageID string) (uids []uint32, err error) {
	err = b.do(ctx, "look for a mail in "+b.folder, func() error {
		uids, err = b.search(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: messageID}}}, mostFound)
		return err
	})
	return uids, err
}

// setOf is a set of UIDs.
func setOf(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, uid := range uids {
		set.AddNum(imap.UID(uid))
	}
	return set
}

// Sizes returns the sizes in bytes of messages, by UID. One that is gone is missing.
func (b *Box) Sizes(ctx context.Context, uids []uint32) (map[uint32]int64, error) {
	sizes := map[uint32]int64{}
	err := b.do(ctx, "look at mails of "+b.folder, func() error {
		return b.eachFetched(setOf(uids), &imap.FetchOptions{UID: true, RFC822Size: true}, func(data *imapclient.FetchMessageData) error {
			var uid uint32
			for item := data.Next(); item != nil; item = data.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					uid = uint32(item.UID)
				case imapclient.FetchItemDataRFC822Size:
					sizes[uid] = item.Size
				}
			}
			return nil
		})
	})
	delete(sizes, 0)
	return sizes, err
}

// Fetch reads messages, in the order in which the server sends them, and gives each to take while it arrives. A message that is gone is
// left out.
func (b *Box) Fetch(ctx context.Context, uids []uint32, take func(Message) error) error {
	section := &imap.FetchItemBodySection{Peek: true}
	options := &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{section}}
	return answered("read mails of "+b.folder, b.within(ctx, longCommand, messageBytes, func() error {
		return b.eachFetched(setOf(uids), options, func(data *imapclient.FetchMessageData) error {
			return takeMessage(data, take)
		})
	}))
}

// takeMessage reads a message. Servers write flags before or after the text: flags that come after it are in Flags when take
// has returned, so the text is given to take with what is known, and once more without a text if flags follow.
func takeMessage(data *imapclient.FetchMessageData, take func(Message) error) error {
	var message Message
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			message.UID = uint32(item.UID)
		case imapclient.FetchItemDataFlags:
			message.Flags = flagsOf(item.Flags)
			if message.Body != nil {
				if err := take(Message{UID: message.UID, Flags: message.Flags}); err != nil {
					return err
				}
			}
		case imapclient.FetchItemDataBodySection:
			if message.UID == 0 || item.Literal == nil {
				return errContradicts
			}
			message.Body = item.Literal
			if err := take(message); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flags tells the flags of messages of the selected folder, all of them or, if the server counts changes, those that changed since.
func (b *Box) Flags(ctx context.Context, since uint64, take func(uid uint32, flags []string) error) error {
	all := imap.UIDSet{imap.UIDRange{Start: 1, Stop: 0}}
	return answered("read the flags of "+b.folder, b.within(ctx, longCommand, listBytes, func() error {
		return b.eachFetched(all, &imap.FetchOptions{UID: true, Flags: true, ChangedSince: since}, func(data *imapclient.FetchMessageData) error {
			var uid uint32
			var flags []string
			for item := data.Next(); item != nil; item = data.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					uid = uint32(item.UID)
				case imapclient.FetchItemDataFlags:
					flags = flagsOf(item.Flags)
				}
			}
			if uid == 0 {
				return nil
			}
			return take(uid, flags)
		})
	}))
}

// eachFetched gives what a FETCH brings to take, one at a time. After an error of take the rest is read and dropped.
func (b *Box) eachFetched(set imap.UIDSet, options *imap.FetchOptions, take func(*imapclient.FetchMessageData) error) error {
	if len(set) == 0 {
		return nil
	}
	command := b.client.Fetch(set, options)
	var first error
	for data := command.Next(); data != nil; data = command.Next() {
		if first == nil {
			first = take(data)
		}
	}
	if err := command.Close(); err != nil {
		return err
	}
	return first
}

// flagsOf returns flags as they are kept: once each, sorted, without what only says that a message is new in this session.
func flagsOf(list []imap.Flag) []string {
	flags := []string{}
	for _, flag := range list {
		name := string(flag)
		if name == "" || len(name) > longestFlag || strings.EqualFold(name, `\Recent`) || !isText(name) {
			continue
		}
		flags = append(flags, name)
	}
	slices.Sort(flags)
	flags = slices.Compact(flags)
	return flags[:min(len(flags), mostFlags)]
}

// Keyword sets or removes a keyword of a message of the selected folder.
func (b *Box) Keyword(ctx context.Context, uid uint32, keyword string, set bool) error {
	if err := checkKeyword(keyword); err != nil {
		return err
	}
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.Flag(keyword)}}
	if !set {
		store.Op = imap.StoreFlagsDel
	}
	return b.do(ctx, "label a mail", func() error { return b.client.Store(setOf([]uint32{uid}), store, nil).Close() })
}

// Moved tells where a message is after a move. UID is 0 if the server does not say.
type Moved struct {
	UIDValidity, UID uint32
}

// Move moves a message of the selected folder to another folder. A server without MOVE copies it, and verify, which is called with the other
// folder selected, says whether the copy is right before the message is expunged; that needs UIDPLUS. A message that is gone
// is an error. Afterwards the folder that was selected is selected again.
func (b *Box) Move(ctx context.Context, uid uint32, target string, verify func(copied uint32) error) (Moved, error) {
	if target == b.folder {
		return Moved{}, &Error{Refused, "the mail is in the folder " + target + " already", errContradicts}
	}
	if b.Has(Move) {
		return b.move(ctx, uid, target)
	}
	if !b.Has(UIDPlus) {
		return Moved{}, &Error{Refused, "the server can neither move a mail (MOVE) nor remove a single one (UIDPLUS)", errors.New("no MOVE and no UIDPLUS")}
	}
	return b.copyAndExpunge(ctx, uid, target, verify)
}

func (b *Box) move(ctx context.Context, uid uint32, target string) (moved Moved, err error) {
	err = b.do(ctx, "move a mail to "+target, func() error {
		data, err := b.client.Move(setOf([]uint32{uid}), target).Wait()
		if err != nil {
			return err
		}
		moved = Moved{UIDValidity: data.UIDValidity, UID: only(data.DestUIDs)}
		if b.Has(UIDPlus) && moved.UID == 0 { // the answer to a move of nothing is "OK"
			return &Error{Refused, "the mail is not in the folder " + b.folder + " any more", errContradicts}
		}
		return nil
	})
	return moved, err
}

func (b *Box) copyAndExpunge(ctx context.Context, uid uint32, target string, verify func(copied uint32) error) (moved Moved, err error) {
	source := b.folder
	err = b.do(ctx, "copy a mail to "+target, func() error {
		data, err := b.client.Copy(setOf([]uint32{uid}), target).Wait()
		if err != nil {
			return err
		}
		moved = Moved{UIDValidity: data.UIDValidity, UID: only(data.DestUIDs)}
		if moved.UID == 0 {
			return &Error{Refused, "the mail is not in the folder " + b.folder + " any more", errContradicts}
		}
		return nil
	})
	if err != nil {
		return Moved{}, err
	}
	if _, err := b.Examine(ctx, target); err != nil {
		return moved, err
	}
	if err := verify(moved.UID); err != nil {
		return moved, &Error{Refused, "the copy in " + target + " is not what was copied, so the mail was left where it is", err}
	}
	if _, err := b.Select(ctx, source); err != nil {
		return moved, err
	}
	return moved, b.do(ctx, "remove a mail that was copied", func() error {
		deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
		if err := b.client.Store(setOf([]uint32{uid}), deleted, nil).Close(); err != nil {
			return err
		}
		return b.client.UIDExpunge(setOf([]uint32{uid})).Close()
	})
}

// only returns the single number of a set, 0 if it has another count.
func only(set imap.NumSet) uint32 {
	uids, _ := set.(imap.UIDSet)
	if len(uids) != 1 || uids[0].Start != uids[0].Stop {
		return 0
	}
	return uint32(uids[0].Start)
}

// Fetched reads one message of the selected folder; found is false if it is gone.
func (b *Box) Fetched(ctx context.Context, uid uint32, take func(Message) error) (found bool, err error) {
	err = b.Fetch(ctx, []uint32{uid}, func(m Message) error {
		if m.UID != uid {
			return fmt.Errorf("%w: it sent the message %d", errContradicts, m.UID)
		}
		found = true
		return take(m)
	})
	return found, err
}
