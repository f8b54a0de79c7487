package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/doctable"
)

var now = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func sampleMail() Mail {
	risk := 85
	return Mail{
		ID:           "m1",
		Category:     "promo",
		Sender:       "deals@shop.example",
		SenderDomain: "shop.example",
		ListID:       "deals.shop.example",
		Subject:      "Spring SALE: 20% off",
		RiskScore:    &risk,
		Labels:       []string{"Shopping", "later"},
		ReceivedAt:   now.Add(-10*24*time.Hour - time.Hour),
		ExpiresAt:    now.Add(-36 * time.Hour),
		ATS:          &ATS{System: "greenhouse", Stage: "Onsite", Company: "Acme", GhostingRisk: 0.92},
	}
}

func TestMatch(t *testing.T) {
	f := func(condition string, want bool) {
		t.Helper()
		parsed, err := Parse([]byte(condition))
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			return
		}
		if got := parsed.Match(sampleMail(), now); got != want {
			t.Errorf("%s: got %v", condition, got)
		}
	}
	f(`{"eq":["category","promo"]}`, true)
	f(`{"eq":["category","Promo"]}`, true)
	f(`{"eq":["category","event"]}`, false)
	f(`{"neq":["category","event"]}`, true)
	f(`{"neq":["category","PROMO"]}`, false)
	f(`{"eq":["sender","Deals@Shop.example"]}`, true)
	f(`{"in":["sender_domain",["other.example","shop.example"]]}`, true)
	f(`{"in":["sender_domain",["other.example"]]}`, false)
	f(`{"in":["sender_domain",["Mail.Shop.Example"]]}`, true)
	f(`{"eq":["sender_domain","mail.shop.example"]}`, true)
	f(`{"neq":["sender_domain","@shop.example"]}`, false)
	f(`{"eq":["sender_domain","ann@shop.example"]}`, true)
	f(`{"contains":["sender_domain","hop.ex"]}`, true)
	f(`{"contains":["subject","sale"]}`, true)
	f(`{"regex":["subject","sale"]}`, false)
	f(`{"regex":["subject","(?i)\\bsale\\b"]}`, true)
	f(`{"gte":["risk_score",85]}`, true)
	f(`{"gt":["risk_score",85]}`, false)
	f(`{"lte":["risk_score",85.0]}`, true)
	f(`{"lt":["risk_score",85]}`, false)
	f(`{"in":["risk_score",[1,85]]}`, true)
	f(`{"neq":["risk_score",85]}`, false)
	f(`{"eq":["quarantined",false]}`, true)
	f(`{"neq":["quarantined",false]}`, false)
	f(`{"contains":["labels","shopping"]}`, true)
	f(`{"contains":["labels","shop"]}`, false)
	f(`{"in":["labels",["x","LATER"]]}`, true)
	f(`{"eq":["age_days",10]}`, true)
	f(`{"eq":["expired_days",1]}`, true)
	f(`{"lt":["received_at","now-10d"]}`, true)
	f(`{"lt":["received_at","now-11d"]}`, false)
	f(`{"lt":["received_at","now-1w"]}`, true)
	f(`{"gt":["expires_at","now-37h"]}`, true)
	f(`{"lt":["expires_at","now+12h"]}`, true)
	f(`{"gt":["expires_at","now"]}`, false)
	f(`{"gt":["received_at","2026-02-28T10:59:59+00:00"]}`, true)
	f(`{"eq":["received_at","2026-02-28"]}`, true)
	f(`{"eq":["received_at","2026-02-28/d"]}`, true)
	f(`{"eq":["received_at","2026-02"]}`, true)
	f(`{"neq":["received_at","2026-02-27"]}`, true)
	f(`{"lt":["received_at","2026-02-28"]}`, false)
	f(`{"lte":["received_at","2026-02-28"]}`, true)
	f(`{"gt":["received_at","2026-02-28"]}`, false)
	f(`{"gte":["received_at","2026-02-28"]}`, true)
	f(`{"gt":["received_at","2026-02-27"]}`, true)
	f(`{"lt":["received_at","now/d-9d"]}`, true)
	f(`{"gte":["received_at","now-1M"]}`, true)
	f(`{"in":["received_at",["2025","2026"]]}`, true)
	f(`{"eq":["received_at","2026-02-28T12:00:00+01:00"]}`, true)
	f(`{"eq":["ats.stage","onsite"]}`, true)
	f(`{"gte":["ats.ghosting_risk",0.6]}`, true)
	f(`{"exists":["ats.company"]}`, true)
	f(`{"all":[{"eq":["category","promo"]},{"gt":["age_days",9]}]}`, true)
	f(`{"all":[{"eq":["category","promo"]},{"gt":["age_days",10]}]}`, false)
	f(`{"any":[{"eq":["category","event"]},{"gt":["age_days",9]}]}`, true)
	f(`{"any":[{"eq":["category","event"]}]}`, false)
	f(`{"not":{"eq":["category","event"]}}`, true)
}

