// Package plans holds prepared statements to what they may cost. From the sixth run of a statement on, PostgreSQL may keep
// one generic plan, made without the values of its parameters. Such a plan can call a set-returning function once for each
// row instead of once, and nothing but the cost tells.
package plans

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How much a generic plan may cost more than a custom one: a factor, and what reading a small table whole comes to.
const (
	slackFactor = 3
	slackPages  = 200
	slackRows   = 10_000
)

// Hold runs a statement with a generic plan and with a custom one, each in a transaction that is rolled back, and reports
// an error when the generic plan visits far more pages or rows. Arguments are as text, arrays as array literals.
func Hold(t testing.TB, pool *pgxpool.Pool, statement string, arguments ...any) {
	t.Helper()
	custom := run(t, pool, "force_custom_plan", statement, arguments)
	generic := run(t, pool, "force_generic_plan", statement, arguments)
	if generic.pages > slackFactor*custom.pages+slackPages || generic.rows > slackFactor*custom.rows+slackRows {
		t.Errorf("the generic plan visits %d pages and %d rows, the custom one %d and %d:\n%s",
			generic.pages, generic.rows, custom.pages, custom.rows, strings.TrimSpace(statement))
	}
}

// cost is what running a plan took.
type cost struct {
	pages int // of the whole plan, functions that it calls included
	rows  int // that its nodes returned or passed over, in all loops
}

// node is a part of a plan as EXPLAIN writes it.
type node struct {
	Hit     int     `json:"Shared Hit Blocks"`
	Read    int     `json:"Shared Read Blocks"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Joined  float64 `json:"Rows Removed by Join Filter"`
	Plans   []node  `json:"Plans"`
}

func (n *node) rows() int {
	total := int((n.Rows + n.Removed + n.Joined) * n.Loops)
	for i := range n.Plans {
		total += n.Plans[i].rows()
	}
	return total
}

func run(t testing.TB, pool *pgxpool.Pool, mode, statement string, arguments []any) (c cost) {
	t.Helper()
	connection, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Release()
	tx, err := connection.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	execute := "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE held" + places(len(arguments))
	var explained []struct{ Plan node }
	var text string
	_, err = tx.Exec(t.Context(), "SET LOCAL plan_cache_mode = "+mode+"; PREPARE held AS "+statement)
	if err == nil {
		err = tx.QueryRow(t.Context(), execute, append([]any{pgx.QueryExecModeSimpleProtocol}, arguments...)...).Scan(&text)
	}
	if err == nil {
		_, err = tx.Exec(t.Context(), "DEALLOCATE held")
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &explained)
	}
	if err != nil {
		t.Fatalf("%s with %s: %v", strings.TrimSpace(statement), mode, err)
	}
	plan := &explained[0].Plan
	return cost{plan.Hit + plan.Read, plan.rows()}
}

// places are the placeholders of arguments.
func places(count int) string {
	if count == 0 {
		return ""
	}
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", i+1)
	}
	return "(" + strings.Join(list, ", ") + ")"
}
