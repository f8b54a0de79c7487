package crash

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// addPending gives a person actions that wait for a decision.
const addPending = `
INSERT INTO actions (id, user_id, policy_id, email_id, action, confidence, features, feature_rule, created_at)
SELECT id, $1, 1, id::text, 'archive_email', 0.8, '{category:promo}', $3, now() FROM unnest($2::uuid[]) AS id`

// TestDecisionsWhileKafkaIsDown decides over HTTP while there is no broker: every decision is answered, and reaches the
// tables once when the broker is back.
func TestDecisionsWhileKafkaIsDown(t *testing.T) {
	t.Parallel()
	const decisions = 1000
	w := startServers(t).deploy(t, "kafka down", seed(t), load.Profile{Users: 1})
	ids, token := w.pending(decisions + 1)
	address := testenv.FreeAddress(t)
	served := w.run([]string{"api", "--listen", address})
	relay := w.relay()
	w.consume()
	w.Eventually("the API decides", func() error { return approve(t.Context(), address, token, ids[0]) })
	w.AwaitPublished()

	w.kafka.Kill()
	deciding, ctx := errgroup.WithContext(t.Context())
	deciding.SetLimit(8)
	for _, id := range ids[1:] {
		deciding.Go(func() error { return approve(ctx, address, token, id) })
	}
	w.Must(deciding.Wait())
	w.Eventually("the relay has noticed", func() error {
		if relay.logged("Kafka does not answer") == 0 {
			return fmt.Errorf("%s", tail(relay.output))
		}
		return nil
	})
	w.kafka.Start()
	w.AwaitPublished()
	w.settle()
	if applied := w.applied(); applied != decisions+1 {
		t.Errorf("%d of %d decisions were applied", applied, decisions+1)
	}
	served.stop()
}

// pending adds an owner with actions that wait for a decision, and returns their ids and the owner's token.
func (w *deployment) pending(count int) (ids []events.UUID, token string) {
	w.Helper()
	const owner = "owner"
	users := auth.NewStore(w.Pool)
	_, err := users.CreateUser(w.Context(), auth.User{ID: owner})
	w.Must(err)
	token, err = users.CreateToken(w.Context(), owner, auth.Bearer, "test", time.Time{})
	w.Must(err)
	list := make([][16]byte, count)
	for i := range list {
		id := events.NewUUIDv7(time.Now())
		ids, list[i] = append(ids, id), id
	}
	w.Exec(addPending, owner, list, events.FeatureRule)
	return ids, token
}

// approve approves an action; any answer but 200 is an error.
func approve(ctx context.Context, address, token string, id events.UUID) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/actions/"+id.String()+"/approve", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("approving %s answers %s", id, response.Status)
	}
	return nil
}
