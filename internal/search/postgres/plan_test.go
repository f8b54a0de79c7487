package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/keys"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var now = time.Date(2026, 11, 26, 15, 4, 5, 0, time.UTC)

// manyMails makes mails of few words by SQL alone: number n has a word of its own and those that divide it say. Nine
// of ten mails are ann's.
const manyMails = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id, received_at,
    category, risk_score, quarantined, labels, text, truncated, content_hash, updated_at, parties, search_words)
SELECT 1, md5(n::text)::uuid, u.id, n, '', '', 'a@x.example', '', 'x.example', '{}', '', $1::timestamptz - n * interval '10 minutes',
    CASE WHEN n % 10 = 0 THEN 'event' ELSE 'promo' END, CASE WHEN n % 20 = 0 THEN n % 101 END, false, '{}', '', false, 0, now(),
    CASE WHEN n % 50 = 0 THEN ARRAY['applicant' || n || '@x.example'] ELSE '{}' END,
    concat_ws(' ', u.mark, u.mark || 'bthe', u.mark || 'bnumber', u.mark || 'b' || n, u.mark || 'fa@x.example', u.mark || 'dx.example',
        CASE WHEN n % 2 = 0 THEN u.mark || 'beven' END, CASE WHEN n % 1000 = 0 THEN u.mark || 'brare ' || u.mark || 'bfind' END,
        CASE WHEN n % 10 = 0 THEN u.mark || 'cevent' ELSE u.mark || 'cpromo' END, CASE WHEN n % 20 = 0 THEN u.mark || 'hrisk_score' END)
