package mailimport

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

var importTime = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func parse(t *testing.T, text string) *events.Mail {
	t.Helper()
	raw, err := NewReader(strings.NewReader(text), "f").Next()
	if err != nil {
		t.Fatal(err)
	}
	event, err := Parse(raw, Options{UserID: "u1", Addresses: []string{"me@home.example"}, RecordedAt: importTime})
	if err != nil {
		t.Fatal(err)
	}
	return event.Mail
}

func TestParse(t *testing.T) {
	got := parse(t, from+`Delivered-To: Owner@mail.example
Received: from x by y; Thu, 22 Aug 2002 12:00:00 +0000
Delivered-To: list@lists.example
From: =?iso-8859-1?Q?Andr=E9?= Meier <Andre@news.example>
To: "Owner, The" <owner@mail.example>, list@lists.example
Cc: LIST@lists.example, other@x.example
Subject: =?utf-8?B?SGVsbG8g8J+Yig==?= and
 more
Message-ID: <m1@news.example>
References: <root@news.example> <m0@news.example>
List-Id: News list <News.Lists.example>
List-Unsubscribe: <mailto:x@y.example>
Date: Thu, 22 Aug 2002 11:59:00 +0000
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9
>From here
`)
	want := &events.Mail{
		UserID:      "u1",
		MessageID:   "m1@news.example",
		Thread:      "root@news.example",
		Subject:     "Hello 😊 and more",
		Sender:      events.Address{Name: "André Meier", Address: "Andre@news.example"},
		Recipients:  []events.Address{{Name: "Owner, The", Address: "owner@mail.example"}, {Address: "list@lists.example"}, {Address: "other@x.example"}},
		DeliveredTo: []string{"me@home.example", "owner@mail.example"},
		ListID:      "news.lists.example",
		Unsubscribe: true,
		ReceivedAt:  time.Date(2002, 8, 22, 11, 59, 0, 0, time.UTC),
		Text:        "café\nFrom here",

		ListUnsubscribe: "<mailto:x@y.example>",
		References:      []string{"root@news.example", "m0@news.example"},
		To:              []events.Address{{Name: "Owner, The", Address: "owner@mail.example"}, {Address: "list@lists.example"}},
		Cc:              []events.Address{{Address: "LIST@lists.example"}, {Address: "other@x.example"}},

		RecordedAt: importTime,
	}
	want.ContentHash = got.ContentHash
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseSender(t *testing.T) {
	f := func(name, headers, want string) {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, from+headers+"Subject: x\n\nx\n").Sender.Address; got != want {
				t.Errorf("got %q", got)
			}
		})
	}
	f("From", "From: A B <x@y.example>\n", "x@y.example")
	f("broken From", "From: A B <x@y.example\n", "x@y.example")
	f("From without an address", "From: A B\nSender: s@y.example\n", "s@y.example")
	f("From of a mailing list's gateway", "From: \"x@y.example\" <relay@z.example>\n", "relay@z.example")
	f("From of two persons", "From: x@y.example, z@y.example\n", "x@y.example")
	f("two From, the first without an address", "From: nobody\nFrom: x@y.example\n", "x@y.example")
	f("Reply-To", "Reply-To: x@y.example\nReturn-Path: <z@y.example>\n", "x@y.example")
	f("Return-Path", "Return-Path: <x@y.example>\n", "x@y.example")
	f("none but the mbox line", "", "a@b.example")
}

