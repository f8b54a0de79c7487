package chat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/search"
)

// now is when the labelled sentences are asked: a Wednesday.
var now = time.Date(2026, 6, 17, 12, 0, 0, 0, time.UTC)

// labelled is a sentence with the intent that people give it, and parts of the query that it has to lead to.
type labelled struct {
	kind     Kind
	sentence string
	query    []string
}

func readLabelled(t *testing.T, name string) []labelled {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var list []labelled
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		l := labelled{kind: Kind(fields[0]), sentence: strings.ReplaceAll(fields[1], `\n`, "\n")}
		if fields[2] != "" {
			l.query = strings.Split(fields[2], ";;")
		}
		list = append(list, l)
	}
	return list
}

// measured is how many sentences of a list are read as people do.
type measured struct{ all, kinds, withQuery, queries int }

func measure(t *testing.T, list []labelled) measured {
	t.Helper()
	var m measured
	for _, l := range list {
		m.all++
		intent := Read(l.sentence, now)
		if intent.Kind == l.kind {
			m.kinds++
		} else {
			t.Logf("%q is %s, and read as %s", l.sentence, l.kind, intent.Kind)
		}
		if len(l.query) == 0 {
			continue
		}
		m.withQuery++
		missing := ""
		for _, part := range l.query {
			if !strings.Contains(intent.Query, part) {
				missing += " " + part
			}
		}
		if missing == "" {
			m.queries++
		} else {
			t.Logf("%q: the query %s lacks%s", l.sentence, intent.Query, missing)
		}
	}
	t.Logf("%d of %d intents, %d of %d queries", m.kinds, m.all, m.queries, m.withQuery)
	return m
}

// TestLabelledSentences measures the rules; docs/chat.md has the figures. Whoever wrote the rules knew how the first two lists speak.
// fresh.tsv was written when the rules were done, and shows what other words cost.
func TestLabelledSentences(t *testing.T) {
	for name, least := range map[string]float64{"tuning.tsv": 0.98, "heldout.tsv": 0.9, "fresh.tsv": 0.7} {
		t.Run(name, func(t *testing.T) {
			m := measure(t, readLabelled(t, name))
			if m.all < 60 || float64(m.kinds) < least*float64(m.all) || float64(m.queries) < least*float64(m.withQuery) {
				t.Errorf("%d of %d intents and %d of %d queries are right, want %g of each", m.kinds, m.all, m.queries, m.withQuery, least)
			}
		})
	}
}

// TestQueriesAreValid: whatever is asked, the query is one, and no other than the rules built.
func TestQueriesAreValid(t *testing.T) {
	for _, name := range []string{"tuning.tsv", "heldout.tsv"} {
		for _, l := range readLabelled(t, name) {
			checkQueries(t, l.sentence)
		}
	}
}

func checkQueries(t *testing.T, sentence string) {
	t.Helper()
	intent := Read(sentence, now)
	for _, query := range []string{intent.Query, intent.Wider, Within(intent.Query, "3650")} {
		if _, err := search.Parse(query); err != nil {
			t.Errorf("%q leads to %q: %v", sentence, query, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"find the mail from Alice", `"a" OR category:promo)`, "from \x00\xff", "since 99999 days", strings.Repeat("archive ", 2000), "«»„“ @.@", "vor 3 tagen von von von"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sentence string) { checkQueries(t, sentence) })
}

// Words that operators join are a query; a sentence is none because somebody stresses a word in it.
func TestOperatorsMakeAQuery(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, typed := typed(text)
		if typed && got.Query != want || !typed && want != "" {
			t.Errorf("%q is %q", text, got.Query)
		}
	}
	f("offer OR meetup", "(offer OR meetup) NOT quarantined:true")
	f(`"go meetup" AND NOT berlin`, `("go meetup" AND NOT berlin) NOT quarantined:true`)
	f("lease NOT (car OR bike)", "(lease NOT (car OR bike)) NOT quarantined:true")
	f("offer or meetup", "")
	f("archive promos AND newsletters", "")
	f("do NOT archive anything", "")
	f("any meetups in Berlin OR Hamburg?", "")
	f("mail from Ann AND about the lease", "")
	f("OFFER OR MEETUP", "")
	f("OR", "")
	f("offer OR", "")
	f("offer OR (", "")
}
