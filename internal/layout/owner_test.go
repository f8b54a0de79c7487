package layout_test

import (
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// owner is the package that writes a table, by its folder or one above it. Others may write it only where a reason says so.
type owner struct {
	folder string
	others map[string]string // folder: why it writes the table too
}

// The folders that own tables.
const (
	actionsFolder   = "internal/actions"
	authFolder      = "internal/auth"
	accountsFolder  = "internal/accounts"
	outboxFolder    = "internal/outbox"
	indexerFolder   = "internal/search/indexer"
	relayFolder     = "producers/relay"
	relayKeyFolder  = "internal/relaykey"
	warehouseFolder = "producers/warehouse"
	loopFolder      = "consumers" // the loop, its ledger and its tools
)

// erased is why internal/person writes tables of the consumers: it cannot call what internal packages do not import.
var erased = map[string]string{"internal/person": "erasing a person is one transaction over the tables of all consumers, which internal packages do not import"}

// owners are the writers of every table. What triggers and functions of the schema write is theirs: own_addresses follows
// users.addresses, and mark_mails, add_new_mails and their like are their owner's whoever calls them.
var owners = map[string]owner{
	// What the API decides by.
	"users":              {actionsFolder, nil},
	"policies":           {actionsFolder, nil},
	"actions":            {actionsFolder, nil},
	"forgotten_features": {actionsFolder, nil},
	"performed_actions":  {actionsFolder, nil},
	"new_mails":          {actionsFolder, nil},
	"new_mail_versions":  {actionsFolder, nil},
	"idempotency_keys":   {actionsFolder, nil},
	"chat_streams":       {actionsFolder, nil},
	"chat_usage":         {actionsFolder, nil},
	"own_addresses":      {actionsFolder, nil},
	"tokens":             {authFolder, nil},
	"uploads":            {"internal/uploads", nil},

	// Mail accounts.
	"accounts":        {accountsFolder, nil},
	"account_leases":  {accountsFolder, nil},
	"account_folders": {accountsFolder, nil},
	"account_mails":   {accountsFolder, nil},

	// Events on their way to Kafka.
	"outbox":              {outboxFolder, map[string]string{relayFolder: "it stamps rows and notes where they were published"}},
	"deployment":          {outboxFolder, nil},
	"restored_partitions": {outboxFolder, nil},
	"relays":              {relayFolder, nil},
	"relay_partitions":    {relayFolder, nil},
	"relay_keys":          {relayKeyFolder, nil},

	// The loop of the consumers.
	"positions":        {loopFolder, nil},
	"position_keys":    {loopFolder, nil},
	"topic_partitions": {loopFolder, nil},
	"relay_sequences":  {loopFolder, nil},
	"erasure_places":   {loopFolder, nil},
	"set_aside":        {loopFolder, nil},
	"position_audit":   {loopFolder, nil},
	"projections":      {loopFolder, nil},
	"versions":         {loopFolder, nil},
	"dead_letters":     {loopFolder, erased},

	// Projections, each by the package of its group.
	"weight_counts":       {"consumers/weights", erased},
	"policy_days":         {"consumers/policystats", erased},
	"mails":               {"consumers/mailbox", erased},
	"mail_addresses":      {"consumers/mailbox", erased},
	"mail_correspondents": {"consumers/mailbox", erased},
	"applications":        {"consumers/enrichment", nil},
	"application_keys":    {"consumers/enrichment", nil},

	// Marks for the index, and its state.
	"dirty_mails": {indexerFolder, nil},
	"dirty_addresses": {indexerFolder, map[string]string{
		"consumers/mailbox": "the fold of an erasure takes away the marks of addresses that are nobody's any more",
		"internal/person":   "so does erasing in the API's database",
	}},
	"dirty_versions": {indexerFolder, nil},
	"search_indices": {indexerFolder, nil},
	"index_ageing":   {indexerFolder, nil},

	// What was read of the warehouse.
	"warehouse_sources":   {warehouseFolder, nil},
	"warehouse_systems":   {warehouseFolder, nil},
	"warehouse_rows":      {warehouseFolder, nil},
	"warehouse_positions": {warehouseFolder, nil},
	"warehouse_audit":     {warehouseFolder, nil},
}

// dynamic are the packages that write tables whose names are not in the statement, with the reason.
var dynamic = map[string]string{
	"consumers/ledger":  "it erases from the versions of a projection, whose tables its group names, and keeps a table of processed effects for each",
	"internal/person":   "it erases from every version of what the groups fold",
	"internal/postgres": "Rows.Copy copies to the table that its caller names; the caller is checked",
}

// elsewhere are the folders that write no database of an operator, with the reason.
var elsewhere = map[string]string{
	"internal/testkit":     "only tests use it",
	"internal/sample/make": "it makes the sample mail for the repository",
	"internal/bench":       "it measures in a database that it creates and drops",
}

// write finds a statement that names the table which it writes; unnamed finds one that gets the name later.
var (
	write   = regexp.MustCompile(`(?i)\b(?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|UPDATE|COPY)\s+(?:ONLY\s+)?"?([a-z_][a-z0-9_]*)`)
	unnamed = regexp.MustCompile(`(?i)\b(?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:%s|"?$)|\bUPDATE\s+(?:%s|")\s+(?:\w+\s+)?SET\b|\bCOPY\s+%s\s*\(`)
)

// created finds the tables of a migration, but not the partitions of one.
var created = regexp.MustCompile(`(?im)^CREATE TABLE (?:IF NOT EXISTS )?([a-z0-9_]+)(\s+PARTITION OF)?`)

// dropped finds the tables that a migration drops.
var dropped = regexp.MustCompile(`(?im)^DROP TABLE (?:IF EXISTS )?([a-z0-9_]+)`)

// tables lists the tables that the migrations leave.
func tables(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "schema", "migrations", "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	var names []string
	for _, file := range files { // in the order of their numbers
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, match := range created.FindAllStringSubmatch(up, -1) {
			if match[2] == "" {
				names = append(names, match[1])
			}
		}
		for _, match := range dropped.FindAllStringSubmatch(up, -1) {
			names = slices.DeleteFunc(names, func(name string) bool { return name == match[1] })
		}
	}
	return names
}

// later stands for a table whose name is not in the statement.
const later = "%s"

// written lists what a Go file writes: names of tables, and later.
func written(file *ast.File) []string {
	var names []string
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.BasicLit:
			text := literal(n)
			for _, match := range write.FindAllStringSubmatch(text, -1) {
				names = append(names, match[1])
			}
			if unnamed.MatchString(text) {
				names = append(names, later)
			}
		case *ast.CallExpr: // Copy(…, "table", …) and CopyFrom(…, pgx.Identifier{"table"}, …)
			if called, ok := n.Fun.(*ast.SelectorExpr); ok && (called.Sel.Name == "Copy" || called.Sel.Name == "CopyFrom") {
				names = append(names, literals(n.Args)...)
			}
		}
		return true
	})
	return names
}