func TestParseHeaders(t *testing.T) {
	f := func(name, headers string, read func(*events.Mail) any, want any) {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, read(parse(t, "From: a@b.example\nMessage-Id: <m@b>\n"+headers+"\nx\n"))); diff != "" {
				t.Error(diff)
			}
		})
	}
	thread := func(m *events.Mail) any { return m.Thread }
	f("thread of the first reference", "References: <r@b>\n <s@b>\nIn-Reply-To: <t@b>\n", thread, "r@b")
	f("thread of the message it answers", "In-Reply-To: Your message of Monday <t@b>\n", thread, "t@b")
	f("thread of its own", "In-Reply-To: Your message of Monday\n", thread, "m@b")

	listID := func(m *events.Mail) any { return m.ListID }
	f("list in brackets", "List-Id: \"The <x\" list <News.Lists.example>\n", listID, "news.lists.example")
	f("list without brackets", "List-Id: The list news.lists.example\n", listID, "news.lists.example")
	f("list with brackets in its quoted name", "List-Id: \"The <b> list\" <news.lists.example>\n", listID, "news.lists.example")
	f("list with an escaped quote", "List-Id: \"A \\\" <b> list\" <news.lists.example>\n", listID, "news.lists.example")
	f("list with brackets in its name", "List-Id: The <b> list <news.lists.example>\n", listID, "news.lists.example")
	f("list in quotes alone", "List-Id: \"news.lists.example\"\n", listID, "news.lists.example")
	f("no list", "List-Id:\n", listID, "")

	unsubscribe := func(m *events.Mail) any { return m.Unsubscribe }
	f("a way to unsubscribe", "List-Unsubscribe: <mailto:x@y.example>\n", unsubscribe, true)
	f("no way to unsubscribe", "List-Unsubscribe: NO\n", unsubscribe, false)
	f("no way, with a comment", "List-Unsubscribe: no (moderated)\n", unsubscribe, false)
	f("an empty way", "List-Unsubscribe: \n", unsubscribe, false)
	f("an address that begins with no", "List-Unsubscribe: no-reply@y.example\n", unsubscribe, true)
	f("list id that is too long", "List-Id: <"+strings.Repeat("x", events.MaxListID+1)+">\n", listID, "")

	expires := func(m *events.Mail) any { return m.ExpiresAt }
	f("expiry", "Date: 1 Mar 2025 10:00:00 +0000\nExpires: 2 Mar 2025 10:00:00 +0000\n", expires, time.Date(2025, 3, 2, 10, 0, 0, 0, time.UTC))
	f("expiry before it came", "Date: 1 Mar 2025 10:00:00 +0000\nExpires: 1 Feb 2025 10:00:00 +0000\n", expires, time.Time{})
	f("invalid expiry", "Date: 1 Mar 2025 10:00:00 +0000\nExpires: soon\n", expires, time.Time{})

	recipients := func(m *events.Mail) any { return len(m.Recipients) }
	f("recipients of all kinds", "To: a@b, c@d\nCc: e@f\nBcc: g@h\nTo: A@B\n", recipients, 4)
	f("too many recipients", "To: "+manyAddresses(150)+"\nCc: "+manyAddresses(150)+"x@y\n", recipients, 151)
	f("far too many recipients", "To: "+manyAddresses(500)+"\n", recipients, maxRecipients)

	id := func(m *events.Mail) any { return m.MessageID }
	f("first of two ids", "Message-Id: <other@b>\n", id, "m@b")
}

