package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/testkit/plans"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

var errUndo = errors.New("to be undone")

// A fold that erases a person holds its partitions up no longer than that takes: it finds everything by an index.
func TestErasuresReadNoTableWhole(t *testing.T) {
	pool, _ := testenv.Database(t)
	plans.Fill(t, pool)
	const retired = `
UPDATE versions SET state = 'retired' WHERE group_name = 'weights';
INSERT INTO positions (group_name, version, cluster_id, topic, topic_id, partition, next_offset, began_at)
SELECT 'weights', 1, 'c', 'applylens.actions', '00000000-0000-0000-0000-000000000001', p, 50, 0 FROM generate_series(0, 5) p`
	if _, err := pool.Exec(t.Context(), retired); err != nil {
		t.Fatal(err)
	}
	topic, err := events.ParseUUID("00000000-0000-0000-0000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	log := ledger.Log{Group: "weights", Version: 1, Cluster: "c", Topic: events.TopicActions, TopicID: topic, Partitions: 6}
	erasures := []ledger.Erasure{{User: plans.Person, RecordedAt: time.Now().Add(time.Hour), Partition: 0, Offset: 200}}
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		err := postgres.InTx(t.Context(), pool, func(tx *postgres.Tx) error {
			for setting := range strings.SplitSeq(plans.NoScans(mode), ";") {
				if _, err := tx.Exec(t.Context(), setting); err != nil {
					return err
				}
			}
			if err := log.ApplyErasures(t.Context(), tx, []string{"weight_counts"}, erasures); err != nil {
				return err
			}
			var left int
			const what = `
SELECT (SELECT count(*) FROM dead_letters WHERE user_id <> '' AND user_id = $1) + (SELECT count(*) FROM weight_counts WHERE user_id = $1)`
			if err := tx.QueryRow(t.Context(), what, plans.Person).Scan(&left); err != nil {
				return err
			}
			if left != 0 {
				t.Errorf("%d rows of the person are left", left)
			}
			plans.HoldScans(t, tx, mode)
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
	}
}
