package layout_test

import (
	"go/ast"
	"path/filepath"
	"slices"
	"testing"
)

const (
	pgxPackage = "github.com/jackc/pgx/v5"
	pgxPool    = "github.com/jackc/pgx/v5/pgxpool"
	pgxConn    = "github.com/jackc/pgx/v5/pgconn"
	netHTTP    = "net/http"
)

// unbounded are what can wait for a server for ever, by package. internal/postgres opens connections whose statements have a
// deadline each, internal/broker clients whose requests have; whatever opens others, or reaches below, has to see to it.
var unbounded = map[string][]string{
	pgxPackage:     {"Connect", "ConnectConfig", "ConnectWithOptions"},
	pgxPool:        {"New", "NewWithConfig"},
	pgxConn:        {"Connect", "ConnectConfig", "ConnectWithOptions"},
	"database/sql": {"Open", "OpenDB"},
	kafkaGo:        {"Client", "Transport", "Dialer", "DefaultTransport", "DefaultClientID"},
	netHTTP:        {"DefaultClient", "Get", "Post", "PostForm", "Head", "Client"},
	"net":          {"Dial"},
}

// beneath are methods of connections that no deadline is put on, whoever made them.
var beneath = []string{"PgConn", "Hijack", "Ping", "WaitForNotification"}

// bounded are the folders that use them all the same, with the reason.
var bounded = map[string]string{
	"internal/dialer":              "its connections and its HTTP client have time limits",
	"internal/postgres":            "it puts the deadlines on",
	"internal/broker":              "its clients have time limits",
	"internal/embedded":            "it looks whether its own server has started, again and again",
	"internal/bench":               "it measures, and somebody waits for it",
	"internal/testkit":             "its callers are tests, which have a deadline",
	"producers/client":             "its Writer has a time limit for each batch",
	"producers/relay":              "WaitForNotification only saves the wait for the next poll",
	"producers/warehouse":          "PgConn only bounds the size of an answer",
	"producers/warehouse/bigquery": "every call has a deadline of its own",
	"internal/chat/llm":            "every request has a deadline of its own",
	"cmd/applylens":                "the demo asks the server in its own process",
	"web/page":                     "its client of the OpenID provider has a time limit",
}

// waits lists what a file uses that may wait for ever. A Ping of internal/postgres is bounded.
func waits(file *ast.File) []string {
	var found []string
	imported := names(file)
	ast.Inspect(file, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, named := selector.X.(*ast.Ident)
		switch {
		case named && slices.Contains(unbounded[imported[of.Name]], selector.Sel.Name):
			found = append(found, of.Name+"."+selector.Sel.Name)
		case named && imported[of.Name] == module+"internal/postgres":
		case slices.Contains(beneath, selector.Sel.Name):
			found = append(found, selector.Sel.Name)
		}
		return true
	})
	return found
}

func TestNothingWaitsForAServerForEver(t *testing.T) {
	used := map[string]bool{}
	for name, file := range sources(t) {
		folder := filepath.ToSlash(filepath.Dir(name))
		for _, what := range waits(file) {
			used[folder] = true
			if !anyWithin(folder, bounded) {
				t.Errorf("%s uses %s, which has no deadline: use internal/postgres or internal/broker, or give a reason in bounded", name, what)
			}
		}
	}
	checkUsed(t, "waiting without a deadline", bounded, used)
}

// The scan must see what it is meant to see, also under other names.
func TestWaitsAreFound(t *testing.T) {
	file := parse(t, `package p
import (
	"net/http"
	"github.com/segmentio/kafka-go"
	"github.com/jackc/pgx/v5"
	db "github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/applylens/applylens/internal/postgres"
)
func f() {
	db.Connect(ctx, url); pgx.ConnectConfig(ctx, c); pgxpool.New(ctx, url); s.pool.Ping(ctx); conn.PgConn().Exec(ctx, "SELECT 1")
	postgres.Ping(ctx, pool); postgres.Connect(ctx, pool, nil); pool.Query(ctx, "SELECT 1")
	_ = kafka.Client{}; http.DefaultClient.Do(r); http.NewRequest("GET", "/", nil)
}
`)
	got := waits(file)
	slices.Sort(got)
	want := []string{"PgConn", "Ping", "db.Connect", "http.DefaultClient", "kafka.Client", "pgx.ConnectConfig", "pgxpool.New"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