func literal(n *ast.BasicLit) string {
	text, err := strconv.Unquote(n.Value)
	if n.Kind != token.STRING || err != nil {
		return ""
	}
	return text
}

func literals(list []ast.Expr) []string {
	var found []string
	for _, expr := range list {
		switch e := expr.(type) {
		case *ast.BasicLit:
			found = append(found, literal(e))
		case *ast.CompositeLit:
			found = append(found, literals(e.Elts)...)
		}
	}
	return found
}

// writes maps each table that Go code outside of tests writes, and later, to the folders of the code.
func writes(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for path, file := range sources(t) {
		folder := filepath.Dir(path)
		if anyWithin(folder, elsewhere) {
			continue
		}
		for _, table := range written(file) {
			if !slices.Contains(found[table], folder) {
				found[table] = append(found[table], folder)
			}
		}
	}
	return found
}

// anyWithin tells whether a folder is one of those with a reason, or below one.
func anyWithin(folder string, reasons map[string]string) bool {
	for listed := range reasons {
		if within(folder, listed) {
			return true
		}
	}
	return false
}

// mayWrite tells whether a folder is the owner's, or below it and no owner itself, or has a reason to write the table.
func (o owner) mayWrite(folder string) bool {
	if anyWithin(folder, o.others) {
		return true
	}
	if !within(folder, o.folder) {
		return false
	}
	for _, other := range owners { // consumers owns what its subfolders write, except where they are projections of their own
		if other.folder != o.folder && within(other.folder, o.folder) && within(folder, other.folder) {
			return false
		}
	}
	return true
}

func TestEveryTableHasOneOwner(t *testing.T) {
	known, found := tables(t), writes(t)
	for _, table := range known {
		o, listed := owners[table]
		if !listed {
			t.Errorf("table %s has no owner in owners: name the one package that writes it", table)
			continue
		}
		for _, folder := range found[table] {
			if !o.mayWrite(folder) {
				t.Errorf("%s writes table %s, which %s owns: call a function of the owner, or give a reason in owners", folder, table, o.folder)
			}
		}
		for folder := range o.others {
			if !slices.ContainsFunc(slices.Concat(found[table], found[later]), func(f string) bool { return within(f, folder) }) {
				t.Errorf("%s is excused for writing table %s but does not write it", folder, table)
			}
		}
	}
	for table := range maps.Keys(owners) {
		if !slices.Contains(known, table) {
			t.Errorf("owners lists table %s, which no migration creates", table)
		}
	}
	for _, folder := range found[later] {
		if !anyWithin(folder, dynamic) {
			t.Errorf("%s writes a table whose name is not in the statement: name it there, or give a reason in dynamic", folder)
		}
	}
}

// The scan must see what it is meant to see.
func TestWritesAreFound(t *testing.T) {
	file := parse(t, `package p
const a = "INSERT INTO alpha (x) VALUES (1) ON CONFLICT DO UPDATE SET x = 1"
const b = `+"`WITH gone AS (\nDELETE FROM\n    beta RETURNING id) UPDATE ONLY gamma SET x = 1`"+`
const c = "SELECT FROM delta FOR NO KEY UPDATE"
func f() { rows.Copy(ctx, tx, "epsilon", "x"); tx.CopyFrom(ctx, pgx.Identifier{"zeta"}, nil, nil); run("delete from %s") }
`)
	got := written(file)
	for _, want := range []string{"alpha", "beta", "gamma", "epsilon", "zeta", later} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not found in %q", want, got)
		}
	}
	if slices.Contains(got, "delta") {
		t.Error("a lock counts as a write")
	}
}

func TestOnlyTheOwnerMayWrite(t *testing.T) {
	f := func(table, folder string, want bool) {
		t.Helper()
		if got := owners[table].mayWrite(folder); got != want {
			t.Errorf("%s may write %s: %t, want %t", folder, table, got, want)
		}
	}
	f("users", actionsFolder, true)
	f("users", "internal/api", false)
	f("users", "internal/actionsandmore", false)
	f("outbox", relayFolder, true) // for a reason
	f("relays", outboxFolder, false)
	f("weight_counts", "consumers/weights", true)
	f("weight_counts", loopFolder, false)
	f("positions", "consumers/weights", false) // a projection is no part of the loop
}