FROM generate_series(1, $2::integer) n, LATERAL (SELECT CASE WHEN n % 10 = 9 THEN 'bob' ELSE 'ann' END AS id, CASE WHEN n % 10 = 9 THEN $4 ELSE $3 END AS mark) u`

// manyApplications makes an application for one mail in fifty.
const manyApplications = `
INSERT INTO mail_correspondents (version, user_id, address) SELECT 1, user_id, parties[1] FROM mails WHERE parties <> '{}';
INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
SELECT 1, 'lever', message_id, parties, 'Acme', 'Offer', now() - interval '16 days 12 hours', 1, false, now() FROM mails WHERE parties <> '{}';
INSERT INTO application_keys (version, address, company, system, application_id, whole) SELECT 1, parties[1], '', 'lever', message_id, true FROM mails WHERE parties <> '{}';
ANALYZE mails, mail_correspondents, applications, application_keys`

func fill(t testing.TB, count int) *pgxpool.Pool {
	t.Helper()
	pool, _ := testenv.Database(t)
	_, err := pool.Exec(t.Context(), manyMails, now, count, keys.Mark("ann"), keys.Mark("bob"))
	if err == nil {
		_, err = pool.Exec(t.Context(), manyApplications)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// wishes are those of a search in a mode.
var wishes = []search.Node{at("ats.ghosting_risk:>=0.6"), at("ats.stage:(Onsite OR Offer)"), at("category:event"), at("rare"), at(`"rare find"`)}

func at(query string) search.Node { return search.MustParse(query).At(now) }

// common are queries as people make them, and some worse ones.
var common = []string{
	"", "the", "-the", "rare", "17000", "even number", `"rare find"`, `"the number"`, `"number the"`, "nothing", "nu*",
	"category:event", "category:event AND received_at:[now-30d TO now]", "received_at:[now-30d TO now-20d]", "sender_domain:x.example",
	"rare OR 17000 OR (even -the)", "even -category:event -quarantined:true", "risk_score:>=80", "-risk_score:* the",
	"ats.stage:offer", "ats.stage:offer the", "-ats.stage:* the", "rare OR ats.stage:offer", "even OR received_at:<now-300d",
	`NOT ("rare find" OR received_at:<now-300d)`,
}

func explain(t *testing.T, pool *pgxpool.Pool, request search.Request) string {
	t.Helper()
	s := newStatement(request)
	text := s.search(request)
	var plan []string
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), settings); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "EXPLAIN "+text, append([]any{pgx.QueryExecModeExec}, s.args...)...)
		if err != nil {
			return err
		}
		plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return strings.Join(plan, "\n")
}

// TestPlans: no search reads the whole table; and when the database knows what is in the table, none computes the keys
// of mails one by one.
func TestPlans(t *testing.T) {
	pool := fill(t, 30_000)
	checkPlans(t, pool, regexp.MustCompile(`Seq Scan on (public\.)?mails|(?m)^ *(Filter|Join Filter):.*search_keys`))
	if _, err := pool.Exec(t.Context(), "DELETE FROM pg_statistic WHERE starelid = 'mails_1'::regclass"); err != nil {
		t.Fatal(err)
	}
	checkPlans(t, pool, regexp.MustCompile(`Seq Scan on (public\.)?mails`))
}

func checkPlans(t *testing.T, pool *pgxpool.Pool, bad *regexp.Regexp) {
	t.Helper()
	for _, query := range common {
		for _, should := range [][]search.Node{nil, wishes[:2], wishes} {
			for _, limit := range []int{20, 1000} {
				plan := explain(t, pool, search.Request{UserID: "ann", Where: at(query), Should: should, Limit: limit})
				if !strings.Contains(plan, " on mails_1") || bad.MatchString(plan) {
					t.Errorf("%q with %d wishes and limit %d:\n%s", query, len(should), limit, plan)
				}
			}
		}
	}
}

// TestNothingOfAQueryIsSQL: whatever a query says stands in the arguments.
func TestNothingOfAQueryIsSQL(t *testing.T) {
	allowed := regexp.MustCompile(`^[a-zA-Z_.,:<>=@|()*$0-9 ]*$`)
	for _, query := range append(common, `subject:"canary'; DROP" canary*`, `label:"canary' OR" sender:canary@x.example ats.company:canary* list_id:canary`) {
		s := newStatement(search.Request{UserID: "canary", Where: at(query), Should: wishes, Limit: 20})
		text := s.search(search.Request{UserID: "canary", Where: at(query), Should: wishes, Limit: 20})
		literals := strings.NewReplacer("' '", "", "''", "")
		if strings.Contains(text, "canary") || !allowed.MatchString(literals.Replace(text)) {
			t.Errorf("%s: %s", query, text)
		}
	}
}

// TestRandomQueries: nothing that can be typed breaks the engine, finds another's mail or runs for long.
func TestRandomQueries(t *testing.T) {
	pool := fill(t, 20_000)
	engine := New(pool)
	owned := map[[16]byte]bool{}
	rows, err := pool.Query(t.Context(), "SELECT id FROM mails WHERE user_id = 'ann'")
	if err != nil {
		t.Fatal(err)
	}
	var id [16]byte
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { owned[id] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	searched := 0
	for range 1500 {
		query := randomQuery(random)
		q, err := search.Parse(query)
		if err != nil {
			continue
		}
		searched++
		start := time.Now()
		hits, err := engine.Search(t.Context(), search.Request{UserID: "ann", Where: q.At(now), Should: wishes[:random.IntN(len(wishes)+1)], Limit: 1 + random.IntN(300)})
		if err != nil && !errors.Is(err, search.ErrTooSlow) {
			t.Errorf("%s: %v", query, err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("%s took %v", query, took)
		}
		for _, hit := range hits {
			if !owned[hit.ID] {
				t.Errorf("%s found a mail of another", query)
			}
		}
	}
	if searched < 500 {
		t.Errorf("only %d of the random queries were queries", searched)
	}
}

// randomQuery strings pieces of queries together, most of which fit.
func randomQuery(random *rand.Rand) string {
	terms := []string{"the", "even", "number", "rare", "17000", "nu*", `"the number"`, `"rare find"`, "category:event", "category:(event OR promo)",
		"received_at:[now-30d TO now]", "received_at:<2026-11", "risk_score:>50", "-risk_score:*", "ats.stage:offer", "ats.ghosting_risk:<0.5", "sender:a@x.example",
		"from:x", "label:*", "quarantined:false", "age_days:{3 TO *]", "'; DROP TABLE mails; --", `\`, "%_", "会議", "id:" + "00000000-0000-0000-0000-000000000001",
		"a* b* c*", strings.Repeat("(", random.IntN(12)), "subject:/(a+)+$/"}
	glue := []string{" ", " AND ", " OR ", " NOT ", " -", " (", ") ", " && ", "||"}
	var b strings.Builder
	for range 1 + random.IntN(8) {
		b.WriteString(terms[random.IntN(len(terms))])
		b.WriteString(glue[max(0, random.IntN(len(glue)+6)-6)])
	}
	return b.String() + terms[random.IntN(len(terms))] + strings.Repeat(")", strings.Count(b.String(), "(")*random.IntN(2))
}

// TestBombs: queries that are as costly as the limits allow are answered or given up in time.
func TestBombs(t *testing.T) {
	pool := fill(t, 20_000)
	f := func(name, part, between string, count int) {
		t.Run(name, func(t *testing.T) {
			var parts []string
			for n := range count {
				parts = append(parts, strings.ReplaceAll(part, "#", fmt.Sprint(n)))
			}
			query, err := search.Parse(strings.Join(parts, between))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = New(pool).Search(t.Context(), search.Request{UserID: "ann", Where: query.At(now), Should: wishes, Limit: 20})
			if took := time.Since(began); err != nil && !errors.Is(err, search.ErrTooSlow) || took > 5*time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
	f("mixed", "(#1 OR risk_score:>#)", " ", 33)
	f("mixed negated", "-(#1 OR received_at:<now)", " OR ", 24)
	f("applications", "(the OR ats.stage:a#)", " ", 33)
	f("beginnings", "1#*", " OR ", 90)
	f("frequent words", "(the even)", " OR ", 33)
	f("negations", "-the", " OR ", 50)
	f("phrases", `"the number #"`, " OR ", 50)
	f("one phrase", "the-number", "-", 90)
	f("negated phrases", `-"the number #"`, " ", 50)
}

// TestTooSlow: a search that takes longer than it may is given up, and says so.
func TestTooSlow(t *testing.T) {
	pool := fill(t, 1000)
	_, err := pool.Exec(t.Context(), `CREATE OR REPLACE FUNCTION ghosting_risk(last_stage_change timestamptz, interview_date timestamptz, at timestamptz)
		RETURNS double precision LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN 1; END'`)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = New(pool).Search(t.Context(), search.Request{UserID: "ann", Where: at("ats.ghosting_risk:>0.5"), Limit: 10})
	if took := time.Since(start); !errors.Is(err, search.ErrTooSlow) || took > 10*time.Second {
		t.Errorf("got %v after %v", err, took)
	}
}

// TestVersions: a version that is being built is not searched, whether it has more or fewer mails.
func TestVersions(t *testing.T) {
	pool := fill(t, 1000)
	_, err := pool.Exec(t.Context(), `CREATE TABLE mails_2 PARTITION OF mails FOR VALUES IN (2);
		INSERT INTO mails SELECT 2 AS version, gen_random_uuid() AS id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
		    received_at, category, risk_score, quarantined, labels, expires_at, text, truncated, content_hash, updated_at, search_words
		FROM mails WHERE version = 1`)
	if err != nil {
		t.Fatal(err)
	}
	count := func() string {
		counts := ""
		for _, query := range []string{"", "rare", "the", `"rare find"`, "received_at:<now"} {
			hits, err := New(pool).Search(context.Background(), search.Request{UserID: "ann", Where: at(query), Should: wishes[2:], Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			counts += fmt.Sprint(len(hits), " ")
		}
		return counts
	}
	before := count()
	if _, err := pool.Exec(t.Context(), "DELETE FROM mails WHERE version = 2 AND message_id::int % 3 = 0"); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before || before != "900 1 900 1 900 " {
		t.Errorf("found %s, then %s", before, after)
	}
}