// What a rebuild could not bring back is in the event.
func TestParseParts(t *testing.T) {
	file := strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 6<<20/77)
	page := "<html><body><p>Hello\u00a0Ann</p></body></html>"
	mail := parse(t, "From: a@b.example\nIn-Reply-To: Your mail <m0@x> of today\nReferences: <r@x>\n <m0@x>\n"+
		"List-Unsubscribe: <https://b.example/u>,\n <mailto:u@b.example>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"+
		"Authentication-Results: mx.example; dkim=pass (2048 bit; ok) header.d=B.example header.s=s1;\n dkim=fail header.d=other.example\n"+
		"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s1;\n h=From:To:\n List-Unsubscribe: list-unsubscribe-post; bh=x; b=h=Subject\n"+
		"DKIM-Signature: v=1; d=other.example; h=Date; b=y\nDKIM-Signature: v=1; h=Sender; b=y\n"+
		multipart("mixed", "1",
			multipart("alternative", "2",
				"Content-Type: text/plain\n\nHello Ann",
				"Content-Type: text/html; charset=utf-8\n\n"+page,
				"Content-Type: text/calendar; charset=utf-8\n\nBEGIN:VCALENDAR\nSUMMARY:caf\u00e9\nEND:VCALENDAR"),
			"Content-Type: application/pdf; name=\"a b.pdf\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n"+file+file,
			"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nQUJDRA==",
			"Content-Type: message/rfc822\n\nFrom: c@d.example\nContent-Type: text/html\n\n<p>forwarded</p>",
			"Content-Type: text/plain; name=n.txt\nContent-Disposition: attachment\n\n12345"))
	got := events.Mail{HTML: mail.HTML, ListUnsubscribe: mail.ListUnsubscribe, ListUnsubscribePost: mail.ListUnsubscribePost,
		DKIMSigned: mail.DKIMSigned, InReplyTo: mail.InReplyTo, References: mail.References, Attachments: mail.Attachments, Calendar: mail.Calendar}
	want := events.Mail{
		HTML: page, ListUnsubscribe: "<https://b.example/u>, <mailto:u@b.example>", ListUnsubscribePost: "List-Unsubscribe=One-Click",
		DKIMSigned: []string{"from", "to", "list-unsubscribe", "list-unsubscribe-post"},
		InReplyTo:  "m0@x", References: []string{"r@x", "m0@x"},
		Attachments: []events.Attachment{
			{Type: "text/calendar", Size: 43},
			{Name: "a b.pdf", Type: "application/pdf", Size: int64(2 * (6 << 20 / 77) * 57)},
			{Type: "image/png", Size: 4}, {Name: "n.txt", Type: "text/plain", Size: 5},
		},
		Calendar: "BEGIN:VCALENDAR\nSUMMARY:caf\u00e9\nEND:VCALENDAR",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	long := parse(t, "From: a@b.example\nContent-Type: text/html\n\n<p>"+strings.Repeat("x", events.MaxHTML)+"</p>")
	if long.HTML != "" || len(long.Text) != events.MaxText {
		t.Errorf("of a long page %d bytes are carried, and %d of text", len(long.HTML), len(long.Text))
	}
}

// A signature proves something only if the server that received the mail says so, of its domain.
func TestSignedHeaders(t *testing.T) {
	const signature = "v=1; d=b.example; h=From:Subject; b=x"
	for results, want := range map[string]int{
		"mx; dkim=pass header.d=b.example": 2, "mx; spf=pass; dkim=pass header.i=@News.b.example": 2, "mx;dkim = pass reason=\"x\" header.i=u@b.example": 2,
		"mx; dkim=pass header.d=news.b.example": 0, "mx; dkim=fail reason=\"dkim=pass header.d=b.example\"": 0,
		"mx; dkim=pass header.d=notb.example": 0, "mx; dkim=fail header.d=b.example": 0, "mx; dkim=pass": 0, "": 0,
		"mx; dkim=none; spf=pass smtp.mailfrom=b.example": 0, "mx; x-dkim=pass header.d=b.example": 0, "mx; dkim=fail (dkim=pass header.d=b.example)": 0,
	} {
		if got := signedHeaders([]string{signature}, results); len(got) != want {
			t.Errorf("%q: %v", results, got)
		}
	}
	if got := signedHeaders([]string{"v=1; d=example; h=From; b=x"}, "mx; dkim=pass header.i=@b.example"); got != nil {
		t.Errorf("a signature of all of a top level: %v", got)
	}
}

