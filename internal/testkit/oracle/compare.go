package oracle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	weightsSQL = `
SELECT user_id, feature, approvals, rejections, pinned, updated_at FROM live_weight_counts`

	daysSQL = `
SELECT user_id, policy_id, day, fired, approved, rejected, missed, updated_at FROM live_policy_days`

	mailsSQL = `
SELECT user_id, message_id, subject, thread, list_id, received_at FROM live_mails WHERE message_id <> ''`

	applicationsSQL = `
SELECT system, application_id, company, stage, src_version, removed FROM live_applications`

	deadLettersSQL = `
SELECT topic, partition, log_offset, reason FROM dead_letters WHERE group_name = $1`

	// ledgerSQL sums the counts over all topic ids of a topic.
	ledgerSQL = `
SELECT topic, partition, sum(fetched)::bigint, sum(applied)::bigint, sum(repeated)::bigint, sum(dead_lettered)::bigint
FROM positions
WHERE group_name = $1 AND version = (SELECT live_version FROM projections WHERE group_name = $1)
GROUP BY topic, partition`
)

// mostShown is how many differences per table an error lists.
const mostShown = 10

// Compare compares the live versions of groups with the expected tables in one snapshot, and returns the differences of each
// table with their first rows. Dead letters are compared by position and reason.
func Compare(ctx context.Context, pool *pgxpool.Pool, expected *Expected, groups ...string) error {
	return inSnapshot(ctx, pool, func(tx pgx.Tx) error {
		var faults []error
		for _, group := range groups {
			faults = append(faults, compareTable(ctx, tx, expected, group), compareDeadLetters(ctx, tx, expected, group))
		}
		return errors.Join(faults...)
	})
}

// CompareLedger checks that the counts of groups include every record of the log once. It does not apply after an operator
// moved a position.
func CompareLedger(ctx context.Context, pool *pgxpool.Pool, expected *Expected, groups ...string) error {
	return inSnapshot(ctx, pool, func(tx pgx.Tx) error {
		var faults []error
		for _, group := range groups {
			faults = append(faults, compareLedger(ctx, tx, expected, group))
		}
		return errors.Join(faults...)
	})
}

func inSnapshot(ctx context.Context, pool *pgxpool.Pool, look func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, look)
}

func compareTable(ctx context.Context, tx pgx.Tx, expected *Expected, group string) error {
	switch group {
	case Weights:
		got, err := collect(ctx, tx, weightsSQL, func(row pgx.CollectableRow) (key WeightKey, w Weight, err error) {
			err = row.Scan(&key.User, &key.Feature, &w.Approvals, &w.Rejections, &w.Pinned, &w.UpdatedAt)
			w.UpdatedAt = w.UpdatedAt.UTC()
			return key, w, err
		})
		return errors.Join(err, diff("weight_counts", expected.Weights, got))
	case PolicyStats:
		got, err := collect(ctx, tx, daysSQL, func(row pgx.CollectableRow) (key DayKey, d Day, err error) {
			var day time.Time
			err = row.Scan(&key.User, &key.Policy, &day, &d.Fired, &d.Approved, &d.Rejected, &d.Missed, &d.UpdatedAt)
			key.Day, d.UpdatedAt = day.Format(time.DateOnly), d.UpdatedAt.UTC()
			return key, d, err
		})
		return errors.Join(err, diff("policy_days", expected.Days, got))
	case Mailbox:
		return compareMails(ctx, tx, expected)
	case Enrichment:
		got, err := collect(ctx, tx, applicationsSQL, func(row pgx.CollectableRow) (key ApplicationKey, a Application, err error) {
			err = row.Scan(&key.System, &key.ID, &a.Company, &a.Stage, &a.SrcVersion, &a.Removed)
			if a.Removed {
				a = Application{SrcVersion: a.SrcVersion, Removed: true}
			}
			return key, a, err
		})
		return errors.Join(err, diff("applications", expected.Applications, got))
	}
	return fmt.Errorf("no group is called %q", group)
}

