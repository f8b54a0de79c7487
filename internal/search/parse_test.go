package search

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/testkit/doctable"
)

var now = time.Date(2026, 11, 26, 15, 4, 5, 0, time.UTC)

// show writes a node in one line; sb: stands for subject or body.
func show(n Node) string {
	switch n := n.(type) {
	case All:
		return "all"
	case And:
		return "(" + list(n, " & ") + ")"
	case Or:
		if s, ok := n[0].(Phrase); ok && s.Field == Subject && len(n) == 2 {
			if b, ok := n[1].(Phrase); ok && b.Field == Body && show(b)[len("body"):] == show(s)[len("subject"):] {
				return "sb" + show(b)[len("body"):]
			}
		}
		return "(" + list(n, " | ") + ")"
	case Not:
		return "!" + show(n.Inner)
	case Phrase:
		return string(n.Field) + ":" + strings.Join(n.Words, "_") + star(n.Prefix)
	case Value:
		return string(n.Field) + "=" + n.Text + star(n.Prefix)
	case Exists:
		return string(n.Field) + "?"
	case Between[float64]:
		return string(n.Field) + limits(n.Low, n.High, func(v float64) string { return fmt.Sprint(v) })
	case Between[time.Time]:
		return string(n.Field) + limits(n.Low, n.High, func(v time.Time) string {
			return strings.TrimSuffix(v.UTC().Format("01-02T15:04:05"), "T00:00:00")
		})
	}
	panic(fmt.Sprintf("a node %T", n))
}

func list(nodes []Node, between string) string {
	var parts []string
	for _, n := range nodes {
		parts = append(parts, show(n))
	}
	return strings.Join(parts, between)
}

func star(prefix bool) string {
	if prefix {
		return "*"
	}
	return ""
}

func limits[T float64 | time.Time](low, high *Limit[T], text func(T) string) string {
	shown := ""
	if low != nil {
		shown += map[bool]string{false: ">=", true: ">"}[low.Excluded] + text(low.Value)
	}
	if high != nil {
		shown += map[bool]string{false: "<=", true: "<"}[high.Excluded] + text(high.Value)
	}
	return shown
}

