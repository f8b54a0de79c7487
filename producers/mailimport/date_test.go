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
	for form, want := range map[string]string{
		"Thu, 22 Aug 2024 13:17:2 +0200": "2024-08-22T11:17:02Z", "Thu, 22 Aug 2024 13:17:22 +02:00": "2024-08-22T11:17:22Z",
		"Thu, 22 Aug 2024 13:17:22 GMT+0200": "2024-08-22T11:17:22Z", "Thu, 22 Aug 2024 13:17:22 GMT+2": "2024-08-22T11:17:22Z",
		"Thu, 22 Aug 2024 13:17:22 UTC -05:30": "2024-08-22T18:47:22Z", "Thu, 22 Aug 2024 13:17:22 +2": "2024-08-22T11:17:22Z",
		"Thu, Aug 22 2024 13:17:22 +0200": "2024-08-22T11:17:22Z", "Thu, Aug 22, 2024 at 1:17 PM": "2024-08-22T13:17:00Z",
		"August 22nd, 2024, 13:17:22 EST": "2024-08-22T18:17:22Z", "Aug 22 2024 12:17:22 AM": "2024-08-22T00:17:22Z",
		"8/22/2024 1:17:22 PM": "2024-08-22T13:17:22Z", "08/09/2024 13:17": "2024-08-09T13:17:00Z", "22/08/2024 13:17:22 +0200": "2024-08-22T11:17:22Z",
		"8/22/24 12:17 PM PDT":            "2024-08-22T19:17:00Z",
		"Thu, 22 Aug 2024 13:17:22 +9900": "2024-08-22T13:17:22Z", "Thu, 22 Aug 2024 13:17:22 -1460": "2024-08-22T13:17:22Z",
		"Thu, 22 Aug 2024 13:17:22 +1400": "2024-08-21T23:17:22Z",
		"Thu Aug 22 13:17:2 2024 +02:00":  "2024-08-22T11:17:02Z", "Thu Aug 22 13:17:22 GMT+0200 2024": "2024-08-22T11:17:22Z",
		"2026-11-01 10:00:00.000 -0500": "2026-11-01T15:00:00Z", "2026-11-01 10:00 Z": "2026-11-01T10:00:00Z", "2026-11-01 10:00:00+02": "2026-11-01T08:00:00Z",
		"32/13/2024 13:17": "none", "13/13/2024 13:17": "none", "Foo 22 2024 13:17:22": "none", "2026-13-01 10:00:00": "none", "2026-11-01 10:60:00": "none",
	} {
		f(form, want)
	}
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
