package imapbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/internal/testkit/testenv"
	"github.com/applylens/applylens/internal/testkit/world"
)

func serverOf(d *testenv.Dovecot) imapbox.Server {
	return imapbox.Server{Host: "localhost", Port: d.TLSPort(), Roots: d.Roots(), Dialer: &dialer.Dialer{Private: true}}
}

func login(password string) imapbox.Login {
	return imapbox.Login{Name: "ann", Auth: imapbox.Password, Secret: secrets.New(password)}
}

func open(t *testing.T, server imapbox.Server) *imapbox.Box {
	t.Helper()
	box, err := imapbox.Open(t.Context(), server, login("secret"))
	world.Must(t, err)
	t.Cleanup(box.Close)
	return box
}

func message(id, subject string) string {
	return fmt.Sprintf("From: shop@example.com\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\nMessage-ID: <%s>\r\nSubject: %s\r\n\r\nHello\r\n", id, subject)
}

// read returns the texts and flags of messages.
func read(t *testing.T, box *imapbox.Box, uids ...uint32) map[uint32]string {
	t.Helper()
	found := map[uint32]string{}
	world.Must(t, box.Fetch(t.Context(), uids, func(m imapbox.Message) error {
		text, err := io.ReadAll(m.Body)
		_, body, _ := strings.Cut(string(text), "Subject: ")
		subject, _, _ := strings.Cut(body, "\r\n")
		found[m.UID] = subject + " " + strings.Join(m.Flags, ",")
		return err
	}))
	return found
}

