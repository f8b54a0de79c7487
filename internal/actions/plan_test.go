package actions

import (
	"testing"

	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// TestPlansAreBounded: what the chat asks for costs no more with the plans that PostgreSQL keeps.
func TestPlansAreBounded(t *testing.T) {
	t.Parallel()
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	if _, err := pool.Exec(t.Context(), `
		INSERT INTO chat_streams (hash, user_id, request)
		SELECT sha256((u.id || '/' || n)::bytea), u.id, '{}' FROM users u, generate_series(1, 100) n; ANALYZE chat_streams`); err != nil {
		t.Fatal(err)
	}
	plans.Hold(t, pool, selectAbout, plans.Person, `{1,2,3,4,5,none}`, 5)
	plans.Hold(t, pool, useStream, `\x00`, plans.Person)
	plans.Hold(t, pool, deleteStreams)
	plans.Hold(t, pool, deleteSurplus, plans.Person)
}
