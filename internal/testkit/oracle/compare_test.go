package oracle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/testkit/oracle"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// rowsSQL has a row of everything that is compared, for TestCompare to change.
const rowsSQL = `
INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at)
VALUES (1, 'ann', 'category:promo', 3, 1, NULL, '2026-03-02T10:00:00.123456Z'), (1, 'bob', 'listid:x', 0, 0, -2.5, '2026-03-02T10:00:00Z');
INSERT INTO policy_days (version, user_id, policy_id, day, fired, approved, rejected, missed, updated_at)
VALUES (1, 'ann', 7, '2026-03-02', 4, 3, 1, 2, '2026-03-02T10:00:00Z');
INSERT INTO applications (version, system, application_id, addresses, company, stage, src_version, removed, updated_at)
VALUES (1, 'lever', '1', '{}', 'Acme', 'Offer', 5, false, now()), (1, 'lever', '2', '{}', 'Acme', 'Offer', 6, true, now());
INSERT INTO mails (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain, recipients, list_id,
                   received_at, category, quarantined, labels, text, truncated, content_hash, updated_at)
VALUES (1, gen_random_uuid(), 'ann', 'm@x', 't', 'hello', '', '', '', '{}', '', '2026-03-02T10:00:00Z', '', false, '{}', '', false, 0, now());
INSERT INTO dead_letters (group_name, version, cluster_id, topic, topic_id, partition, log_offset, value_bytes, reason, detail)
VALUES ('weights', 1, 'c', 'applylens.actions', gen_random_uuid(), 2, 40, 0, 'conflict', '');
INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at, fetched, applied, repeated, dead_lettered)
VALUES ('weights', 1, 'c', 'applylens.actions', gen_random_uuid(), 2, 50, 0, 50, 45, 4, 1);`

func expectation() *oracle.Expected {
	ten, pin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), -2.5
	partition := oracle.Partition{Topic: "applylens.actions", Partition: 2}
	return &oracle.Expected{
		Weights: map[oracle.WeightKey]oracle.Weight{
			{User: "ann", Feature: "category:promo"}: {Approvals: 3, Rejections: 1, UpdatedAt: ten.Add(123456 * time.Microsecond)},
			{User: "bob", Feature: "listid:x"}:       {Pinned: &pin, UpdatedAt: ten},
		},
		Days: map[oracle.DayKey]oracle.Day{{User: "ann", Policy: 7, Day: "2026-03-02"}: {Fired: 4, Approved: 3, Rejected: 1, Missed: 2, UpdatedAt: ten}},
		Mails: map[oracle.MailKey]oracle.Mail{
			{User: "ann", MessageID: "m@x"}: {Subject: "hello", Thread: "t", ReceivedAt: ten},
		},
		Applications: map[oracle.ApplicationKey]oracle.Application{
			{System: "lever", ID: "1"}: {Company: "Acme", Stage: "Offer", SrcVersion: 5},
			{System: "lever", ID: "2"}: {SrcVersion: 6, Removed: true},
		},
		DeadLetters: map[string]map[oracle.Place]string{oracle.Weights: {{Partition: partition, Offset: 40}: "conflict"}},
		Records:     map[oracle.Partition]int64{partition: 50},
	}
}

var everyGroup = []string{oracle.Weights, oracle.PolicyStats, oracle.Mailbox, oracle.Enrichment}

func TestCompare(t *testing.T) {
	tests := []struct{ name, spoil, want string }{
		{"equal", "SELECT 1", ""},
		{"other version is ignored", "CREATE TABLE weight_counts_2 PARTITION OF weight_counts FOR VALUES IN (2); INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (2, 'ann', 'category:promo', 9, 9, now())", ""},
		{"applied twice", "UPDATE weight_counts SET approvals = 4 WHERE user_id = 'ann'", "{ann category:promo}: {approvals 4, rejections 1"},
		{"row lost", "DELETE FROM weight_counts WHERE user_id = 'ann'", "{ann category:promo}: missing, want {approvals 3"},
		{"extra row", "INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, updated_at) VALUES (1, 'eve', 'x', 1, 0, now())", "want no row"},
		{"pin lost", "UPDATE weight_counts SET pinned = NULL", "{bob listid:x}"},
		{"time went back", "UPDATE weight_counts SET updated_at = updated_at - interval '1 microsecond' WHERE user_id = 'ann'", "{ann category:promo}"},
		{"statistics differ", "UPDATE policy_days SET missed = 3", "policy_days: 1 of 1 rows differ"},
		{"application differs", "UPDATE applications SET stage = 'Screen' WHERE application_id = '1'", "applications: 1 of 2 rows differ"},
		{"removed application returns", "UPDATE applications SET removed = false", "applications: 1 of 2 rows differ"},
		{"mail differs", "UPDATE mails SET subject = 'bye'", "mails: 1 of 1 rows differ"},
		{"mail without a Message-ID", "UPDATE mails SET message_id = ''", "1 without a Message-ID, want 0"},
		{"dead letter lost", "DELETE FROM dead_letters", "dead_letters of weights: 1 of 1 rows differ"},
		{"dead letter of another reason", "UPDATE dead_letters SET reason = 'key'", "applylens.actions/2/40: key, want conflict"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pool, _ := testenv.Database(t)
			for _, sql := range []string{rowsSQL, test.spoil} {
				if _, err := pool.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			check(t, oracle.Compare(t.Context(), pool, expectation(), everyGroup...), test.want)
		})
	}
}

func TestCompareLedger(t *testing.T) {
	pool, _ := testenv.Database(t)
	if _, err := pool.Exec(t.Context(), rowsSQL); err != nil {
		t.Fatal(err)
	}
	check(t, oracle.CompareLedger(t.Context(), pool, expectation(), oracle.Weights), "")
	if _, err := pool.Exec(t.Context(), "UPDATE positions SET fetched = fetched + 1, applied = applied + 1"); err != nil {
		t.Fatal(err)
	}
	check(t, oracle.CompareLedger(t.Context(), pool, expectation(), oracle.Weights), "want 50 fetched and 1 dead-lettered")
}

// check requires err to be nil, or to contain want.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%v, want an error that contains %q", err, want)
	}
}
