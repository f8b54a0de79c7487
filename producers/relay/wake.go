package relay

import (
	"context"
	"fmt"
	"sync"

	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/retry"
)

// listen wakes the term on the in-process signal and on PostgreSQL's notifications.
func (r *relay) listen(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.Signal.C():
				r.woken()
			}
		}
	})
	_ = retry.Until(ctx, firstRetry, lastRetry, func(int) error {
		err := r.hear(ctx)
		if ctx.Err() == nil {
			r.Log.Debug("relay receives no notifications", "error", err)
		}
		return err
	})
	group.Wait()
}

func (r *relay) hear(ctx context.Context) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(conn)
	if _, err := conn.Exec(ctx, "LISTEN "+outbox.Channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for {
		r.woken()
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("wait for notifications: %w", err)
		}
	}
}

func (r *relay) woken() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