func TestParse(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := show(q.At(now)); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	f("", "all")
	f(" \t", "all")
	f("*", "all")
	f("*:*", "all")

	// words
	f("meetup", "sb:meetup")
	f("Go Meetup", "(sb:go & sb:meetup)")
	f(`"Go Meetup"`, "sb:go_meetup")
	f("follow-up", "sb:follow_up")
	f("10:30", "sb:10_30")
	f("meet*", "sb:meet*")
	f("follow-up*", "sb:follow_up*")
	f("subject:ÜBER", "subject:über")
	f("body:x text:y", "(body:x & body:y)")
	f("what? hello! R&D", "(sb:what & sb:hello & sb:r_d)")
	f("Invoice - March -- 5 & … x", "(sb:invoice & sb:march & sb:5 & sb:x)")
	f("[dev] release", "(sb:dev & sb:release)")
	f(`a\*b \AND c\"`, "(sb:a_b & sb:and & sb:c)")
	f("会議", "sb:会_議")

	// operators
	f("a AND b", "(sb:a & sb:b)")
	f("a && b", "(sb:a & sb:b)")
	f("a&&b||c", "((sb:a & sb:b) | sb:c)")
	f("a or b and c not d", "(sb:a & sb:or & sb:b & sb:and & sb:c & sb:not & sb:d)")
	f("a b OR c d", "((sb:a & sb:b) | (sb:c & sb:d))")
	f("a (b OR c) d", "(sb:a & (sb:b | sb:c) & sb:d)")
	f("NOT a b", "(!sb:a & sb:b)")
	f("a -b", "(sb:a & !sb:b)")
	f("a !b +c", "(sb:a & !sb:b & sb:c)")
	f(`-"a b" -(c d)`, "(!sb:a_b & !(sb:c & sb:d))")
	f("a AND NOT (b OR -c)", "(sb:a & !(sb:b | !sb:c))")
	f("NOT NOT a", "!!sb:a")

	// values
	f("category:Promo", "category=promo")
	f("Category: promo", "category=promo")
	f("category:(promo OR event)", "(category=promo | category=event)")
	f("category:pro*", "category=pro*")
	f(`label:"To do" labels:x`, "(labels=to do & labels=x)")
	f(`label:"a*"`, "labels=a*")
	f("list_id:go-*", "list_id=go-*")
	f("sender_domain:example.com", "sender_domain=example.com")
	f("sender:Ann@Example.com", "sender=ann@example.com")
	f("from:ann", "(sender:ann)")
	f(`from:"Ann Smith"`, "(sender:ann & sender:smith)")
	f("to:smi*", "(to:smi*)")
	f("recipients:me@x.example", "to=me@x.example")
	f("sender:(ann OR bob@x.example)", "((sender:ann) | sender=bob@x.example)")
	f("subject:(a OR sender:b)", "(subject:a | (sender:b))")
	f("quarantined:true", "quarantined=true")
	f("id:0199C0DE-0000-7000-8000-000000000000", "id=0199c0de-0000-7000-8000-000000000000")
	f(`ats.stage:"Final Round"`, "ats.stage=final round")

	// what is there
	f("list_id:*", "list_id?")
	f("-labels:*", "!labels?")
	f("received_at:*", "all")
	f("quarantined:*", "all")
	f("risk_score:[* TO *]", "risk_score?")
	f("age_days:*", "all")
	f("expired_days:*", "expires_at?")

	// numbers
	f("risk_score:80", "risk_score>=80<=80")
	f("risk_score:>=80", "risk_score>=80")
	f("risk_score:>80", "risk_score>80")
	f("risk_score:<=80", "risk_score<=80")
	f("ats.ghosting_risk:<0.6", "ats.ghosting_risk<0.6")
	f("risk_score:[20 TO 80}", "risk_score>=20<80")
	f("risk_score:{20 TO *]", "risk_score>20")
	f("risk_score:[ -5 TO 5 ]", "risk_score>=-5<=5")
	f("risk_score:(>50 <80)", "(risk_score>50 & risk_score<80)")
	f("risk_score:([1 TO 2] OR [5 TO 6])", "(risk_score>=1<=2 | risk_score>=5<=6)")

	// times
	f("received_at:[now-7d TO now]", "received_at>=11-19T15:04:05<=11-26T15:04:05")
	f("received_at:{now-7d TO now}", "received_at>11-19T15:04:05<11-26T15:04:05")
	f("received_at:>=now-7d/d", "received_at>=11-19")
	f("received_at:>now-7d/d", "received_at>=11-20")
	f("received_at:<now/d", "received_at<11-26")
	f("received_at:<=now/d", "received_at<11-27")
	f("received_at:2026-01-31", "received_at>=01-31<02-01")
	f("received_at:2026-01", "received_at>=01-01<02-01")
	f("received_at:[2026-01-01 TO 2026-01-31]", "received_at>=01-01<02-01")
	f("received_at:{2026-01-01 TO 2026-01-31}", "received_at>=01-02<01-31")
	f("expires_at:[* TO now]", "expires_at<=11-26T15:04:05")
	f("received_at:2026-01-31T09:00:00+01:00", "received_at>=01-31T08:00:00<=01-31T08:00:00")
	f("received_at:(2026-01-31T09:00:00Z OR now)", "(received_at>=01-31T09:00:00<=01-31T09:00:00 | received_at>=11-26T15:04:05<=11-26T15:04:05)")
	f("age_days:3", "received_at>11-22T15:04:05<=11-23T15:04:05")
	f("age_days:>=3", "received_at<=11-23T15:04:05")
	f("age_days:>3", "received_at<=11-22T15:04:05")
	f("age_days:<3", "received_at>11-23T15:04:05")
	f("age_days:<=3", "received_at>11-22T15:04:05")
	f("age_days:[2.5 TO 3.5]", "received_at>11-22T15:04:05<=11-23T15:04:05")

	f("received_at:[now-1M TO now-30d]", "received_at>=10-26T15:04:05<=10-27T15:04:05")
	f("received_at:[2002-07-29/d TO now/d+1h]", "received_at>=07-29<=11-26T01:00:00")
	f("received_at:[now TO 2002]", "received_at>=11-26T15:04:05<01-01") // what it means depends on when it is now

	// signs before values, curly quotes, domains
	f("subject:-alpha", "!subject:alpha")
	f("subject:!alpha", "!subject:alpha")
	f("category:-personal", "!category=personal")
	f("subject: -alpha beta", "(!subject:alpha & sb:beta)")
	f(`subject:-"a b"`, "!subject:a_b")
	f("category:-(promo OR event)", "!(category=promo | category=event)")
	f("risk_score:!80", "!risk_score>=80<=80")
	f("risk_score:-5", "risk_score>=-5<=-5")
	f("quarantined:!true", "!quarantined=true")
	f("NOT subject:-alpha", "!!subject:alpha")
	f("“next steps” subject:„a b“", "(sb:next_steps & subject:a_b)")
	f("label:”To do”", "labels=to do")
	f("sender_domain:mail.Example.co.uk", "sender_domain=example.co.uk")
	f("sender_domain:@example.net", "sender_domain=example.net")
	f("sender_domain:ann@mail.example.net", "sender_domain=example.net")
	f("sender_domain:bücher.example", "sender_domain=xn--bcher-kva.example")
	f("sender_domain:exam*", "sender_domain=exam*")

	f("category:promo AND received_at:[now-7d TO now]", "(category=promo & received_at>=11-19T15:04:05<=11-26T15:04:05)")
}