func TestAMailbox(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, map[string]string{"ann": "secret"})
	for _, startTLS := range []bool{true, false} {
		server := serverOf(d)
		if server.StartTLS = startTLS; startTLS {
			server.Port = d.Port()
		}
		open(t, server).Logout()
	}
	box, other := open(t, serverOf(d)), open(t, serverOf(d))
	folders, err := box.Folders(t.Context())
	world.Must(t, err)
	uses := map[string]string{}
	for _, f := range folders {
		uses[f.Name] = f.Use
	}
	want := map[string]string{"INBOX": "", "Archive": `\Archive`, "Sent": `\Sent`, "Drafts": `\Drafts`, "Junk": `\Junk`, "Trash": `\Trash`}
	if diff := cmp.Diff(want, uses); diff != "" {
		t.Fatal(diff)
	}
	before, err := box.Examine(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	idle := make(chan error, 1)
	go func() {
		changed, err := box.Idle(context.Background(), time.Minute)
		if err == nil && !changed {
			err = errors.New("no change was told")
		}
		idle <- err
	}()
	d.Deliver("ann", message("one@x", "one"))
	world.Must(t, <-idle)
	d.Deliver("ann", message("two@x", "two"))
	after, err := box.Examine(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	if after.Messages != 2 || after.UIDNext != before.UIDNext+2 || after.HighestModSeq <= before.HighestModSeq || after.UIDValidity != before.UIDValidity {
		t.Errorf("%+v after %+v", after, before)
	}
	uids, err := box.UIDs(t.Context(), 1)
	world.Must(t, err)
	if diff := cmp.Diff(map[uint32]string{uids[0]: "one ", uids[1]: "two "}, read(t, box, uids...)); diff != "" {
		t.Error(diff)
	}
	if more, err := box.UIDs(t.Context(), after.UIDNext); err != nil || len(more) > 0 {
		t.Errorf("after the last there are %v, %v", more, err)
	}
	sizes, err := box.Sizes(t.Context(), uids)
	if err != nil || sizes[uids[0]] < 100 {
		t.Errorf("sizes %v, %v", sizes, err)
	}

	// What acting needs, in the other session.
	_, err = other.Select(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	world.Must(t, other.Keyword(t.Context(), uids[0], "$Label1", true))
	found, err := other.Find(t.Context(), "one@x")
	if err != nil || !slices.Equal(found, uids[:1]) {
		t.Errorf("found %v, %v", found, err)
	}
	_, err = box.Examine(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	seen := map[uint32]string{}
	world.Must(t, box.Flags(t.Context(), after.HighestModSeq, func(uid uint32, flags []string) error {
		seen[uid] = strings.Join(flags, ",")
		return nil
	}))
	if diff := cmp.Diff(map[uint32]string{uids[0]: "$Label1"}, seen); diff != "" {
		t.Error(diff)
	}
	world.Must(t, other.CreateFolder(t.Context(), "Bücher & mehr", ""))
	world.Must(t, other.CreateFolder(t.Context(), "Bücher & mehr", ""))
	moved, err := other.Move(t.Context(), uids[0], "Bücher & mehr", nil)
	world.Must(t, err)
	if _, err := other.Move(t.Context(), uids[0], "Archive", nil); imapbox.KindOf(err) != imapbox.Refused {
		t.Errorf("a mail that is gone was moved: %v", err)
	}
	_, err = other.Select(t.Context(), "Bücher & mehr")
	world.Must(t, err)
	if diff := cmp.Diff(map[uint32]string{moved.UID: "one $Label1"}, read(t, other, moved.UID)); diff != "" {
		t.Error(diff)
	}
	world.Must(t, other.Keyword(t.Context(), moved.UID, "$Label1", false))
	if got := read(t, other, moved.UID)[moved.UID]; got != "one " {
		t.Errorf("without the keyword it is %q", got)
	}
	for _, keyword := range []string{"", "two words", "umläut", "a)b", "x\r\nA LOGOUT", `\Seen`} {
		if err := other.Keyword(t.Context(), moved.UID, keyword, true); imapbox.KindOf(err) != imapbox.Refused {
			t.Errorf("the keyword %q: %v", keyword, err)
		}
	}
	world.Must(t, other.Noop(t.Context())) // none of them has cost the connection
}

// A server that cannot move copies, and expunges only after the copy is known to be right.
func TestMovingWithoutMove(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, map[string]string{"ann": "secret"})
	d.Deliver("ann", message("one@x", "one"))
	box := open(t, serverOf(d))
	box.Forget(imapbox.Move)
	_, err := box.Select(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	if _, err := box.Move(t.Context(), 1, "Archive", func(uint32) error { return errors.New("it differs") }); imapbox.KindOf(err) != imapbox.Refused {
		t.Errorf("a wrong copy was taken: %v", err)
	}
	_, err = box.Select(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	moved, err := box.Move(t.Context(), 1, "Archive", func(copied uint32) error {
		found, err := box.Fetched(t.Context(), copied, func(m imapbox.Message) error { _, err := io.Copy(io.Discard, m.Body); return err })
		if err == nil && !found {
			err = errors.New("there is no copy")
		}
		return err
	})
	world.Must(t, err)
	if left, err := box.UIDs(t.Context(), 1); err != nil || len(left) != 0 {
		t.Errorf("left in INBOX: %v, %v", left, err)
	}
	_, err = box.Examine(t.Context(), "Archive")
	world.Must(t, err)
	if got := read(t, box, moved.UID)[moved.UID]; got != "one " {
		t.Errorf("the moved mail is %q", got)
	}
	box.Forget(imapbox.UIDPlus)
	if _, err := box.Move(t.Context(), moved.UID, imapbox.Inbox, nil); imapbox.KindOf(err) != imapbox.Refused {
		t.Errorf("without MOVE and UIDPLUS: %v", err)
	}
}

// here resolves every name to this machine.
type here struct{}

func (here) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func TestFailuresInWords(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, map[string]string{"ann": "secret"})
	closed := testenv.FreeAddress(t)
	var closedPort int
	_, err := fmt.Sscanf(closed, "127.0.0.1:%d", &closedPort)
	world.Must(t, err)
	for _, one := range []struct {
		name     string
		change   func(*imapbox.Server)
		password string
		kind     imapbox.Kind
		words    string
	}{
		{"wrong password", func(*imapbox.Server) {}, "wrong", imapbox.Refused, "password"},
		{"name of the certificate", func(s *imapbox.Server) {
			s.Host, s.Dialer = "other.example", &dialer.Dialer{Private: true, Resolver: here{}}
		}, "secret", imapbox.Refused, "not for other.example"},
		{"unknown authority", func(s *imapbox.Server) { s.Roots = nil }, "secret", imapbox.Refused, "not trusted"},
		{"no such host", func(s *imapbox.Server) { s.Host = "mail.invalid" }, "secret", imapbox.Refused, "there is no host mail.invalid"},
		{"no server", func(s *imapbox.Server) { s.Port = closedPort }, "secret", imapbox.Temporary, "refuses connections"},
		{"no TLS at the port", func(s *imapbox.Server) { s.Port = d.Port() }, "secret", imapbox.Refused, "does not speak TLS"},
		{"private address", func(s *imapbox.Server) { s.Dialer = &dialer.Dialer{} }, "secret", imapbox.Refused, "--private-hosts"},
	} {
		server := serverOf(d)
		one.change(&server)
		box, err := imapbox.Open(t.Context(), server, login(one.password))
		if box != nil {
			box.Close()
		}
		if imapbox.KindOf(err) != one.kind || !strings.Contains(imapbox.Words(err), one.words) {
			t.Errorf("%s: kind %d, %q (%v)", one.name, imapbox.KindOf(err), imapbox.Words(err), err)
		}
	}
}

// A server that is silent in the middle of something costs its time limit, and no more.
func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, map[string]string{"ann": "secret"})
	server := serverOf(d)
	server.Timeout = 500 * time.Millisecond
	box := open(t, server)
	world.Must(t, d.Pause())
	defer d.Continue()
	_, err := box.Examine(t.Context(), imapbox.Inbox)
	if imapbox.KindOf(err) != imapbox.Lost || !strings.Contains(imapbox.Words(err), "did not answer in time") {
		t.Errorf("a command: %v", err)
	}
	world.Must(t, d.Continue())
	box = open(t, server)
	_, err = box.Examine(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	world.Must(t, d.Pause())
	if _, err := box.UIDs(t.Context(), 1); imapbox.KindOf(err) != imapbox.Lost || !strings.Contains(imapbox.Words(err), "did not answer in time") {
		t.Errorf("a long command: %v", err)
	}
	if _, err := imapbox.Open(t.Context(), server, login("secret")); imapbox.KindOf(err) != imapbox.Temporary {
		t.Errorf("connecting: %v", err)
	}
}

func TestAKilledServer(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, map[string]string{"ann": "secret"})
	box := open(t, serverOf(d))
	_, err := box.Examine(t.Context(), imapbox.Inbox)
	world.Must(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := box.Idle(context.Background(), time.Hour)
		ended <- err
	}()
	world.Must(t, d.Kill())
	if err := <-ended; imapbox.KindOf(err) != imapbox.Lost {
		t.Errorf("waiting for mail ended with %v", err)
	}
}

// script is a server that answers commands by what a function says, over TLS of its own.
func script(t *testing.T, d *testenv.Dovecot, answer func(tag, command string, w io.Writer)) imapbox.Server {
	t.Helper()
	listener := testenv.ListenTLS(t, d)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn, answer)
		}
	}()
	server := serverOf(d)
	server.Port = listener.Addr().(*net.TCPAddr).Port
	server.Timeout = 5 * time.Second
	return server
}

