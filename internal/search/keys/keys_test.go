package keys

import (
	"fmt"
	"strings"
	"testing"
)

func TestJoin(t *testing.T) {
	f := func(name string, mail Mail, want string) {
		t.Helper()
		mark := Mark(mail.UserID)
		if got := strings.ReplaceAll(mail.Join(), mark, "@"); got != strings.ReplaceAll(want, "~", "\x1f") {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("bare", Mail{UserID: "ann"}, "@")
	f("text", Mail{UserID: "ann", Subject: "Go Meetup", Text: "the go, the Meetup"}, "@ @hsubject @sgo @smeetup @hbody @bthe @bgo @bthe @bmeetup")
	f("no words", Mail{UserID: "ann", Subject: "--"}, "@ @hsubject")
	f("persons", Mail{UserID: "ann", SenderName: "Bob B.", Sender: "bob@x.example", SenderDomain: "x.example", Recipients: []string{"Me@y.example"}},
		"@ @fbob@x.example @hsender @nbob @nb @nbob @nx @nexample @dx.example @hsender_domain @tme@y.example @hto @rme @ry @rexample")
	f("values", Mail{UserID: "ann", Category: "Promo", ListID: "l.example", Labels: []string{"To  Do", ""}, Quarantined: true, HasRiskScore: true, HasExpiry: true},
		"@ @cpromo @hcategory @il.example @hlist_id @lto~~do @hlabels @qquarantined @hrisk_score @hexpires_at")
}

func TestMarksDiffer(t *testing.T) {
	seen := map[string]bool{}
	for n := range 1000 {
		seen[Mark(fmt.Sprint("user-", n))] = true
	}
	if len(seen) < 999 || len(Mark("")) != 4 {
		t.Errorf("%d marks of 1000 users, that of nobody is %q", len(seen), Mark(""))
	}
}

func TestKeysEndBeforeTheyAreTooMany(t *testing.T) {
	mail := Mail{UserID: "ann", Text: "found"}
	for n := range 10_000 {
		mail.Recipients = append(mail.Recipients, fmt.Sprintf("recipient.%s.%d@x.example", strings.Repeat("x", 200), n))
	}
	joined := mail.Join()
	mark := Mark("ann")
	if len(joined) > maxBytes || len(joined) < maxBytes-1000 || !strings.Contains(joined, mark+"bfound ") {
		t.Errorf("%d bytes of keys", len(joined))
	}
	for key := range strings.SplitSeq(joined, " ") {
		if !strings.HasPrefix(key, mark) {
			t.Fatalf("a key is %q", key)
		}
	}
}

func TestQuote(t *testing.T) {
	if got := Quote(`a'b\c`); got != `'a''b\\c'` {
		t.Errorf("got %s", got)
	}
}