func TestParseTellsWhereAndWhy(t *testing.T) {
	f := func(text string, offset int, token, detail string) {
		t.Helper()
		_, err := Parse(text)
		var fault *Error
		if !errors.As(err, &fault) {
			t.Errorf("%s: got %v, want an *Error", text, err)
			return
		}
		if fault.Offset != offset || fault.Token != token || !strings.Contains(fault.Detail, detail) {
			t.Errorf("%s: got %d %q %q, want %d %q …%s…", text, fault.Offset, fault.Token, fault.Detail, offset, token, detail)
		}
	}
	f("ü wrong:x", 2, "wrong:", `no field "wrong"`)
	f("see http://x", 4, "http:", "in quotes")
	f("--- … ", 0, "--- … ", "nothing to search for")
	f("a AND", 5, "", "query ends")
	f("a OR OR b", 5, "OR", "something to search for")
	f("AND a", 0, "AND", "something to search for")
	f("a ()", 3, ")", "something to search for")
	f("a NOT", 5, "", "query ends")
	f("(a OR b", 0, "(", "never closed")
	f("a)", 1, ")", "never opened")
	f(`a "b c`, 2, `"b c`, "quote is never closed")
	f(`"a b"~2`, 0, `"a b"~`, "takes no")
	f(`"a b"*`, 0, `"a b"*`, "takes no")
	f(`""`, 0, `""`, "no words")
	f(`subject:"--"`, 8, `"--"`, "no words")
	f("subject:", 8, "", "value for subject")
	f("(subject:)", 9, ")", "value for subject")
	f("subject:&&a", 8, "", "value for subject")
	f("subject: AND a", 9, "AND", "value for subject")
	f(`category:""`, 9, `""`, "NOT category:*")
	f("*foo", 0, "*foo", "end of a word")
	f("f*o", 0, "f*o", "end of a word")
	f("te?t", 0, "te?t", "no other wildcard")
	f("a*", 0, "a*", "At least 2")
	f("category:a*", 9, "a*", "At least 2")
	f("foo-*", 0, "foo-*", "At least 2")
	f("foo~2", 0, "foo~2", "neither ~")
	f("foo^3", 0, "foo^3", "nor ^")
	f("/a+$/", 0, "/a+$/", "no regular expressions")
	f("subject:/a+/", 8, "/a+/", "no regular expressions")
	f("sender:*@example.net", 7, "*@example.net", "sender_domain:example.com")
	f("to:@example.net", 3, "@example.net", "sender_domain:example.com")
	f("sender_domain:*.net", 14, "*.net", "registrable")
	f("risk_score:[80 TO 20]", 11, "[80 TO 20]", "ends before it begins")
	f("age_days:[5 TO 3]", 9, "[5 TO 3]", "ends before it begins")
	f("received_at:[now TO now-7d]", 12, "[now TO now-7d]", "ends before it begins")
	f("received_at:[2026-02 TO 2026-01-31]", 12, "[2026-02 TO 2026-01-31]", "ends before it begins")
	f("subject:[a TO b]", 8, "[", "Ranges are for numbers")
	f("risk_score:[1 TO 2", 11, "[1 TO", "never closed")
	f("risk_score:[1 TO", 16, "", "end of a range")
	f("risk_score:[1 2]", 14, "2", "TO is expected")
	f("risk_score:[]", 12, "", "end of a range")
	f("risk_score:high", 11, "high", "number")
	f("risk_score:1e3", 11, "1e3", "number")
	f("risk_score:NaN", 11, "NaN", "number")
	f("risk_score:>= 5", 11, ">=", "number")
	f("received_at:>yesterday", 12, ">yesterday", "now-7d")
	f("received_at:[now-7x TO now]", 13, "now-7x", "time is expected")
	f("received_at:>now-999999999w", 12, ">now-999999999w", "100 years")
	f("age_days:99999", 9, "99999", "36500")
	f("quarantined:yes", 12, "yes", "true or false")
	f("id:5", 3, "5", "UUID")
	f(strings.Repeat("x", MaxLength)+"y", MaxLength, "", "1000 characters")
	f("category:"+strings.Repeat("ab", 60)+" wrong:", 130, "wrong:", "no field")
	f(strings.Repeat("(", MaxLevels)+"a", MaxLevels, "a", "10 levels")
	f(strings.Repeat("-", MaxLevels)+"a", MaxLevels, "a", "10 levels")
	f(strings.Repeat("a ", MaxNodes+1), 2*MaxNodes, "a", "100 parts")
}

