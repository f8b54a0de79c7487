package indexer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/search/elastic"
)

const (
	// excludeMarkers waits for every transaction that may have marked nothing because there was no index, and lets later
	// ones wait until they can see it. It is one lock, which each of them takes before any other lock of marks.
	excludeMarkers = `
LOCK TABLE dirty_mails IN SHARE ROW EXCLUSIVE MODE`

	// selectIndices lists what there is.
	selectIndices = `
SELECT name, mapping_version, state, system_identifier, timeline_id FROM search_indices ORDER BY created_at, name`

	// insertIndex plans an index.
	insertIndex = `
INSERT INTO search_indices (name, mapping_version, state, system_identifier, timeline_id) VALUES ($1, $2, 'planned', $3, $4)`

	// setState moves an index from one state to another.
	setState = `
UPDATE search_indices SET state = $3, live_at = CASE WHEN $3 = 'live' THEN now() ELSE live_at END WHERE name = $1 AND state = $2`

	// retireOthers retires what was behind the alias before.
	retireOthers = `
UPDATE search_indices SET state = 'retired' WHERE state IN ('live', 'frozen') AND name <> $1`

	// deleteIndex forgets an index that is gone.
	deleteIndex = `
DELETE FROM search_indices WHERE name = $1`

	// forget leaves no index and no mark.
	forget = `
WITH indices AS (DELETE FROM search_indices), mails AS (DELETE FROM dirty_mails), addresses AS (DELETE FROM dirty_addresses)
DELETE FROM dirty_versions`

	// markEverything marks every mail of the live mailbox.
	markEverything = `
SELECT mark_versions(ARRAY(SELECT live_version FROM projections WHERE group_name = 'mailbox'))`

	// beginAgeing starts the clock of ageing; what is older is read anyway.
	beginAgeing = `
UPDATE index_ageing SET aged_until = GREATEST(aged_until, $1)`

	// selectBackfilling tells whether there is still something to read that nobody has read for a new index.
	selectBackfilling = `
SELECT EXISTS (SELECT FROM dirty_versions) OR EXISTS (SELECT FROM dirty_mails WHERE backfill AND refusals = 0)`

	// selectDrawn reads the last version that was drawn.
	selectDrawn = `
SELECT last_value FROM index_rev`

	// selectDeployment tells whose the index is.
	selectDeployment = `
SELECT id::text FROM deployment`
)

// The states of an index, as the table explains them.
const (
	planned  = "planned"
	building = "building"
	live     = "live"
	frozen   = "frozen"
	retired  = "retired"
)

// index is a row of search_indices.
type index struct {
	Name           string
	MappingVersion int
	State          string
	System         int64
	Timeline       int32
}

// indices are all rows.
type indices []index

// in returns the index in a state, or nil.
func (list indices) in(state string) *index {
	for i := range list {
		if list[i].State == state {
			return &list[i]
		}
	}
	return nil
}