// A record holds any mail: what is least missed is left out of one that is too long.
func TestMessageOfHoldsAnyMail(t *testing.T) {
	control := func(n int) string { return strings.Repeat("\x01", n) }
	event := &events.Event{
		Envelope: events.Envelope{ID: "1", Source: Source, Type: events.TypeMailReceived},
		Mail: &events.Mail{UserID: "u", MessageID: "m", ReceivedAt: importTime, RecordedAt: importTime,
			Text: control(events.MaxText), HTML: control(events.MaxHTML), Calendar: control(events.MaxCalendar)},
	}
	message, err := messageOf(event)
	if err != nil || len(message.Value) < 6*events.MaxText || event.Mail.HTML != "" || event.Mail.Calendar != "" {
		t.Errorf("%d bytes, %d of them HTML (%v)", len(message.Value), len(event.Mail.HTML), err)
	}
}

func manyAddresses(count int) string {
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, "a%d@b.example, ", i)
	}
	return list.String()
}

func TestMessageID(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		if got := messageID(header, 20); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
	f("<a@b>", "a@b")
	f("a@b", "a@b")
	f(" <a@b> (added by a server)", "a@b")
	f("<a b>", "")
	f("<a\uFFFD@b>", "")
	f("<>", "")
	f("", "")
	f("<"+strings.Repeat("a", 21)+">", "")
}

func TestParseTruncates(t *testing.T) {
	got := parse(t, "From: a@b.example\nContent-Type: text/plain; charset=utf-8\n\n"+strings.Repeat("ü", events.MaxText)+"\n")
	if len(got.Text) != events.MaxText || !got.Truncated {
		t.Errorf("%d bytes, truncated %v", len(got.Text), got.Truncated)
	}
	if whole := parse(t, "From: a@b.example\n\n"+strings.Repeat("x", events.MaxText)+"\n"); whole.Truncated || len(whole.Text) != events.MaxText {
		t.Errorf("%d bytes, truncated %v", len(whole.Text), whole.Truncated)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{from, from + "X-Other: 1\n\nx\n"} {
		raw, err := NewReader(strings.NewReader(text), "f").Next()
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(raw, Options{UserID: "u", RecordedAt: importTime})
		var broken *BrokenError
		if !errors.As(err, &broken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	id := func(user, text string) string {
		raw, err := NewReader(strings.NewReader(text), "f").Next()
		if err != nil {
			t.Fatal(err)
		}
		event, err := Parse(raw, Options{UserID: user, RecordedAt: importTime})
		if err != nil {
			t.Fatal(err)
		}
		return event.ID
	}
	const named, unnamed = "From: a@b.example\nDate: Thu, 22 Aug 2024 13:17:22 +0200\nMessage-Id: <1@b>\n\nx\n", "From: a@b.example\n\nx\n"
	if id("u", named) != id("u", from+"Received: by y\nMessage-Id: 1@b\nDate: Thu, 22 Aug 2024 13:17:22 +0200\nFrom: a@b.example\n\nx\n\n") {
		t.Error("two copies with one Message-ID differ")
	}
	if id("u", unnamed) != id("u", from+unnamed+"\n") {
		t.Error("two copies of one text differ")
	}
	if id("u", unnamed) == id("u", unnamed+"y\n") || id("u", named) == id("v", named) || id("u", named) == id("u", named+"y\n") || id("u", named) == id("u", unnamed) {
		t.Error("different messages are the same")
	}
}

// TestImportsAtAnyTimeAreTheSame checks that the events of real mail imported in different years differ only in the time of
// the import.
func TestImportsAtAnyTimeAreTheSame(t *testing.T) {
	file, err := os.Open("../../internal/sample/testdata/real.mbox.gz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	reader := NewReader(unpacked, "f")
	count := 0
	for ; ; count++ {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		first, firstErr := Parse(raw, Options{UserID: "u", RecordedAt: importTime})
		second, secondErr := Parse(raw, Options{UserID: "u", RecordedAt: importTime.AddDate(1, 0, 0)})
		if firstErr != nil || secondErr != nil {
			t.Fatal(firstErr, secondErr)
		}
		if first.ID != second.ID || events.ContentHash(first) != events.ContentHash(second) {
			t.Errorf("%s differs", raw.Place)
		}
	}
	if count < 200 {
		t.Errorf("%d messages", count)
	}
}
