package imapbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// Folder is a folder of a mailbox that can be selected.
type Folder struct {
	Name      string
	Delimiter string // between levels; empty: there are none
	Use       string // its special use, such as \Archive; empty: none
}

// The special uses of folders.
const (
	UseAll       = `\All`
	UseArchive   = `\Archive`
	UseDrafts    = `\Drafts`
	UseFlagged   = `\Flagged`
	UseImportant = `\Important`
	UseJunk      = `\Junk`
	UseSent      = `\Sent`
	UseTrash     = `\Trash`
)

var uses = []string{UseAll, UseArchive, UseDrafts, UseFlagged, UseImportant, UseJunk, UseSent, UseTrash}

// Inbox is the name of the folder where mail arrives, whatever the case in which a server writes it.
const Inbox = "INBOX"

// mostFolders bounds the folders of a mailbox, and longestName their names in bytes.
const (
	mostFolders = 5000
	longestName = 1000
)

// Status is what a server says of a folder.
type Status struct {
	UIDValidity   uint32
	UIDNext       uint32
	HighestModSeq uint64 // 0: the server counts no changes
	Messages      uint32
}

// Folders lists the folders.
func (b *Box) Folders(ctx context.Context) ([]Folder, error) {
	var list []Folder
	err := b.do(ctx, "list the folders", func() error {
		var options *imap.ListOptions
		if b.Has("LIST-EXTENDED") && b.Has(SpecialUse) {
			options = &imap.ListOptions{ReturnSpecialUse: true}
		}
		command := b.client.List("", "*", options)
		defer command.Close()
		for data := command.Next(); data != nil; data = command.Next() {
			if len(list) == mostFolders {
				return &Error{Refused, fmt.Sprintf("the mailbox has more than %d folders", mostFolders), errTooMuch}
			}
			if folder, ok := folderOf(data); ok {
				list = append(list, folder)
			}
		}
		return command.Close()
	})
	return list, err
}

// isText tells whether a name can be stored and shown.
func isText(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// folderOf returns what a server says of a folder, unless it cannot be selected.
func folderOf(data *imap.ListData) (Folder, bool) {
	folder := Folder{Name: data.Mailbox}
	if data.Delim != 0 {
		folder.Delimiter = string(data.Delim)
	}
	if strings.EqualFold(folder.Name, Inbox) {
		folder.Name = Inbox
	}
	for _, attribute := range data.Attrs {
		name := string(attribute)
		if strings.EqualFold(name, string(imap.MailboxAttrNoSelect)) || strings.EqualFold(name, string(imap.MailboxAttrNonExistent)) {
			return folder, false
		}
		if i := slices.IndexFunc(uses, func(use string) bool { return strings.EqualFold(use, name) }); i >= 0 && folder.Use == "" {
			folder.Use = uses[i]
		}
	}
	return folder, folder.Name != "" && len(folder.Name) <= longestName && isText(folder.Name)
}

// Examine selects a folder for reading only.
func (b *Box) Examine(ctx context.Context, name string) (Status, error) {
	return b.open(ctx, name, true)
}

// Select selects a folder for changes.
func (b *Box) Select(ctx context.Context, name string) (Status, error) {
	return b.open(ctx, name, false)
}

func (b *Box) open(ctx context.Context, name string, readOnly bool) (status Status, err error) {
	b.folder = ""
	err = b.do(ctx, "open the folder "+name, func() error {
		data, err := b.client.Select(name, &imap.SelectOptions{ReadOnly: readOnly, CondStore: b.Has(CondStore)}).Wait()
		if err != nil {
			return err
		}
		status = Status{data.UIDValidity, uint32(data.UIDNext), data.HighestModSeq, data.NumMessages}
		if status.UIDValidity == 0 {
			return &Error{Refused, "the server's folders have no lasting numbers, so mail cannot be followed there", errContradicts}
		}
		if !b.Has(CondStore) {
			status.HighestModSeq = 0 // it may be named all the same
		}
		b.folder = name
		return nil
	})
	return status, err
}

// Status asks about a folder that is not selected.
func (b *Box) Status(ctx context.Context, name string) (status Status, err error) {
	err = b.do(ctx, "look at the folder "+name, func() error {
		data, err := b.client.Status(name, &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: b.Has(CondStore)}).Wait()
		if err != nil {
			return err
		}
		status = Status{UIDValidity: data.UIDValidity, UIDNext: uint32(data.UIDNext), HighestModSeq: data.HighestModSeq}
		if data.NumMessages != nil {
			status.Messages = *data.NumMessages
		}
		return nil
	})
	return status, err
}

// CreateFolder makes a folder, with a special use if the server takes one. One that is there already is no error.
func (b *Box) CreateFolder(ctx context.Context, name, use string) error {
	return b.do(ctx, "make the folder "+name, func() error {
		var options *imap.CreateOptions
		if use != "" && b.Has(CreateSpecialUse) {
			options = &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttr(use)}}
		}
		err := b.client.Create(name, options).Wait()
		var status *imap.Error
		if asImapError(err, &status) && status.Code == imap.ResponseCodeAlreadyExists {
			return nil
		}
		if err == nil {
			_ = b.client.Subscribe(name).Wait() // so that other clients show it; not all servers have subscriptions
		}
		return err
	})
}
