package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/applylens/applylens/events"
)

// voidRows empties a person's rows, including sent ones: if Kafka loses them, they are sent again without content. Their
// ids and numbers stay, by which a restored database finds them in the log. It locks rows in the order in which the relay
// does.
const voidRows = `
UPDATE outbox
SET state = 'void', type = $4, aggregateid = '', payload = '', headers = '[]', user_id = '', error = ''
WHERE seq = ANY (ARRAY(
    SELECT seq FROM outbox
    WHERE user_id <> '' AND user_id = $1 AND recorded_at <= $2 OR id = ANY ($3)
    ORDER BY seq
    FOR UPDATE))`

// Void empties the rows of a person that were recorded up to a moment, and the rows with the given ids, and returns how
// many there were. A row that the relay is sending at this moment is sent as it was.
func Void(ctx context.Context, db Execer, userID string, until time.Time, ids []string) (int64, error) {
	tag, err := db.Exec(ctx, voidRows, userID, until, ids, events.TypeVoid.String())
	if err != nil {
		return 0, fmt.Errorf("void outbox rows: %w", err)
	}
	return tag.RowsAffected(), nil
}
