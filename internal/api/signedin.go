package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/applylens/applylens/internal/auth"
)

// lookEvery is how often a stream looks whether its caller is still signed in.
const lookEvery = 2 * time.Second

// errSignedOut tells that the secret of a request has stopped being valid while it was answered.
var errSignedOut = errors.New("the caller's session or token has ended")

// whileSignedIn returns a context that ends with the cause errSignedOut soon after the secret of a request has stopped being valid:
// its session was signed out, its token revoked, it expired, or the person was erased. A database that does not answer ends
// nothing. stop has to be called, and returns when nothing looks any more.
func (s *server) whileSignedIn(ctx context.Context, request *http.Request) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		look := time.NewTicker(s.lookEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
			if s.hasSignedOut(ctx, request) {
				cancel(errSignedOut)
			}
		}
	})
	return ctx, func() {
		cancel(nil)
		looking.Wait()
	}
}

func (s *server) hasSignedOut(ctx context.Context, request *http.Request) bool {
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	_, err := s.users.Authenticate(bounded, request)
	return errors.Is(err, auth.ErrUnauthenticated)
}
