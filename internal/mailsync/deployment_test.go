package mailsync_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/mailsync"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

// password is everybody's.
const password = "open sesame"

// deployment is a World with a Dovecot.
type deployment struct {
	*world.World
	dovecot *testenv.Dovecot
	keys    *secrets.Keys
	roots   string // of the server's certificate
	keyFile string
}

func newDeployment(t testing.TB, users ...string) *deployment {
	t.Helper()
	return newDeploymentOn(t, "", users...)
}

// newDeploymentOn is newDeployment on a Dovecot with a setting.
func newDeploymentOn(t testing.TB, setting string, users ...string) *deployment {
	t.Helper()
	passwords := map[string]string{}
	for _, user := range users {
		passwords[user] = password
	}
	w := &deployment{World: world.New(t), dovecot: testenv.StartDovecot(t, passwords, setting)}
	key := secrets.Generate()
	var err error
	w.keys, err = secrets.Parse(key)
	w.Must(err)
	dir := t.TempDir()
	w.keyFile, w.roots = dir+"/keys", dir+"/ca.pem"
	w.Must(os.WriteFile(w.keyFile, []byte(key), 0o600))
	w.Must(os.WriteFile(w.roots, w.dovecot.CA(), 0o600))
	for _, user := range users {
		w.Exec(`INSERT INTO users (id) VALUES ($1)`, user)
	}
	return w
}

func (w *deployment) connector() *accounts.Connector {
	return &accounts.Connector{Keys: w.keys, Dialer: &dialer.Dialer{Private: true}, Roots: w.dovecot.Roots(), Timeout: 5 * time.Second}
}

// add adds an account of a user of the same name.
func (w *deployment) add(user string, changes ...func(*accounts.Account, *accounts.Entrusted)) accounts.Account {
	w.Helper()
	a := accounts.Account{UserID: user, Address: user + "@example.org", Host: "localhost", Port: w.dovecot.TLSPort(), Login: user}
	given := accounts.Entrusted{Password: secrets.New(password)}
	for _, change := range changes {
		change(&a, &given)
	}
	if faults := a.Validate(given); faults != nil {
		w.Fatal(faults)
	}
	added, err := accounts.Add(w.Context(), w.Pool, w.keys, a, given)
	w.Must(err)
	return added
}

// run watches accounts until the returned function is called.
func (w *deployment) run(holder string, changes ...func(*mailsync.Config)) (stop func()) {
	w.Helper()
	config := mailsync.Config{Pool: w.Pool, Conn: w.Conn, Connector: w.connector(), Holder: holder, Log: w.Logger, Poll: time.Second, Lease: 3 * time.Second,
		Backoff: 20 * time.Millisecond}
	for _, change := range changes {
		change(&config)
	}
	return w.Background("watching accounts", func(ctx context.Context) error { return mailsync.Run(ctx, config) })
}

func message(id, subject string) string {
	return fmt.Sprintf("From: shop@example.com\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\nMessage-ID: <%s>\r\nSubject: %s\r\n\r\nHello %[2]s\r\n", id, subject)
}

// client is another client of a user's mailbox.
func (w *deployment) client(user string) *imapbox.Box {
	w.Helper()
	box, err := imapbox.Open(w.Context(), imapbox.Server{Host: "localhost", Port: w.dovecot.TLSPort(), Roots: w.dovecot.Roots(), Dialer: &dialer.Dialer{Private: true}},
		imapbox.Login{Name: user, Auth: imapbox.Password, Secret: secrets.New(password)})
	w.Must(err)
	w.Cleanup(box.Close)
	return box
}

// raw sends commands as another client of a user does, for what imapbox does not do.
func (w *deployment) raw(user string, commands ...string) {
	w.Helper()
	conn, err := w.dovecot.DialTLS()
	w.Must(err)
	defer conn.Close()
	text := textproto.NewReader(bufio.NewReader(conn))
	if _, err := text.ReadLine(); err != nil {
		w.Fatal(err)
	}
	for i, command := range append([]string{fmt.Sprintf("LOGIN %s %q", user, password)}, commands...) {
		tag := fmt.Sprint("a", i)
		_, err := fmt.Fprintf(conn, "%s %s\r\n", tag, command)
		w.Must(err)
		for {
			line, err := text.ReadLine()
			w.Must(err)
			if rest, ended := strings.CutPrefix(line, tag+" "); ended {
				if !strings.HasPrefix(rest, "OK") {
					w.Fatalf("%s: %s", command, rest)
				}
				break
			}
		}
	}
}

