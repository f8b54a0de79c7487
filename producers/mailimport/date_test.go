package mailimport

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got := "none"
		if at, ok := parseDate(text); ok {
			got = at.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	f("Thu, 22 Aug 2002 18:26:25 +0700", "2002-08-22T11:26:25Z")
	f("Thu, 22 Aug 2002 18:26:25 +0700 (ICT)", "2002-08-22T11:26:25Z")
	f("22 Aug 2002 18:26 -0000", "2002-08-22T18:26:00Z")
	f("Thu, 22 Aug 02 06:26:25 EST", "2002-08-22T11:26:25Z")
	f("Thu, 22 Aug 2002 18:26:25 PDT", "2002-08-23T01:26:25Z")
	f("Thu, 22 Aug 2002 18:26:25 XYZ", "2002-08-22T18:26:25Z")
	f("Thu, 22 Aug 2002 18:26:25", "2002-08-22T18:26:25Z")
	f("22-Aug-99 6:26:25 PM", "1999-08-22T18:26:25Z")
	f("Wednesday, 4 September 2002, 12:10:00 AM GMT", "2002-09-04T00:10:00Z")
	f("  Thu,\n 1 Jan 2004 00:00:60 +0000", "2004-01-01T00:00:59Z")
	f("a@b.example  Thu Aug 22 12:36:23 2002", "2002-08-22T12:36:23Z")
	f("17@xxx Thu Aug 22 12:36:23 +0200 2002", "2002-08-22T10:36:23Z")
	f("a@b Thu Aug  2 12:36 EDT 2002", "2002-08-02T16:36:00Z")
	f("2002-08-22 12:36:23", "2002-08-22T12:36:23Z")
	f("2002-08-22T12:36:23.123+02:00", "2002-08-22T10:36:23Z")
	f("31 Feb 2002 10:00:00 +0000", "none")
	f("22 Foo 2002 10:00:00 +0000", "none")
	f("22 Aug 2002 25:00:00 +0000", "none")
	f("yesterday", "none")
	f("", "none")
}

func TestReceivedAt(t *testing.T) {
	const received = "from a by b; Thu, 22 Aug 2002 12:00:00 +0000"
	f := func(name string, d dates, want string) {
		t.Run(name, func(t *testing.T) {
			if got := d.receivedAt(importTime).Format(time.RFC3339); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	f("Date", dates{date: "21 Aug 2002 12:00:00 +0000", received: []string{received}}, "2002-08-21T12:00:00Z")
	f("Date alone", dates{date: "21 Aug 1999 12:00:00 +0000"}, "1999-08-21T12:00:00Z")
	f("Date near an earlier hop", dates{date: "1 Aug 2002 12:00:00 +0000",
		received: []string{received, "x; 2 Aug 2002 12:00:00 +0000"}}, "2002-08-01T12:00:00Z")
	f("Date far from the hops", dates{date: "21 Aug 2010 12:00:00 +0000", received: []string{received}}, "2002-08-22T12:00:00Z")
	f("no Date", dates{received: []string{"garbage", received}}, "2002-08-22T12:00:00Z")
	f("Date in the future", dates{date: "1 Jan 2090 00:00:00 +0000", delivery: "Wed Jan 02 13:56:54 2002"}, "2002-01-02T13:56:54Z")
	f("only the mbox line", dates{envelope: "a@b.example Thu Aug 22 12:36:23 2002"}, "2002-08-22T12:36:23Z")
	f("mbox line at the epoch", dates{envelope: "a@b.example Thu Jan  1 00:00:00 1970"}, "1970-01-01T00:00:00Z")
	f("nothing", dates{}, "1970-01-01T00:00:00Z")
}