func TestMissingFieldMakesAComparisonFalse(t *testing.T) {
	var all []string
	for name, f := range fields {
		for op, rule := range operators {
			if f.kind == flagKind || rule.kinds&(1<<f.kind) == 0 {
				continue
			}
			value := map[kind]string{textKind: `"x"`, numberKind: "1", timeKind: `"now"`, listKind: `"x"`}[f.kind]
			if op == "in" {
				value = "[" + value + "]"
			}
			all = append(all, fmt.Sprintf(`{%q:[%q,%s]}`, op, name, value))
		}
		if f.kind != flagKind {
			all = append(all, fmt.Sprintf(`{"exists":[%q]}`, name))
		}
	}
	for _, source := range all {
		plain, negated := mustParse(t, source), mustParse(t, `{"not":`+source+`}`)
		if plain.Match(Mail{}, now) || !negated.Match(Mail{}, now) {
			t.Errorf("%s matches a mail that lacks the field", source)
		}
	}
}

func TestAgeBeforeItsTimeIsNegative(t *testing.T) {
	mail := Mail{ExpiresAt: now.Add(time.Minute)}
	if !mustParse(t, `{"eq":["expired_days",-1]}`).Match(mail, now) {
		t.Error("a mail that expires in a minute is not -1 days expired")
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat(`{"not":`, MaxLevels) + `{"exists":["sender"]}` + strings.Repeat("}", MaxLevels)
	wide := `{"any":[` + strings.TrimSuffix(strings.Repeat(`{"exists":["sender"]},`, MaxNodes), ",") + `]}`
	f := func(name, source, pointer, word string) {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(source))
			var fault *Error
			if !errors.As(err, &fault) {
				t.Fatalf("got %v", err)
			}
			if fault.Pointer != pointer || !strings.Contains(fault.Detail, word) {
				t.Errorf("got %q: %s", fault.Pointer, fault.Detail)
			}
		})
	}
	f("not JSON", `{"eq":`, "", "valid JSON")
	f("not UTF-8", "{\"eq\":[\"subject\",\"\xff\"]}", "", "UTF-8")
	f("not an object", `["eq"]`, "", "object")
	f("null", `null`, "", "one operator")
	f("no operator", `{}`, "", "one operator")
	f("two operators", `{"eq":["category","a"],"neq":["category","b"]}`, "", "one operator")
	f("unknown operator", `{"all":[{"like":["subject","x"]}]}`, "/all/0/like", `"like"`)
	f("operator with a slash", `{"a/b~":[]}`, "/a~1b~0", "no operator")
	f("unknown field", `{"any":[{"eq":["category","x"]},{"eq":["body","x"]}]}`, "/any/1/eq/0", `"body"`)
	f("field of wrong type", `{"eq":[1,"x"]}`, "/eq/0", "name of a field")
	f("too few", `{"eq":["category"]}`, "/eq", "[field, value]")
	f("too many", `{"exists":["category","x"]}`, "/exists", "[field]")
	f("operand is not a list", `{"eq":"category"}`, "/eq", "[field, value]")
	f("empty all", `{"not":{"all":[]}}`, "/not/all", "empty")
	f("all of null", `{"all":null}`, "/all", "list")
	f("empty in", `{"in":["category",[]]}`, "/in/1", "empty")
	f("in without list", `{"in":["category","x"]}`, "/in/1", "list")
	f("in with wrong type", `{"in":["category",["x",1]]}`, "/in/1/1", "text")
	f("text for a number", `{"gte":["risk_score","80"]}`, "/gte/1", "number")
	f("null for a number", `{"gte":["risk_score",null]}`, "/gte/1", "number")
	f("number too large", `{"gte":["risk_score",1e999]}`, "/gte/1", "number")
	f("number for a text", `{"eq":["subject",1]}`, "/eq/1", "text")
	f("empty text", `{"eq":["subject",""]}`, "/eq/1", "empty")
	f("NUL", `{"eq":["subject","a\u0000"]}`, "/eq/1", "NUL")
	f("half a surrogate pair", `{"eq":["subject","\ud800"]}`, "/eq/1", "surrogate")
	f("text for a flag", `{"eq":["quarantined","yes"]}`, "/eq/1", "true or false")
	f("bad time", `{"lt":["received_at","2026-01-32"]}`, "/lt/1", "RFC 3339")
	f("part of a domain", `{"in":["sender_domain",["a.example","*.example"]]}`, "/in/1/1", "registrable")
	f("part of an address", `{"eq":["sender","*@shop.example"]}`, "/eq/1", "sender_domain")
	f("a domain for an address", `{"neq":["sender","@shop.example"]}`, "/neq/1", "sender_domain")
	f("bad unit", `{"lt":["received_at","now-7x"]}`, "/lt/1", "RFC 3339")
	f("too far", `{"lt":["received_at","now-999999999w"]}`, "/lt/1", "100 years")
	f("bad regex", `{"regex":["subject","("]}`, "/regex/1", "RE2")
	f("backreference", `{"regex":["subject","(a)\\1"]}`, "/regex/1", "RE2")
	f("long regex", `{"regex":["subject","`+strings.Repeat("a", MaxRegex+1)+`"]}`, "/regex/1", "1000")
	f("costly regex", `{"regex":["subject","`+strings.Repeat("x{1000}", 3)+`"]}`, "/regex/1", "costly")
	f("nested repetitions", `{"regex":["subject","(x{100}){100}"]}`, "/regex/1", "RE2")
	f("costly in total", `{"any":[{"regex":["subject","x{900}"]},{"regex":["sender","y{900}"]},{"regex":["list_id","z{900}"]}]}`, "/any/2/regex/1", "costly")
	f("order of texts", `{"lt":["subject","x"]}`, "/lt", "does not apply")
	f("regex of a number", `{"regex":["risk_score","1"]}`, "/regex", "does not apply")
	f("eq of labels", `{"eq":["labels","x"]}`, "/eq", "does not apply")
	f("too deep", deep, strings.Repeat("/not", MaxLevels), "levels")
	f("too many parts", wide, "/any/99", "100 parts")
}

