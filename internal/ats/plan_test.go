package ats_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/testkit/testenv"
)

// fillMailbox gives a candidate 100,000 mails, 100 of them from companies where they applied, and a recruiter 100,000, of
// which 5,000 are from candidates. Many other users have 20 mails each. Each user applied somewhere.
const fillMailbox = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
    received_at, category, quarantined, labels, text, truncated, content_hash, updated_at, parties, companies)
SELECT 1, md5(u || '/' || n)::uuid, u, n::text, '', 'subject', 'x', 'x', 'x', '{}', '', now() - n * interval '1 minute', 'personal',
    false, '{}', repeat('some words of a mail ', 20), false, 0, now(),
    ARRAY['sender' || n % 3000 || '@example.com', u || '@example.org']
        || CASE WHEN u = 'recruiter' AND n % 20 = 0 THEN ARRAY['u' || n % 1000 || '@example.org'] ELSE '{}' END,
    ARRAY['company' || n % 3000, 'sender' || n % 3000]
FROM (SELECT 'candidate' AS u, 100000 AS mails UNION ALL SELECT 'recruiter', 100000 UNION ALL SELECT 'u' || i, 20 FROM generate_series(1, 1000) i) users,
    generate_series(1, mails) n;
INSERT INTO mail_correspondents (version, user_id, address) SELECT DISTINCT 1, user_id, address FROM mails, unnest(parties) AS address;
INSERT INTO mail_addresses (version, user_id, address) SELECT DISTINCT 1, user_id, user_id || '@example.org' FROM mails;
INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
SELECT 1, 'lever', n::text, '{}', 'Company' || n, 'Onsite', now(), 1, false, now() FROM generate_series(1, 20000) n;
INSERT INTO application_keys (version, address, company, system, application_id, whole)
SELECT 1, address, company, 'lever', n::text, true
FROM generate_series(1, 20000) n,
    LATERAL (SELECT CASE WHEN n <= 3 THEN 'candidate' ELSE 'u' || n % 1000 END || '@example.org' AS address) a,
    unnest(ARRAY['', 'company' || n]) AS company`

// plan returns the plan of a query and how long it takes.
func plan(t *testing.T, db *pgxpool.Pool, sql string) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	rows, err := db.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) "+sql)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n"), time.Since(began)
}

// TestLiveATSReadsNoWholeMailbox checks the plans of every way to read the view, with and without statistics.
func TestLiveATSReadsNoWholeMailbox(t *testing.T) {
	db, _ := testenv.Database(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Exec(context.Background(), "SET statement_timeout = 0; "+sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(fillMailbox)
	for _, state := range []string{"without statistics", "with statistics"} {
		if state == "with statistics" {
			exec("ANALYZE")
		}
		for name, sql := range map[string]string{
			"a candidate": `SELECT * FROM live_ats WHERE user_id = 'candidate'`,
			"a recruiter": `SELECT * FROM live_ats WHERE user_id = 'recruiter'`,
			"mails of a candidate": `SELECT * FROM live_ats WHERE user_id = 'candidate'
				AND mail_id = ANY (ARRAY(SELECT md5('candidate/' || n)::uuid FROM generate_series(1, 1000) n))`,
			"given mails": `SELECT * FROM ats_of(ARRAY(SELECT md5('u' || n || '/1')::uuid FROM generate_series(1, 1000) n))`,
			"per mail": `SELECT * FROM (SELECT * FROM live_mails WHERE user_id = 'recruiter' ORDER BY received_at DESC, id LIMIT 1000) m
				LEFT JOIN LATERAL ats_of(ARRAY[m.id]) a ON true`,
		} {
			t.Run(name+" "+state, func(t *testing.T) {
				text, took := plan(t, db, sql)
				if strings.Contains(text, "Seq Scan on mail") || took > 5*time.Second {
					t.Errorf("it takes %v:\n%s", took, text)
				}
			})
		}
	}
}

// fillSmall creates 50 users with 1,000 mails each, and 100 applications.
const fillSmall = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
    received_at, category, quarantined, labels, text, truncated, content_hash, updated_at, parties, companies)
SELECT 1, md5(u || '/' || n)::uuid, 'u' || u, n::text, '', 'subject', 'x', 'x', 'x', '{}', '', now(), 'personal',
    false, '{}', '', false, 0, now(), ARRAY['sender' || n || '@example.com', 'u' || u || '@example.org'], ARRAY['company' || n, 'sender']
FROM generate_series(1, 50) u, generate_series(1, 1000) n;
INSERT INTO mail_addresses (version, user_id, address) SELECT 1, 'u' || u, 'u' || u || '@example.org' FROM generate_series(1, 50) u;
INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
SELECT 1, 'lever', u || '-' || n, '{}', 'Company' || n, 'Onsite', now(), 1, false, now() FROM generate_series(1, 50) u, generate_series(1, 100) n;
INSERT INTO application_keys (version, address, company, system, application_id, whole)
SELECT 1, 'u' || u || '@example.org', company, 'lever', u || '-' || n, true
FROM generate_series(1, 50) u, generate_series(1, 100) n, unnest(ARRAY['', 'company' || n]) AS company`

// TestTheRuleIsQuickBeforeThereAreStatistics checks the plans with statistics of empty tables. A plan that reads a whole
// version, or all keys of an address, looks cheap then, and took a minute.
func TestTheRuleIsQuickBeforeThereAreStatistics(t *testing.T) {
	db, _ := testenv.Database(t)
	if _, err := db.Exec(t.Context(), "ANALYZE; "+fillSmall); err != nil {
		t.Fatal(err)
	}
	for name, sql := range map[string]string{
		"given mails": `SELECT * FROM ats_of(ARRAY(SELECT id FROM mails LIMIT 2000))`,
		"per mail":    `SELECT * FROM (SELECT id FROM mails LIMIT 2000) m, ats_of(ARRAY[m.id])`,
		"a person":    `SELECT * FROM live_ats WHERE user_id = 'u7'`,
	} {
		if text, took := plan(t, db, sql); took > 5*time.Second {
			t.Errorf("%s: it takes %v:\n%s", name, took, text)
		}
	}
}