func serve(conn net.Conn, answer func(tag, command string, w io.Writer)) {
	defer conn.Close()
	fmt.Fprint(conn, "* OK [CAPABILITY IMAP4rev1 ESEARCH UIDPLUS CONDSTORE SPECIAL-USE LIST-EXTENDED IDLE] hello\r\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		tag, command, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(command, " ")
		if name == "LOGIN" || name == "CAPABILITY" {
			fmt.Fprintf(conn, "* CAPABILITY IMAP4rev1 ESEARCH UIDPLUS CONDSTORE SPECIAL-USE LIST-EXTENDED IDLE\r\n%s OK done\r\n", tag)
			continue
		}
		answer(tag, command, conn)
	}
}

// What cannot be stored or shown is left out, and a server's words are cut.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, nil)
	box := open(t, script(t, d, func(tag, command string, w io.Writer) {
		switch {
		case strings.HasPrefix(command, "LIST"):
			fmt.Fprintf(w, "* LIST () \"/\" inbox\r\n* LIST () \"/\" \"a&AAk-b\"\r\n* LIST () \"/\" %s\r\n* LIST (\\Noselect) \"/\" x\r\n%s OK\r\n", strings.Repeat("n", 1001), tag)
		default:
			fmt.Fprintf(w, "%s NO %s\r\n", tag, strings.Repeat("no ", 10_000))
		}
	}))
	folders, err := box.Folders(t.Context())
	world.Must(t, err)
	if diff := cmp.Diff([]imapbox.Folder{{Name: "INBOX", Delimiter: "/"}}, folders); diff != "" {
		t.Error(diff)
	}
	if _, err := box.Examine(t.Context(), imapbox.Inbox); imapbox.KindOf(err) != imapbox.Refused || len(imapbox.Words(err)) > 500 {
		t.Errorf("the error has %d bytes: %.100s", len(imapbox.Words(err)), imapbox.Words(err))
	}
}

// A hostile server gets an error, whatever it sends: no panic, and no more memory than its bounds.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	d := testenv.StartDovecot(t, nil)
	examined := "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n"
	for name, lines := range map[string]func(tag, command string, w io.Writer){
		"a line without an end": func(_, _ string, w io.Writer) {
			for piece := strings.Repeat("x", 1<<20); ; {
				if _, err := io.WriteString(w, piece); err != nil {
					return
				}
			}
		},
		"a literal of a terabyte": func(_, _ string, w io.Writer) { fmt.Fprint(w, "* LIST () \"/\" {1099511627776}\r\nx") },
		"a range of all numbers": func(tag, command string, w io.Writer) {
			if strings.HasPrefix(command, "UID") {
				fmt.Fprintf(w, "* ESEARCH (TAG %q) UID ALL 1:4294967295\r\n%s OK\r\n", tag, tag)
				return
			}
			fmt.Fprintf(w, "%s%s OK [READ-ONLY] x\r\n", examined, tag)
		},
		"an open range": func(tag, command string, w io.Writer) {
			if strings.HasPrefix(command, "UID") {
				fmt.Fprintf(w, "* ESEARCH (TAG %q) UID ALL 1:*\r\n%s OK\r\n", tag, tag)
				return
			}
			fmt.Fprintf(w, "%s%s OK [READ-ONLY] x\r\n", examined, tag)
		},
		"no UIDVALIDITY":  func(tag, _ string, w io.Writer) { fmt.Fprintf(w, "* 3 EXISTS\r\n%s OK x\r\n", tag) },
		"nonsense":        func(_, _ string, w io.Writer) { fmt.Fprint(w, "\x00\xff ((((\r\n") },
		"a wrong tag":     func(_, _ string, w io.Writer) { fmt.Fprint(w, "T999 OK x\r\n") },
		"cut connections": func(_, _ string, w io.Writer) { w.(net.Conn).Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := open(t, script(t, d, lines))
			_, err := box.Examine(t.Context(), imapbox.Inbox)
			if err == nil {
				_, err = box.UIDs(t.Context(), 1)
			}
			var known *imapbox.Error
			if !errors.As(err, &known) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
