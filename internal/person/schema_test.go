package person

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// ofNobody are the tables that hold nothing of a person, or nothing that an export should give them, with the reason.
var ofNobody = map[string]string{
	"application_keys":    "the warehouse's, as the next",
	"applications":        "the warehouse's: they go when they are removed there",
	"deployment":          "the identity of the deployment",
	"dirty_addresses":     "marks for the indexer; Erase takes those of a person",
	"dirty_mails":         "marks for the indexer, by ids that are hashes",
	"dirty_versions":      "marks for the indexer, by numbers of versions",
	"erasure_places":      "where erasures are in the log, by hashes",
	"goose_db_version":    "which migrations were applied",
	"index_ageing":        "a time",
	"new_mail_versions":   "numbers of versions, and ids that are hashes",
	"position_keys":       "numbers",
	"position_audit":      "what operators did, and why",
	"positions":           "offsets",
	"projections":         "which version is live",
	"relay_keys":          "keys",
	"relay_partitions":    "offsets",
	"relay_sequences":     "numbers",
	"relays":              "the terms of relays",
	"restored_partitions": "which partitions of the log were read",
	"set_aside":           "which sources are set aside",
	"search_indices":      "names and states of indices",
	"topic_partitions":    "counts",
	"versions":            "which versions there are",

	// No address or name of a candidate, only hashes and numbers.
	"warehouse_audit":     "what operators let pass, and why",
	"warehouse_positions": "offsets",
	"warehouse_rows":      "hashes",
	"warehouse_sources":   "when they were read",
	"warehouse_systems":   "which source writes them",
}

const selectTables = `
SELECT c.relname::text,
       EXISTS (SELECT FROM information_schema.columns i
               WHERE i.table_schema = n.nspname AND i.table_name = c.relname AND i.column_name ~ 'user|person')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relname !~ '^processed_effects_'
ORDER BY 1`

// exportedTables are the tables of parts, without views on what is nobody's.
func exportedTables() []string {
	var names []string
	for _, p := range parts {
		if !strings.HasPrefix(p.table, "live_") {
			names = append(names, p.table)
		}
	}
	return names
}

// A new table fails this test until somebody has decided what export and erasing do with it.
func TestEveryTableIsDecidedUpon(t *testing.T) {
	pool, _ := testenv.Database(t)
	rows, err := pool.Query(t.Context(), selectTables)
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, name := range exportedTables() {
		exported[name] = true
	}
	var name string
	var personal bool
	seen := map[string]bool{}
	_, err = pgx.ForEachRow(rows, []any{&name, &personal}, func() error {
		_, excused := ofNobody[name]
		switch {
		case exported[name] == excused:
			t.Errorf("table %s: decide whether it holds something of a person: add it to parts, and to what its owner erases or to folded, or to ofNobody", name)
		case personal && !exported[name]:
			t.Errorf("table %s names persons but is not exported", name)
		}
		seen[name] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Collect(maps.Keys(exported)), slices.Collect(maps.Keys(ofNobody))...) {
		if !seen[name] {
			t.Errorf("there is no table %s", name)
		}
	}
}

func TestWhatIsExportedIsErased(t *testing.T) {
	exported := exportedTables()
	erased := slices.Concat([]string{"dead_letters", "outbox", "tokens", "uploads"}, folded, actions.Erased(), accounts.Erased())
	slices.Sort(exported)
	slices.Sort(erased)
	if diff := cmp.Diff(exported, erased); diff != "" {
		t.Errorf("(-exported +erased)\n%s", diff)
	}
}

// An export holds the live version of a projection: the part of each reads its view.
func TestExportsShowTheLiveVersion(t *testing.T) {
	for _, table := range folded {
		i := slices.IndexFunc(parts, func(p part) bool { return p.table == table })
		if i < 0 {
			t.Errorf("no part exports %s", table)
			continue
		}
		if !strings.Contains(parts[i].rows, " FROM live_"+table+" ") {
			t.Errorf("the part of %s does not read live_%[1]s:%s", table, parts[i].rows)
		}
	}
}
