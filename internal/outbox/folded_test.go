package outbox_test

import (
	"errors"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

func TestFolded(t *testing.T) {
	pool, _ := testenv.Database(t)
	must(t, add(t, pool, erased("a", "ann"))) // to both topics
	relay := events.NewUUIDv7(now)
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := pool.Exec(t.Context(), sql, args...)
		must(t, err)
	}
	f := func(state, topic string, want bool) {
		t.Helper()
		if got, err := outbox.Folded(t.Context(), pool, "a", "ann", "weights", topic); err != nil || got != want {
			t.Errorf("%s: folded = %t, %v; want %t", state, got, err, want)
		}
	}
	f("not stamped", events.TopicActions, false)
	f("of a group that reads another topic than the first row's", events.TopicMail, true)
	exec("UPDATE outbox SET relay_id = $1, partition = 4, relay_seq = 9", [16]byte(relay))
	f("stamped", events.TopicActions, false)
	exec(`INSERT INTO relay_sequences (group_name, version, topic, partition, relay_id, last_seq)
	      SELECT 'weights', live_version, $1, 4, $2, 8 FROM projections WHERE group_name = 'weights'`, events.TopicActions, [16]byte(relay))
	f("its predecessor folded", events.TopicActions, false)
	exec("UPDATE relay_sequences SET last_seq = 9")
	f("folded", events.TopicActions, true)
	exec("UPDATE relay_sequences SET partition = 3")
	f("folded in another partition", events.TopicActions, false)
	for _, stranger := range [][2]string{{"a", "bob"}, {"b", "ann"}} {
		if _, err := outbox.Folded(t.Context(), pool, stranger[0], stranger[1], "weights", events.TopicActions); !errors.Is(err, outbox.ErrNotFound) {
			t.Errorf("event %s of %s: %v, want ErrNotFound", stranger[0], stranger[1], err)
		}
	}
}
