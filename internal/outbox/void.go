package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/applylens/applylens/events"
)

// voidRows takes away what rows hold of a person, in those that were sent too: should Kafka lose them, they are sent
// again without content. Their ids stay, by which a restored database finds them in the log, and their numbers. They are
// locked in the order in which the relay takes them.
const voidRows = `
UPDATE outbox
SET state = 'void', type = $4, aggregateid = '', payload = '', headers = '[]', user_id = '', error = ''
WHERE seq IN (
    SELECT seq FROM outbox
    WHERE user_id = $1 AND recorded_at <= $2 OR id = ANY ($3)
    ORDER BY seq
    FOR UPDATE)`

// Void takes the content out of the rows of a person that were recorded until a moment, and of those with some ids, and
// tells how many they were. A row that the relay is sending at this moment goes out as it was.
func Void(ctx context.Context, db Execer, userID string, until time.Time, ids []string) (int64, error) {
	tag, err := db.Exec(ctx, voidRows, userID, until, ids, events.TypeVoid.String())
	if err != nil {
		return 0, fmt.Errorf("void outbox rows: %w", err)
	}
	return tag.RowsAffected(), nil
}
