package actions

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// aboutNewMail fills a database and returns the statements on new mail with their arguments.
func aboutNewMail(t *testing.T) (*pgxpool.Pool, map[string][]any) {
	t.Helper()
	pool, _ := testenv.Database(t)
	list := strings.Split(strings.Trim(plans.Fill(t, pool), "{}"), ",")
	ids := "{" + strings.Join(list[:200], ",") + "}"
	return pool, map[string][]any{
		selectWaitingPersons: {"", 500}, selectWaitingMails: {plans.Person, false, 200}, selectLateComing: {plans.Person},
		countProposed: {plans.Person}, considerMails: {plans.Person, ids}, noteProposed: {plans.Person, ids}, passOver: {plans.Person, false, 5000},
		selectProposedMails: {plans.Person, ids}, lookThroughVersion: {1, "00000000-0000-0000-0000-000000000000", 5000},
	}
}

// TestPlansAreBounded: new mail is found with the plan that PostgreSQL keeps as with another.
func TestPlansAreBounded(t *testing.T) {
	pool, statements := aboutNewMail(t)
	for sql, arguments := range statements {
		plans.Hold(t, pool, sql, arguments...)
	}
}

// TestNewMailIsFoundByPerson: by an index, whatever mail others have.
func TestNewMailIsFoundByPerson(t *testing.T) {
	pool, statements := aboutNewMail(t)
	for sql, arguments := range statements {
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), plans.NoScans(mode))
				if err == nil {
					_, err = tx.Exec(t.Context(), sql, arguments...)
				}
				plans.HoldScans(t, tx, sql)
				return err
			})
			if err != nil {
				t.Fatal(sql, err)
			}
		}
	}
}

// TestChatPlansAreBounded: what the chat and the page of a mail ask for costs no more with the plans that PostgreSQL keeps.
func TestChatPlansAreBounded(t *testing.T) {
	t.Parallel()
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO chat_streams (hash, user_id, request)
		SELECT sha256((u.id || '/' || n)::bytea), u.id, '{}' FROM users u, generate_series(1, 100) n; ANALYZE chat_streams`); err != nil {
		t.Fatal(err)
	}
	plans.Hold(t, pool, selectAbout, plans.Person, `{1,2,3,4,5,none}`, 5)
	plans.Hold(t, pool, selectOnMail, plans.Person, "1", 100)
	plans.Hold(t, pool, useStream, `\x00`, plans.Person)
	plans.Hold(t, pool, deleteStreams)
	plans.Hold(t, pool, deleteSurplus, plans.Person)
}
