package person

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// abundant is a table that may have much of a person, and the order in which its rows are locked.
type abundant struct{ table, order string }

// ahead are the tables that may have much of a person. The order is that of a fold, but for mails: to put all of them into the
// order of their ids each time would take longer than to meet a deadlock once in a while.
var ahead = []abundant{
	{"weight_counts", "feature"},
	{"policy_days", "policy_id, day"},
	{"mails", "received_at DESC, id"},
	{"mail_correspondents", "address"},
}

// eraseSome deletes some of a person's rows from one version of a table. eraseSomeMails does so for mails and marks each of
// them, so that the indexer deletes its document. Both tell how many they were.
const (
	eraseSome = `
WITH found AS MATERIALIZED (SELECT ctid FROM %[1]s WHERE user_id = $1 ORDER BY %[2]s LIMIT $2 FOR UPDATE),
gone AS (DELETE FROM %[1]s WHERE ctid = ANY (ARRAY(SELECT ctid FROM found)) RETURNING true)
SELECT count(*) FROM gone`
	eraseSomeMails = `
WITH found AS MATERIALIZED (SELECT ctid FROM %[1]s WHERE user_id = $1 ORDER BY %[2]s LIMIT $2 FOR UPDATE),
gone AS (DELETE FROM %[1]s WHERE ctid = ANY (ARRAY(SELECT ctid FROM found)) RETURNING id),
marked AS (SELECT mark_mails(array_agg(id)) FROM gone)
SELECT count(*) FROM gone, marked`
)

func (a abundant) statement() string {
	if a.table == "mails" {
		return eraseSomeMails
	}
	return eraseSome
}

// someRows bounds the rows that one transaction deletes, and with it how long a fold may wait for them.
const someRows = 1000

// eraseAhead deletes the person from all versions of the tables that may have much of them, and tells how many rows. What is
// folded meanwhile is left to the transaction that comes after.
func eraseAhead(ctx context.Context, pool *pgxpool.Pool, id string) (Counts, error) {
	rows := Counts{}
	for _, a := range ahead {
		found, err := pool.Query(ctx, selectVersions, []string{a.table})
		if err != nil {
			return nil, fmt.Errorf("look for the versions of %s: %w", a.table, err)
		}
		versions, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("look for the versions of %s: %w", a.table, err)
		}
		for _, version := range versions {
			n, err := eraseVersion(ctx, pool, fmt.Sprintf(a.statement(), pgx.Identifier{version}.Sanitize(), a.order), id)
			if err != nil {
				return nil, fmt.Errorf("erase from %s: %w", version, err)
			}
			rows[a.table] += n
		}
	}
	return rows, nil
}

// eraseVersion runs a statement that deletes some rows until it has deleted all, each time in a transaction of its own. A
// version that is dropped meanwhile has none.
func eraseVersion(ctx context.Context, pool *pgxpool.Pool, statement, id string) (total int64, err error) {
	const undefinedTable = "42P01"
	for n := int64(someRows); n == someRows; total += n {
		err := despiteDeadlocks(ctx, pool, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, statement, id, someRows).Scan(&n)
		})
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == undefinedTable {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
