package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// selectFolded tells whether the live version of a group has folded an event of the person. A relay's numbers are dense
// and folded in order, so an event is folded when its number is not above the last one. An event on a topic that the group
// does not read counts as folded. Of an event that went to several topics the first row counts. It returns no row when the
// person has no such event.
const selectFolded = `
SELECT o.aggregatetype <> $4 OR EXISTS (
    SELECT FROM projections p
    JOIN relay_sequences s ON s.group_name = p.group_name AND s.version = p.live_version
    WHERE p.group_name = $3 AND s.topic = o.aggregatetype AND s.partition = o.partition
      AND s.relay_id = o.relay_id AND s.last_seq >= o.relay_seq)
FROM outbox o
WHERE o.id = $1 AND o.user_id = $2
ORDER BY o.seq
LIMIT 1`

// Folded tells whether the live version of a group, which reads topic, has folded the person's event with a ce_id. The
// error is ErrNotFound for an event of somebody else, or one whose row was pruned.
func Folded(ctx context.Context, db Querier, id, userID, group, topic string) (bool, error) {
	var folded bool
	err := db.QueryRow(ctx, selectFolded, id, userID, group, topic).Scan(&folded)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, ErrNotFound
	}
	if err != nil {
		return false, fmt.Errorf("look for the folded event: %w", err)
	}
	return folded, nil
}
