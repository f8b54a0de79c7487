package mailimport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFolderOf(t *testing.T) {
	for path, want := range map[string]folder{
		"Trash": trash, "Mail/Trash.mbox": trash, "Deleted Messages.mbox/mbox": trash, "a/Papierkorb.sbd/x": trash, ".Trash/cur/1": trash,
		".INBOX.Deleted Items/cur/1": trash, ".Entw&APw-rfe/cur/1": drafts, "INBOX.Drafts/new/1": drafts, "[Gmail].Spam/cur/1": junk,
		"[Google Mail].Corbeille/cur/1": trash, "[Gmail]/Spam/cur/1": junk, "Ko&AWE-/cur/1": trash, "Junk E-mail.mbox.gz": junk,
		"Inbox": noFolder, "cur/1": noFolder, "a.trash": noFolder, "Trash talk.mbox": noFolder, "x.drafts/1.eml": noFolder, "Archive/Deleted scenes": noFolder,
		"old/bin/mail.mbox": noFolder, "Lixo/x.eml": noFolder,
	} {
		if got := folderOf(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	for name, want := range map[string]folder{
		"1.a:2,ST": trash, "1.a:2,DS": drafts, "1.a;2,T": trash, "1.a!2,D": drafts, "1.a:2,SR": noFolder, "1.a": noFolder, "T:2,": noFolder,
	} {
		if got := folderOfFile(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

func TestFolderOfHeaders(t *testing.T) {
	for header, want := range map[string]folder{
		"X-Gmail-Labels: Inbox,Trash": trash, "X-Gmail-Labels: Spam": junk, "X-Gmail-Labels: =?UTF-8?Q?Entw=C3=BCrfe?=": drafts,
		"X-Gmail-Labels: Inbox,Trashed by me": noFolder, "X-Mozilla-Status: 0009": trash, "X-Mozilla-Status: 0008": trash, "X-Mozilla-Status: 0001": noFolder,
		"X-Mozilla-Status: no": noFolder, "X-Status: DF": trash, "X-Status: T": drafts, "X-Status: AF": noFolder, "Status: RO": noFolder,
		"X-Gmail-Labels: Inbox\nX-Gmail-Labels: Trash": noFolder,
	} {
		raw, err := NewReader(strings.NewReader(from+"From: a@b.example\n"+header+"\n\nx\n"), "f").Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := parseMessage(raw, Options{UserID: "u", RecordedAt: importTime}); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", header, got, err, want)
		}
	}
	raw, err := NewReader(strings.NewReader("From: a@b.example\nX-Status: D\nX-Mozilla-Status: 0008\n\nx\n"), "f").Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := parseMessage(raw, Options{UserID: "u", RecordedAt: importTime}); err != nil || got != noFolder {
		t.Errorf("a sender puts mail into folder %d (%v)", got, err)
	}
}

// What people do not look at is left out and counted, and comes in when it is asked for.
func TestRunLeavesOutTrashDraftsAndJunk(t *testing.T) {
	text := func(subject, header string) string {
		return "From: a@b.example\nSubject: " + subject + "\nDate: Thu, 22 Aug 2024 13:17:22 +0200\n" + header + "\n" + subject + "\n"
	}
	emlx := func(subject string, flags int) string {
		message := text(subject, "")
		return fmt.Sprintf("%d     \n%s<?xml version=\"1.0\"?>\n<plist><dict>\n\t<key>flags</key>\n\t<integer>%d</integer>\n</dict></plist>\n", len(message), message, flags)
	}
	dir := tree(t, map[string]string{
		"Maildir/cur/1:2,S": text("kept 1", ""), "Maildir/cur/2:2,ST": text("trash 1", ""), "Maildir/cur/3:2,D": text("draft 1", ""),
		"Maildir/.Junk/cur/4:2,S": text("junk 1", ""), "Inbox": from + text("kept 2", "X-Mozilla-Status: 0001\n") + "\n" + from + text("trash 2", "X-Mozilla-Status: 0009\n"),
		"Takeout.mbox": from + text("kept 3", "X-Gmail-Labels: Inbox\n") + "\n" + from + text("junk 2", "X-Gmail-Labels: Spam\n"),
		"Drafts":       from + text("draft 2", ""), "V10/INBOX.mbox/1.emlx": emlx("kept 4", 8590195713), "V10/INBOX.mbox/2.emlx": emlx("trash 3", 8590195713|2),
		"V10/Deleted Messages.mbox/3.emlx": emlx("trash 4", 1),
	})
	_, conn := connect(t)
	config := Config{Paths: []string{dir}, UserID: "u1", Now: func() time.Time { return importTime }, Log: slog.New(slog.DiscardHandler)}
	result, err := Run(t.Context(), conn, config)
	if diff := cmp.Diff(Result{Imported: 4, LeftOut: 8}, result); diff != "" || err != nil {
		t.Error(diff, err)
	}
	got, _ := subjects(t, consume(t, conn, 4))
	if slices.Sort(got); !slices.Equal(got, []string{"kept 1", "kept 2", "kept 3", "kept 4"}) {
		t.Errorf("%q", got)
	}
	config.Trash = true
	if result, err = Run(t.Context(), conn, config); err != nil || result != (Result{Imported: 12}) {
		t.Errorf("with trash: %+v, %v", result, err)
	}
	all := quarantines(t, consume(t, conn, 16)[4:])
	for subject, quarantined := range all {
		if want := strings.HasPrefix(subject, "junk"); quarantined != want {
			t.Errorf("%s is in quarantine: %t", subject, quarantined)
		}
	}
	config.Trash, config.Paths = false, []string{filepath.Join(dir, "Drafts")} // a folder that is named is meant
	if result, err = Run(t.Context(), conn, config); err != nil || result != (Result{Imported: 1}) {
		t.Errorf("a folder that is named: %+v, %v", result, err)
	}
}

// A stream is read once, and an import that waits for more of it ends with its context.
func TestRunReadsStreams(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte(threeMessages))
	config.StateDir = t.TempDir()
	t.Run("several paths, one of them a pipe", func(t *testing.T) {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		go func() {
			_, _ = io.WriteString(writer, strings.ReplaceAll(threeMessages, "Subject: ", "Subject: piped "))
			_ = writer.Close()
		}()
		several := config
		several.Paths = append(slices.Clone(config.Paths), fmt.Sprintf("/dev/fd/%d", reader.Fd()))
		if result, err := Run(t.Context(), conn, several); err != nil || result.Imported != 4 || result.Broken != 2 {
			t.Errorf("%+v, %v", result, err)
		}
	})
	for _, name := range []string{"standard input", "a pipe"} {
		t.Run("a silent one: "+name, func(t *testing.T) {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			defer writer.Close()
			silent := config
			silent.Paths, silent.Stdin = []string{Stdin}, reader
			if name == "a pipe" {
				silent.Paths = []string{fmt.Sprintf("/dev/fd/%d", reader.Fd())}
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := Run(ctx, conn, silent); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
	if left, err := os.ReadDir(config.StateDir); err != nil || len(left) > 0 {
		t.Errorf("%v are left of the imports (%v)", left, err)
	}
}

// An import that is done when it is told to end is done.
func TestRunThatEndedIsNotInterrupted(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte(threeMessages))
	ctx, cancel := context.WithCancel(t.Context())
	config.Progress = told(cancel)
	if result, err := Run(ctx, conn, config); err != nil || result.Imported != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

type told func()

func (f told) Update(Status) { f() }
func (told) Waiting(bool)    {}

// A failed import leaves no file that says nothing.
func TestFailedImportLeavesNoState(t *testing.T) {
	_, conn := connect(t)
	config, _ := configOf(t, []byte("PK\x03\x04"))
	config.StateDir = t.TempDir()
	if _, err := Run(t.Context(), conn, config); err == nil {
		t.Error("no error")
	}
	if left, err := os.ReadDir(config.StateDir); err != nil || len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
}