func readIndices(ctx context.Context, db querier) (indices, error) {
	rows, err := db.Query(ctx, selectIndices)
	if err != nil {
		return nil, fmt.Errorf("list indices: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, fmt.Errorf("list indices: %w", err)
	}
	return list, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

// Plan sees to it that there is an index for the database as it is: none is planned when the live one, or one that is
// being built, was made by this server for this mapping or, unless upgrade, any mapping. The indexer makes a planned
// index and fills it beside the one that is searched. It returns the name of a newly planned one.
func Plan(ctx context.Context, pool *pgxpool.Pool, client *elastic.Client, upgrade bool) (name string, err error) {
	if err := CheckAlias(ctx, pool, client); err != nil {
		return "", err
	}
	now, err := survey(ctx, pool, upgrade)
	if err != nil || now.enough {
		return "", err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		name, err = plan(ctx, tx, client.Alias(), upgrade)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("plan an index: %w", err)
	}
	return name, nil
}

// plan does under the lock what survey asks for.
func plan(ctx context.Context, tx pgx.Tx, alias string, upgrade bool) (string, error) {
	if _, err := tx.Exec(ctx, excludeMarkers); err != nil {
		return "", err
	}
	now, err := survey(ctx, tx, upgrade)
	if err != nil || now.enough {
		return "", err
	}
	for i := range now.useless {
		if err := freeze(ctx, tx, &now.useless[i]); err != nil {
			return "", err
		}
	}
	name := alias + "-" + strings.ToLower(rand.Text()[:10])
	if _, err := tx.Exec(ctx, insertIndex, name, elastic.MappingVersion(), now.here.System, now.here.Timeline); err != nil {
		return "", err
	}
	return name, nil
}

// surveyed is what there is and what it is good for.
type surveyed struct {
	here    outbox.Server
	enough  bool    // an index is there or comes that need not be replaced
	useless indices // those that take no more documents
}

func survey(ctx context.Context, db querier, upgrade bool) (surveyed, error) {
	var now surveyed
	list, err := readIndices(ctx, db)
	if err != nil {
		return now, err
	}
	if now.here, err = outbox.Identity(ctx, db); err != nil {
		return now, err
	}
	for _, found := range list {
		if found.State == frozen || found.State == retired {
			continue
		}
		outdated := upgrade && found.MappingVersion < elastic.MappingVersion()
		switch {
		case found.System != now.here.System || found.Timeline != now.here.Timeline, outdated && found.State != live:
			now.useless = append(now.useless, found)
		case !outdated: // an outdated live one goes on until the next is complete
			now.enough = true
		}
	}
	return now, nil
}

// freeze ends the writing of an index: one that is searched stays until another can take its place.
func freeze(ctx context.Context, tx pgx.Tx, found *index) error {
	to := retired
	if found.State == live {
		to = frozen
	}
	return move(ctx, tx, found.Name, found.State, to)
}

// move moves an index to another state; it is an error when somebody else has moved it meanwhile.
func move(ctx context.Context, tx pgx.Tx, name, from, to string) error {
	moved, err := tx.Exec(ctx, setState, name, from, to)
	if err == nil && moved.RowsAffected() == 0 {
		err = fmt.Errorf("index %s is no longer %s", name, from)
	}
	return err
}

// CheckAlias returns an error when the alias shows an index of another deployment.
func CheckAlias(ctx context.Context, pool *pgxpool.Pool, client *elastic.Client) error {
	deployment, err := deploymentID(ctx, pool)
	if err != nil {
		return err
	}
	owners, err := client.Owners(ctx, client.Alias())
	if err != nil {
		return err
	}
	for index, owner := range owners {
		if owner != deployment {
			return fmt.Errorf("alias %s shows index %s, which is not this deployment's: choose another with --elasticsearch-alias", client.Alias(), index)
		}
	}
	return nil
}

func deploymentID(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var id string
	if err := pool.QueryRow(ctx, selectDeployment).Scan(&id); err != nil {
		return "", fmt.Errorf("read deployment id: %w", err)
	}
	return id, nil
}

// tend moves indices to their next state, and returns them.
func (x *indexer) tend(ctx context.Context, idle bool) (indices, error) {
	list, err := readIndices(ctx, x.Pool)
	if err != nil {
		return nil, err
	}
	if found := list.in(planned); found != nil {
		if err := x.create(ctx, found); err != nil {
			return nil, err
		}
	}
	if found := list.in(building); found != nil && idle {
		if err := x.serve(ctx, found); err != nil {
			return nil, err
		}
	}
	for i := range list {
		if list[i].State == retired {
			if err := x.remove(ctx, list[i].Name); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// writable lists the names of those that take documents.
func (list indices) writable() []string {
	var names []string
	for _, found := range list {
		if found.State == building || found.State == live {
			names = append(names, found.Name)
		}
	}
	return names
}

// create makes a planned index, which begins to take documents, and marks everything for it.
func (x *indexer) create(ctx context.Context, found *index) error {
	deployment, err := deploymentID(ctx, x.Pool)
	if err != nil {
		return err
	}
	if err := x.Client.Create(ctx, found.Name, deployment); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, markEverything); err != nil {
			return err
		}
		if err := move(ctx, tx, found.Name, planned, building); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, beginAgeing, x.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("begin to build %s: %w", found.Name, err)
	}
	found.State = building
	x.Log.Info("building an index", "index", found.Name)
	return nil
}

// serve lets searches read an index that has everything.
func (x *indexer) serve(ctx context.Context, found *index) error {
	var backfilling bool
	if err := x.Pool.QueryRow(ctx, selectBackfilling).Scan(&backfilling); err != nil || backfilling {
		return err
	}
	if err := CheckAlias(ctx, x.Pool, x.Client); err != nil {
		return err
	}
	before, err := x.Client.Owners(ctx, x.Client.Alias())
	if err != nil {
		return err
	}
	if err := x.held(ctx); err != nil {
		return err
	}
	if err := errors.Join(x.Client.Refresh(ctx, found.Name), x.Client.Serve(ctx, found.Name)); err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, retireOthers, found.Name); err != nil {
			return err
		}
		return move(ctx, tx, found.Name, building, live)
	})
	if err != nil {
		return fmt.Errorf("note that %s is live: %w", found.Name, err)
	}
	found.State = live
	x.Log.Info("searches read the index", "index", found.Name)
	for replaced := range before { // also one that a restored database knows nothing of
		if replaced != found.Name {
			err = errors.Join(err, x.remove(ctx, replaced))
		}
	}
	return err
}