// compareMails compares the mails with a Message-ID, and the number of the others, since the table does not have the hash that
// identifies them.
func compareMails(ctx context.Context, tx pgx.Tx, expected *Expected) error {
	got, err := collect(ctx, tx, mailsSQL, func(row pgx.CollectableRow) (key MailKey, m Mail, err error) {
		err = row.Scan(&key.User, &key.MessageID, &m.Subject, &m.Thread, &m.ListID, &m.ReceivedAt)
		m.ReceivedAt = m.ReceivedAt.UTC()
		return key, m, err
	})
	if err != nil {
		return err
	}
	want, unnamed := map[MailKey]Mail{}, 0
	for key, mail := range expected.Mails {
		if key.MessageID == "" {
			unnamed++
			continue
		}
		want[key] = mail
	}
	var others int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM live_mails WHERE message_id = ''").Scan(&others); err != nil {
		return fmt.Errorf("count mails: %w", err)
	}
	if others != unnamed {
		err = fmt.Errorf("mails: %d without a Message-ID, want %d", others, unnamed)
	}
	return errors.Join(err, diff("mails", want, got))
}

func compareDeadLetters(ctx context.Context, tx pgx.Tx, expected *Expected, group string) error {
	got, err := collect(ctx, tx, deadLettersSQL, func(row pgx.CollectableRow) (place Place, reason string, err error) {
		err = row.Scan(&place.Topic, &place.Partition.Partition, &place.Offset, &reason)
		return place, reason, err
	}, group)
	return errors.Join(err, diff("dead_letters of "+group, expected.DeadLetters[group], got))
}

// ledger has the counts of a position.
type ledger struct{ Fetched, Applied, Repeated, DeadLettered int64 }

func compareLedger(ctx context.Context, tx pgx.Tx, expected *Expected, group string) error {
	got, err := collect(ctx, tx, ledgerSQL, func(row pgx.CollectableRow) (at Partition, l ledger, err error) {
		err = row.Scan(&at.Topic, &at.Partition, &l.Fetched, &l.Applied, &l.Repeated, &l.DeadLettered)
		return at, l, err
	}, group)
	if err != nil {
		return err
	}
	var faults []error
	dead := map[Partition]int64{}
	for place := range expected.DeadLetters[group] {
		dead[place.Partition]++
	}
	for at, records := range expected.Records {
		if l := got[at]; at.Topic == topicOf[group] && (l.Fetched != records || l.DeadLettered != dead[at]) {
			faults = append(faults, fmt.Errorf("ledger of %s %s/%d: %+v, want %d fetched and %d dead-lettered", group, at.Topic, at.Partition, l, records, dead[at]))
		}
	}
	return errors.Join(faults...)
}

func collect[K comparable, V any](ctx context.Context, tx pgx.Tx, query string, scan func(pgx.CollectableRow) (K, V, error), args ...any) (map[K]V, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read projection: %w", err)
	}
	defer rows.Close()
	found := map[K]V{}
	for rows.Next() {
		key, value, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read projection: %w", err)
		}
		if _, twice := found[key]; twice {
			return nil, fmt.Errorf("read projection: two rows for %v", key)
		}
		found[key] = value
	}
	return found, rows.Err()
}

// diff returns the differences between got and want, in a stable order.
func diff[K comparable, V any](table string, want, got map[K]V) error {
	var lines []string
	for key, w := range want {
		g, found := got[key]
		switch {
		case !found:
			lines = append(lines, fmt.Sprintf("  %v: missing, want %s", key, show(w)))
		case show(g) != show(w):
			lines = append(lines, fmt.Sprintf("  %v: %s, want %s", key, show(g), show(w)))
		}
	}
	for key, g := range got {
		if _, found := want[key]; !found {
			lines = append(lines, fmt.Sprintf("  %v: %s, want no row", key, show(g)))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	count := len(lines)
	if count > mostShown {
		lines = append(lines[:mostShown], "  ...")
	}
	return fmt.Errorf("%s: %d of %d rows differ:\n%s", table, count, len(want), strings.Join(lines, "\n"))
}

// show formats a row. Equal rows have equal texts.
func show(row any) string {
	if w, ok := row.(Weight); ok {
		pinned := "none"
		if w.Pinned != nil {
			pinned = fmt.Sprint(*w.Pinned)
		}
		return fmt.Sprintf("{approvals %d, rejections %d, pinned %s, updated %s}", w.Approvals, w.Rejections, pinned, w.UpdatedAt.Format(time.RFC3339Nano))
	}
	return fmt.Sprintf("%+v", row)
}