// mailbox is what a mailbox has, as its server says: by folder, UIDVALIDITY and UID, the subject and the flags. The index is compared with it.
func (w *deployment) mailbox(user string, leftOut ...string) []string {
	w.Helper()
	box := w.client(user)
	defer box.Close()
	folders, err := box.Folders(w.Context())
	w.Must(err)
	var list []string
	for _, f := range folders {
		if slices.Contains(append(leftOut, "Trash", "Junk", "Drafts"), f.Name) {
			continue
		}
		state, err := box.Examine(w.Context(), f.Name)
		w.Must(err)
		uids, err := box.UIDs(w.Context(), 1)
		w.Must(err)
		for part := range slices.Chunk(uids, 500) {
			w.Must(box.Fetch(w.Context(), part, func(m imapbox.Message) error {
				scanner := bufio.NewScanner(m.Body)
				id := ""
				for scanner.Scan() {
					if rest, found := strings.CutPrefix(scanner.Text(), "Message-ID: <"); found {
						id = strings.TrimSuffix(rest, ">")
					}
				}
				list = append(list, fmt.Sprint(f.Name, " ", state.UIDValidity, " ", m.UID, " ", id, " ", strings.Join(m.Flags, " ")))
				return scanner.Err()
			}))
		}
	}
	slices.Sort(list)
	return list
}

// index is what the index has of a mailbox, in the form of mailbox.
func (w *deployment) index(user string) []string {
	list := world.Column[string](w, `SELECT concat(f.name, ' ', m.uidvalidity, ' ', m.uid, ' ', m.message_id, ' ', array_to_string(m.flags, ' '))
		FROM account_mails m JOIN account_folders f ON f.id = m.folder_id WHERE m.user_id = $1`, user)
	slices.Sort(list)
	return list
}

// agreed waits until the index equals the mailbox.
func (w *deployment) agreed(user string) {
	w.Helper()
	w.Eventually("the index of "+user+" equals the mailbox", func() error {
		want, got := w.mailbox(user), w.index(user)
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i] != got[i] {
				return fmt.Errorf("%d of %d mails; at %d there is %q, want %q", len(got), len(want), i, at(got, i), at(want, i))
			}
		}
		return nil
	})
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "none"
}

// received counts mail.received in the log by Message-ID, and checks that the same mail always has the same id.
func (w *deployment) received() map[string]int {
	w.Helper()
	ends, err := w.Ends(events.TopicMail)
	w.Must(err)
	var left int64
	offsets := map[int32]kgo.Offset{}
	for partition, end := range ends {
		left += end
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	reader := w.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.Conn.Topic(events.TopicMail): offsets}))
	counts, ids := map[string]int{}, map[string]string{}
	decoder := events.NewDecoder()
	for left > 0 {
		fetches := reader.PollFetches(w.Context())
		w.Must(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			var headers []events.Header
			for _, h := range r.Headers {
				headers = append(headers, events.Header{Key: h.Key, Value: h.Value})
			}
			head, err := decoder.Head(headers)
			w.Must(err)
			var e events.Event
			w.Must(decoder.Decode(&head, r.Value, &e))
			if e.Mail == nil {
				return
			}
			counts[e.Mail.MessageID]++
			if old := ids[e.Mail.MessageID]; old != "" && old != e.ID {
				w.Errorf("%s was published as %s and %s", e.Mail.MessageID, old, e.ID)
			}
			ids[e.Mail.MessageID] = e.ID
		})
	}
	return counts
}

// places is where mails are by what was told, as it counts: that with the highest account_seq of each mail.
func (w *deployment) places(user string) map[string]string {
	w.Helper()
	latest := map[string]*events.MailChange{}
	for _, row := range w.Outbox("user_id = $1 AND type = 'applylens.mail.changed.v1'", user) {
		change := *row.Event.MailChange
		if old := latest[change.MessageID]; old != nil && old.AccountSeq >= change.AccountSeq {
			w.Errorf("account_seq %d of %s comes after %d", change.AccountSeq, change.MessageID, old.AccountSeq)
		}
		latest[change.MessageID] = &change
	}
	places := map[string]string{}
	for id, change := range latest {
		places[id] = strings.Join(change.Folders, ",") + " " + strings.Join(change.Labels, ",")
	}
	return places
}

// hashed is a hash in the form of a content hash.
func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
