package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/world"
)

// settle sets the environment so that commands in this process use the servers of a World.
func settle(w *world.World, t *testing.T) {
	t.Helper()
	for _, variable := range config.Environ(nil, &w.Settings, &config.Postgres{DatabaseURL: config.Secret(w.URL)}) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// TestAllowedSourcesLetOurImportIn runs the mailbox group with the setting that the guide shows, on imported mail and on an
// event of a source that is not listed. A rebuild refuses the same.
func TestAllowedSourcesLetOurImportIn(t *testing.T) {
	const meetupMails = 80 // more than may become dead letters
	w := world.New(t).Kfake()
	settle(w, t)
	t.Setenv("ALLOWED_SOURCES", "/payments,/mail/importer")
	if _, err := auth.NewStore(w.Pool).CreateUser(t.Context(), auth.User{ID: "ann"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mail.mbox")
	w.Must(os.WriteFile(path, meetups(meetupMails), 0o600))
	if got := call("import", path, "--user", "ann", "--state-dir", t.TempDir()); got.status != 0 {
		t.Fatalf("import: %s%s", got.stdout, got.stderr)
	}
	stranger := w.Foreign(&events.Event{
		Envelope: events.Envelope{Type: events.TypeUserErased, ID: events.NewUUIDv7(w.Now()).String(), Source: "/stranger", Time: w.Now()},
		Erasure:  &events.Erasure{UserID: "ann", RecordedAt: w.Now()},
	})
	stranger.Topic = w.Conn.Topic(events.TopicMail)
	w.Publish(stranger)

	stop := w.Background("consume mailbox", func(ctx context.Context) error {
		run(ctx, []string{"consume", "mailbox", "--metrics-listen=", "--session-timeout=6s"}, io.Discard, w.Logs)
		return nil
	})
	w.AwaitFolded("mailbox", events.TopicMail)
	if got := w.DeadLetters("mailbox"); len(got) != 1 || got["source"] != 1 {
		t.Errorf("dead letters by reason: %v", got)
	}
	if mails := w.Int("SELECT count(*) FROM live_mails WHERE user_id = 'ann'"); mails != meetupMails+1 {
		t.Errorf("%d mails", mails)
	}
	stop()
	for _, args := range [][]string{{"rebuild", "run", "mailbox"}, {"rebuild", "diff", "mailbox"}, {"rebuild", "swap", "mailbox", "--reason", "test"}} {
		if got := call(args...); got.status != 0 {
			t.Errorf("applylens %s: %s%s", strings.Join(args, " "), got.stdout, got.stderr)
		}
	}
	if mails := w.Int("SELECT count(*) FROM live_mails WHERE user_id = 'ann'"); mails != meetupMails+1 {
		t.Errorf("%d mails after the rebuild", mails)
	}
}

func TestImportOfNothingIsRefused(t *testing.T) {
	w := world.New(t).Kfake()
	settle(w, t)
	_, err := auth.NewStore(w.Pool).CreateUser(t.Context(), auth.User{ID: "ann"})
	w.Must(err)
	dir := t.TempDir()
	mail, other := filepath.Join(dir, "mail.mbox"), filepath.Join(dir, "passwd")
	w.Must(os.WriteFile(mail, meetups(1), 0o600))
	w.Must(os.WriteFile(other, []byte("root:x:0:0:root:/root:/bin/bash\nann:x:1:1::/home/ann:/bin/sh\n"), 0o600))
	f := func(want string, args ...string) {
		t.Helper()
		got := call(append([]string{"import", "--state-dir", dir}, args...)...)
		if got.status != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("import %s: %+v", strings.Join(args, " "), got)
		}
	}
	f(`no such user: "typo"; to create one: applylens token create --user 'typo'`, mail, "--user", "typo")
	f("there is no mail in "+other, other, "--user", "ann")
	f("no such file", filepath.Join(dir, "missing"), "--user", "ann")
	if ends, err := w.Ends(events.TopicMail); err != nil || ends[0]+ends[1]+ends[2] != 0 {
		t.Errorf("published %v, %v", ends, err)
	}
}
