package consumers

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/applylens/applylens/internal/retry"
)

// pause waits before the next attempt, from 0; it returns early with the context's error.
func pause(ctx context.Context, attempt int) error {
	return retry.Wait(ctx, retry.Delay(attempt, 50*time.Millisecond, 5*time.Second, rand.Float64()))
}
