package model

import (
	"os"
	"strings"
	"testing"
)

// TestRulesSuffice explores all combinations of two faults on one partition, of three of the harder kinds, and two partitions
// without faults, only with rebalances. SOAK adds a fault to each.
func TestRulesSuffice(t *testing.T) {
	runs := map[string]settings{
		"every pair of faults": {partitions: 1, faults: 2},
		"zombies and rewinds":  {partitions: 1, faults: 3, only: []string{"pause", "rewind", "rebalance"}},
		"zombies and swaps":    {partitions: 1, faults: 3, only: []string{"pause", "swap", "lose_answer"}},
		"lost answers":         {partitions: 1, faults: 3, only: []string{"lose_answer", "terminate", "crash"}},
		"two partitions":       {partitions: 2},
	}
	if os.Getenv("SOAK") != "" {
		runs["every three faults"] = settings{partitions: 1, faults: 3}
		runs["two partitions, one fault"] = settings{partitions: 2, faults: 1}
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			found := explore(run)
			if found.broken != "" {
				t.Fatal(found)
			}
			t.Logf("%d states", found.states)
			for _, fault := range run.only {
				if found.actions[fault] == 0 {
					t.Errorf("%s never happened", fault)
				}
			}
			if run.only == nil && run.faults > 1 {
				everyActionHappened(t, found)
			}
		})
	}
}

// everyActionHappened checks that the model's actions are exactly those of the package comment.
func everyActionHappened(t *testing.T, found *result) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	promised := strings.FieldsFunc(string(text), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
	words := map[string]bool{}
	for _, word := range promised {
		words[word] = true
	}
	for _, action := range []string{
		"join", "claim", "fetch", "inspect", "compare_and_set", "effects", "commit", "lose_answer", "server_commits", "server_aborts",
		"mirror", "mirror_late", "swap", "crash", "restart", "pause", "resume", "expire", "rebalance", "terminate", "elect",
		"truncate", "recreate", "adopt", "rewind",
	} {
		if found.actions[action] == 0 {
			t.Errorf("%s never happened", action)
		}
		if !words[action] {
			t.Errorf("the package comment does not explain %s", action)
		}
		delete(found.actions, action)
	}
	for action := range found.actions {
		t.Errorf("%s is not listed", action)
	}
}

// TestEveryRuleIsNeeded disables the rules one at a time. Without any of them, a state must break an invariant.
func TestEveryRuleIsNeeded(t *testing.T) {
	tests := []struct {
		name string
		run  settings
		want invariant
	}{
		{"no compare-and-set", settings{partitions: 1, without: compareAndSet, overlook: onlyTheOwner}, appliedOnce},
		{"no owner epoch, after a rewind", settings{partitions: 1, faults: 1, without: ownerEpoch, only: []string{"rewind"}}, oneCode},
		{"no owner epoch, after a swap", settings{partitions: 1, faults: 1, without: ownerEpoch, only: []string{"swap"}}, onlyTheOwner},
		{"no owner epoch, after another claim", settings{partitions: 1, without: ownerEpoch}, onlyTheOwner},
		{"no leader epoch", settings{partitions: 1, faults: 1, without: leaderEpoch, only: []string{"truncate"}}, nothingSkipped},
		{"topic id compared at the claim only", settings{partitions: 1, faults: 1, without: topicID, only: []string{"recreate"}}, oneTopic},
		{"unknown COMMIT assumed committed", settings{partitions: 1, faults: 1, without: settling, only: []string{"lose_answer"}}, mirrorBehind},
		{"mirror before the commit", settings{partitions: 1, faults: 0, without: mirrorLast}, mirrorBehind},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := explore(test.run)
			t.Log(found)
			if found.broken != test.want {
				t.Errorf("broken: %q, want %q", found.broken, test.want)
			}
			for _, fault := range test.run.only {
				if !strings.Contains(found.String(), " "+fault) {
					t.Errorf("the trace does not need %s", fault)
				}
			}
		})
	}
}