func TestParseAcceptsTheLimits(t *testing.T) {
	mustParse(t, strings.Repeat(`{"not":`, MaxLevels-1)+`{"exists":["sender"]}`+strings.Repeat("}", MaxLevels-1))
	mustParse(t, `{"any":[`+strings.TrimSuffix(strings.Repeat(`{"exists":["sender"]},`, MaxNodes-1), ",")+`]}`)
}

// TestCostliestConditionIsHarmless measures a condition with the maximum number of instructions, all of which run at every
// byte of the longest possible subject.
func TestCostliestConditionIsHarmless(t *testing.T) {
	condition := mustParse(t, `{"not":{"regex":["subject","(?:a?b?){480}$x"]}}`)
	mail := Mail{Subject: strings.Repeat("ab", events.MaxMailSubject/2)}
	began := time.Now()
	if !condition.Match(mail, now) {
		t.Error("the regular expression matches")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("one mail took %s", took)
	} else {
		t.Logf("one mail took %s", took)
	}
}

func TestReadsATS(t *testing.T) {
	for source, want := range map[string]bool{
		`{"eq":["category","promo"]}`:                                            false,
		`{"all":[{"eq":["category","promo"]},{"not":{"exists":["ats.stage"]}}]}`: true,
		`{"gt":["ats.ghosting_risk",0.5]}`:                                       true,
	} {
		if got := mustParse(t, source).ReadsATS(); got != want {
			t.Errorf("%s: ReadsATS is %v", source, got)
		}
	}
}