// remove deletes an index in Elasticsearch, and then forgets it.
func (x *indexer) remove(ctx context.Context, name string) error {
	if err := x.Client.Drop(ctx, name); err != nil {
		return err
	}
	if _, err := x.Pool.Exec(ctx, deleteIndex, name); err != nil {
		return fmt.Errorf("forget index %s: %w", name, err)
	}
	return nil
}

// check sees to it that the indices exist, that searches read the live one, and that none knows more than the database,
// whatever somebody did in Elasticsearch or restored. Another index takes the place of one that is lost or ahead.
func (x *indexer) check(ctx context.Context) error {
	if err := CheckAlias(ctx, x.Pool, x.Client); err != nil {
		return err
	}
	list, err := readIndices(ctx, x.Pool)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].State == building || list[i].State == live {
			if err := x.checkOne(ctx, &list[i]); err != nil {
				return err
			}
		}
	}
	x.targets = nil
	_, err = Plan(ctx, x.Pool, x.Client, false)
	return err
}

func (x *indexer) checkOne(ctx context.Context, found *index) error {
	owners, err := x.Client.Owners(ctx, found.Name)
	if err != nil {
		return err
	}
	if len(owners) == 0 {
		x.Log.Warn("the index is gone: another takes its place", "index", found.Name)
		if _, err := x.Pool.Exec(ctx, deleteIndex, found.Name); err != nil {
			return fmt.Errorf("forget index %s: %w", found.Name, err)
		}
		return nil
	}
	newest, err := x.Client.Newest(ctx, found.Name)
	if err != nil {
		return err
	}
	var drawn int64
	if err := x.Pool.QueryRow(ctx, selectDrawn).Scan(&drawn); err != nil {
		return fmt.Errorf("read the last version: %w", err)
	}
	if newest > drawn {
		x.Log.Warn("the index is ahead of the database, which was restored: another takes its place", "index", found.Name)
		return pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error { return freeze(ctx, tx, found) })
	}
	if found.State == live {
		if err := x.held(ctx); err != nil {
			return err
		}
		return x.Client.Serve(ctx, found.Name)
	}
	return nil
}

// Indices lists the names of the indices that the database knows.
func Indices(ctx context.Context, pool *pgxpool.Pool) ([]string, error) {
	list, err := readIndices(ctx, pool)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names, nil
}

// Forget deletes all indices and marks: from then on nobody marks anything. An indexer that still runs makes another
// index.
func Forget(ctx context.Context, pool *pgxpool.Pool, client *elastic.Client) error {
	names, err := Indices(ctx, pool)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := client.Drop(ctx, name); err != nil {
			return err
		}
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, excludeMarkers); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, forget)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget the index: %w", err)
	}
	return nil
}

// Settled tells whether everything of a person's that was folded before a time can be found. now is the clock by which
// the time was taken; the database's own may differ.
func Settled(ctx context.Context, pool *pgxpool.Pool, userID string, asked, now time.Time) (bool, error) {
	var settled bool
	if err := pool.QueryRow(ctx, selectSettled, asked, now, userID).Scan(&settled); err != nil {
		return false, fmt.Errorf("look for marks: %w", err)
	}
	return settled, nil
}
