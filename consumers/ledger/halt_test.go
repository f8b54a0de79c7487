package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/applylens/applylens/consumers/ledger"
)

// The operators' guide advises what the halts themselves advise, word by word.
func TestTheGuideGivesEachRemedy(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	for _, reason := range ledger.Reasons {
		topic := "TOPIC/PARTITION"
		if reason == ledger.ReasonRecreated || reason == ledger.ReasonGrown {
			topic = "TOPIC"
		}
		want := reason.Remedy(ledger.At{Group: "GROUP", Topic: topic, Partition: -1, Offset: -1})
		row := ""
		for line := range strings.Lines(guide) {
			if strings.HasPrefix(line, fmt.Sprintf("| `%s` |", reason)) {
				row = line
			}
		}
		if plain := strings.ReplaceAll(row, "`", ""); !strings.Contains(plain, want) {
			t.Errorf("docs/operate.md does not advise for %s what its halt does:\n%s\nthe row is: %s", reason, want, row)
		}
	}
}