// TestDeMorgan checks that not(any) equals all(not), for random comparisons and mails with and without the fields.
func TestDeMorgan(t *testing.T) {
	comparisons := []string{`{"eq":["category","promo"]}`, `{"neq":["category","promo"]}`, `{"gte":["risk_score",50]}`,
		`{"exists":["list_id"]}`, `{"contains":["labels","a"]}`, `{"lt":["received_at","now-7d"]}`, `{"gt":["age_days",3]}`}
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom(comparisons), 1, 6).Draw(t, "parts")
		negated := make([]string, len(parts))
		for i, part := range parts {
			negated[i] = `{"not":` + part + `}`
		}
		left := mustParse(t, `{"not":{"any":[`+strings.Join(parts, ",")+`]}}`)
		right := mustParse(t, `{"all":[`+strings.Join(negated, ",")+`]}`)
		mail := drawMail(t)
		if left.Match(mail, now) != right.Match(mail, now) {
			t.Fatalf("%v differ on %+v", parts, mail)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"all":[{"eq":["category","promo"]},{"not":{"in":["labels",["a","b"]]}}]}`))
	f.Add([]byte(`{"any":[{"regex":["subject","(?i)x+"]},{"lt":["received_at","now-7d"]},{"exists":["ats.stage"]}]}`))
	f.Add([]byte(`{"gte":["risk_score",8e1]}`))
	f.Add([]byte(`{"eq":["quarantined",true]}`))
	for _, policy := range Defaults() {
		f.Add([]byte(policy.Condition))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		condition, err := Parse(source)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || fault.Detail == "" {
				t.Fatalf("%q: %v is not an *Error with a detail", source, err)
			}
			return
		}
		if !json.Valid(source) {
			t.Fatalf("%q is accepted, but is not JSON", source)
		}
		condition.Match(Mail{}, now)
		condition.Match(sampleMail(), now)
	})
}

func mustParse(t interface {
	Helper()
	Fatalf(string, ...any)
}, source string) *Condition {
	t.Helper()
	condition, err := Parse([]byte(source))
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return condition
}

func drawMail(t *rapid.T) Mail {
	mail := Mail{
		ID:           rapid.StringN(1, 20, 40).Draw(t, "id"),
		Category:     rapid.SampledFrom([]string{"", "promo", "event", "finance"}).Draw(t, "category"),
		SenderDomain: rapid.SampledFrom([]string{"", "shop.example"}).Draw(t, "domain"),
		ListID:       rapid.SampledFrom([]string{"", "news.shop.example"}).Draw(t, "list"),
		Subject:      rapid.SampledFrom([]string{"", "Meetup and sale", "Your invoice"}).Draw(t, "subject"),
		Labels:       rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), 0, 2).Draw(t, "labels"),
	}
	if rapid.Bool().Draw(t, "dated") {
		mail.ReceivedAt = now.Add(-time.Duration(rapid.IntRange(0, 400).Draw(t, "hours")) * time.Hour)
	}
	if rapid.Bool().Draw(t, "risky") {
		risk := rapid.IntRange(0, 100).Draw(t, "risk")
		mail.RiskScore = &risk
	}
	return mail
}

// TestTimesAreThoseOfQueries holds the tables of docs/search.md to conditions.
func TestTimesAreThoseOfQueries(t *testing.T) {
	const document = "../../docs/search.md"
	accepted := func(text string) bool {
		_, err := Parse([]byte(`{"lte":["received_at","` + text + `"]}`))
		return err == nil
	}
	for _, row := range doctable.Rows(t, document, "time", "begins", "ends before") {
		for _, text := range doctable.Codes(row[0]) {
			if !accepted(text) {
				t.Errorf("%s is refused", text)
			}
		}
	}
	for _, row := range doctable.Rows(t, document, "refused", "message") {
		for _, text := range doctable.Codes(row[0]) {
			if accepted(text) {
				t.Errorf("%s is accepted", text)
			}
		}
	}
}
