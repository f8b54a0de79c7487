package plans

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Person is whose mailbox Fill fills, and IDs is a literal of the ids of 1,000 of their mails, which all belong to an
// application.
const Person = "ann"

// fill gives the person 20,000 mails, of each tenth of which an application is, and others 2,000; the person 2,000 weights and
// 10 policies with statistics of a year, and others 100 weights and a policy each. One mail of a hundred waits to be put before the
// policies. Of proposals, events and dead letters the person has 100, and others 10,000.
const fill = `
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
    received_at, category, quarantined, labels, text, truncated, content_hash, updated_at, parties, companies)
SELECT 1, md5(u || '/' || n)::uuid, u, n::text, '', 'subject', 'x', 'x', 'x', '{}', '', now() - n * interval '1 minute', 'personal',
    false, '{}', 'some words', false, 0, now(), ARRAY['sender' || n % 2000 || '@example.com', u || '@example.org'], ARRAY['company' || n % 2000, 'sender']
FROM (SELECT 'ann' AS u, 20000 AS mails UNION ALL SELECT 'other' || i, 20 FROM generate_series(1, 100) i) users, generate_series(1, mails) n;
INSERT INTO new_mails (user_id, mail_id, received_at, folded_at, late, proposed, considered_at)
SELECT user_id, id, received_at, received_at, false, message_id::integer % 100 = 1, CASE WHEN message_id::integer % 100 > 0 THEN received_at END FROM mails;
INSERT INTO mail_correspondents (version, user_id, address) SELECT DISTINCT 1, user_id, address FROM mails, unnest(parties) AS address;
INSERT INTO mail_addresses (version, user_id, address) SELECT DISTINCT 1, user_id, user_id || '@example.org' FROM mails;
INSERT INTO users (id, addresses) SELECT DISTINCT user_id, ARRAY[user_id || '@example.net'] FROM mails;
INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
SELECT 1, 'lever', n::text, '{}', 'Company' || n, 'Onsite', now() - n % 30 * interval '1 day', 1, false, now() FROM generate_series(1, 2000) n;
INSERT INTO application_keys (version, address, company, system, application_id, whole)
SELECT 1, address, company, 'lever', n::text, true
FROM generate_series(1, 2000) n,
    LATERAL (SELECT CASE WHEN n <= 200 THEN 'ann' ELSE 'other' || n % 100 + 1 END || '@example.org' AS address) a,
    unnest(ARRAY['', 'company' || n]) AS company;
INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at)
SELECT 1, u, 'sender:' || n, n % 7, n % 5, now()
FROM (SELECT 'ann' AS u, 2000 AS weights UNION ALL SELECT 'other' || i, 100 FROM generate_series(1, 100) i) users, generate_series(1, weights) n;
INSERT INTO policy_days (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
SELECT 1, u, p, (now() AT TIME ZONE 'UTC')::date - d, 3, 1, 1, 1, now()
FROM (SELECT 'ann' AS u, 10 AS policies UNION ALL SELECT 'other' || i, 1 FROM generate_series(1, 100) i) users,
    generate_series(1, policies) p, generate_series(0, 364) d;
INSERT INTO policies (user_id, name, condition, action)
SELECT user_id, n::text, '{}', 'archive_email' FROM (SELECT DISTINCT user_id FROM policy_days) u, generate_series(1, 10) n;
INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at)
SELECT gen_random_uuid(), u, 1, n::text, 'archive_email', 0.7, '{}', 1, now()
FROM (SELECT 'ann' AS u UNION ALL SELECT 'other' || i FROM generate_series(1, 100) i) users, generate_series(1, 100) n;
INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, headers, user_id, published_at)
SELECT u || n, 'applylens.actions', u::bytea, 'action.proposed.v1', '{}', '[]', u, now()
FROM (SELECT 'ann' AS u UNION ALL SELECT 'other' || i FROM generate_series(1, 100) i) users, generate_series(1, 100) n;
INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, key, value_bytes, reason, detail, user_id)
SELECT 'weights', 1, '', '', '00000000-0000-0000-0000-000000000001', i, n, u::bytea, 0, 'key', '', u
FROM (SELECT 0 AS i, 'ann' AS u UNION ALL SELECT i, 'other' || i FROM generate_series(1, 100) i) users, generate_series(1, 100) n;
INSERT INTO search_indices (name, mapping_version, state, system_identifier, timeline_id) VALUES ('held', 1, 'live', 0, 0);
ANALYZE`

// selectIDs are the mails of the person that belong to an application, as a literal of an array.
const selectIDs = `
SELECT array_agg(id)::text FROM (SELECT id FROM mails WHERE user_id = 'ann' AND message_id::integer % 2000 BETWEEN 1 AND 100 LIMIT 1000) m`

// Fill fills a migrated database with mailboxes, applications, what was learned and an index to mark for, and returns a literal of an array
// with the ids of 1,000 mails of Person, all of which have an application.
func Fill(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	if _, err := pool.Exec(t.Context(), fill); err != nil {
		t.Fatal(err)
	}
	var ids string
	if err := pool.QueryRow(t.Context(), selectIDs).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	pool.Reset() // what its connections have counted so far is nobody's
	return ids
}
