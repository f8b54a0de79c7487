package layout_test

import (
	"slices"
	"strings"
	"testing"
)

// projections are the packages of the groups.
var projections = []string{"consumers/weights", "consumers/policystats", "consumers/mailbox", "consumers/enrichment"}

// The loop, its SQL, its tools and the lag report are rooms with walls: what the tools share is the loop's or the ledger's.
func TestRoomsOfTheLoopHaveWalls(t *testing.T) {
	walls := map[string][]string{
		"consumers":         {"consumers/rebuild", "consumers/operate", "consumers/lag"},
		"consumers/ledger":  {"consumers", "consumers/rebuild", "consumers/operate", "consumers/lag"},
		"consumers/rebuild": {"consumers/operate", "consumers/lag"},
		"consumers/operate": {"consumers/rebuild", "consumers/lag"},
		"consumers/lag":     {"consumers", "consumers/rebuild", "consumers/operate"},
	}
	all := imports(t)
	for room, others := range walls {
		if len(all[room]) == 0 {
			t.Errorf("there is no package %s", room)
		}
		for _, other := range slices.Concat(others, projections) {
			if len(all[other]) == 0 {
				t.Errorf("there is no package %s", other)
			}
			if slices.Contains(all[room], module+other) {
				t.Errorf("%s imports %s", room, other)
			}
		}
	}
}

// Only tests use internal/testkit, but for the streams of the bench.
func TestOnlyTestsUseTheTestkit(t *testing.T) {
	const testkit = "internal/testkit"
	excused := map[string]string{"internal/bench": testkit + "/load"}
	all := imports(t)
	for path, list := range all {
		for _, imported := range list {
			own, isOwn := strings.CutPrefix(imported, module)
			if isOwn && within(own, testkit) && !within(path, testkit) && excused[path] != own {
				t.Errorf("%s imports %s, which only tests may import", path, own)
			}
		}
	}
	for path, own := range excused {
		if !slices.Contains(all[path], module+own) {
			t.Errorf("%s is excused for importing %s but does not import it", path, own)
		}
	}
}

// The oracle shares no code, and so no mistakes, with what it checks, not even through another package.
func TestTheOracleSharesNoCode(t *testing.T) {
	all := imports(t)
	reached := map[string]string{"internal/testkit/oracle": ""} // package: by which other it is imported
	queue := []string{"internal/testkit/oracle"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if within(path, "consumers") || within(path, "events") {
			t.Errorf("internal/testkit/oracle depends on %s, imported by %s", path, reached[path])
		}
		for _, imported := range all[path] {
			own, isOwn := strings.CutPrefix(imported, module)
			if _, known := reached[own]; isOwn && !known {
				reached[own] = path
				queue = append(queue, own)
			}
		}
	}
	if len(all["internal/testkit/oracle"]) == 0 {
		t.Error("there is no package internal/testkit/oracle")
	}
}