func TestParseAcceptsTheLimits(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("é", MaxLength),
		strings.Repeat("(", MaxLevels-1) + "a" + strings.Repeat(")", MaxLevels-1),
		strings.TrimSpace(strings.Repeat("a ", MaxNodes)),
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%.50s…: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"category:promo AND received_at:[now-7d TO now]", `"a b" OR (subject:x* -sender:"Ann")`, "risk_score:{1 TO *] || !to:a@b",
		`\`, `a\`, `"`, "(((", "[a TO", "+-!", "a:b:c", ":", "*:*", "-(", "received_at:>2026-01-31T09:00:00Z/d", "text:会議*",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || fault.Detail == "" || fault.Offset < 0 || fault.Offset > utf8.RuneCountInString(text) {
				t.Fatalf("%q: %#v is no *Error that tells where and why", text, err)
			}
			return
		}
		tree := q.At(now)
		if count := leaves(tree); count > 1000 {
			t.Errorf("%q has %d comparisons", text, count)
		}
		show(tree) // panics on a node that engines do not know
	})
}

func leaves(n Node) int {
	switch n := n.(type) {
	case And:
		return leavesOf(n)
	case Or:
		return leavesOf(n)
	case Not:
		return leaves(n.Inner)
	}
	return 1
}

func leavesOf(list []Node) int {
	count := 0
	for _, n := range list {
		count += leaves(n)
	}
	return count
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		MustParse(`category:(promo OR newsletter) AND received_at:[now-7d TO now] -subject:"weekly digest" sender_domain:example.com`)
	}
}

// TestFormsOfTimes holds the tables of docs/search.md to queries; internal/moment holds what the times mean.
func TestFormsOfTimes(t *testing.T) {
	const document = "../../docs/search.md"
	for _, row := range doctable.Rows(t, document, "time", "begins", "ends before") {
		for _, text := range doctable.Codes(row[0]) {
			for _, query := range []string{"received_at:" + text, "expires_at:>=" + text, "received_at:[2000 TO " + text + "]"} {
				if _, err := Parse(query); err != nil && !strings.Contains(err.Error(), "ends before it begins") {
					t.Errorf("%s: %v", query, err)
				}
			}
		}
	}
	for _, row := range doctable.Rows(t, document, "refused", "message") {
		for _, text := range doctable.Codes(row[0]) {
			_, err := Parse("received_at:" + text)
			var fault *Error
			if !errors.As(err, &fault) || fault.Detail != row[1] {
				t.Errorf("%s: %v, the table has %s", text, err, row[1])
			}
		}
	}
}
