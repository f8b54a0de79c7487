package mailsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/producers/mailimport"
)

// refusedPause is how long an account is left alone whose server or owner has to change something.
const refusedPause = 15 * time.Minute

// session is the watching of one account over one connection.
type session struct {
	*process
	lease   accounts.Lease
	account accounts.Account
	box     *imapbox.Box
	folders []*folder
	inbox   *folder

	done, total int64 // of the mails of this pass
	lookedAt    time.Time
	listedAt    time.Time
	worked      bool // a pass has come to its end
}

// work watches an account until it fails or its lease is lost, and gives the lease back.
func (p *process) work(ctx context.Context, lease accounts.Lease) {
	s := &session{process: p, lease: lease}
	err := s.watch(ctx)
	if s.box != nil {
		s.box.Close()
	}
	after, failures := s.judge(ctx, err)
	releasing, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := accounts.Release(releasing, p.Pool, lease, after, failures); err != nil {
		p.Log.Warn("an account is not given back, and is taken when its lease has run out", "account", lease.AccountID, "error", err)
	}
}

// judge notes why watching has ended, and says when it may begin again and how often it has failed.
func (s *session) judge(ctx context.Context, err error) (after time.Duration, failures int) {
	if failures = s.lease.Failures; s.worked {
		failures = 0
	}
	if ctx.Err() != nil || errors.Is(err, accounts.ErrLost) || errors.Is(err, accounts.ErrNotFound) {
		return 0, failures
	}
	failures++
	after = s.Backoff << min(failures-1, 6)
	after += rand.N(after/4 + 1)
	var known *imapbox.Error
	if !errors.As(err, &known) {
		reason := "ours"
		if !errors.Is(err, outbox.ErrRestored) {
			s.Log.Warn("an account could not be watched", "account", s.lease.AccountID, "error", err)
		}
		s.observers.failures.WithLabelValues(reason).Inc()
		return after, failures
	}
	reason := map[imapbox.Kind]string{imapbox.Temporary: "temporary", imapbox.Refused: "refused", imapbox.Lost: "lost"}[known.Kind]
	s.observers.failures.WithLabelValues(reason).Inc()
	s.Log.Info("an account could not be watched", "account", s.lease.AccountID, "reason", reason, "error", known.Err)
	if known.Kind == imapbox.Refused {
		after = max(after, refusedPause)
	}
	if known.Kind != imapbox.Lost || failures > 1 { // a connection that is lost once is nothing to worry about
		if err := accounts.Note(ctx, s.Pool, s.lease, accounts.StateFailing, known.Words); err != nil {
			s.Log.Warn("the state of an account is not noted", "account", s.lease.AccountID, "error", err)
		}
	}
	return after, failures
}

// watch reads what is there, and then what comes, until something fails.
func (s *session) watch(ctx context.Context) (err error) {
	if s.account, err = accounts.Get(ctx, s.Pool, s.lease.UserID, s.lease.AccountID); err != nil {
		return err
	}
	if err := s.inTurn(ctx, func(*mailimport.Single) (err error) {
		s.box, err = s.Connector.Open(ctx, s.Pool, &s.account)
		return err
	}); err != nil {
		return err
	}
	for {
		if err := s.pass(ctx); err != nil {
			return err
		}
		if !s.worked {
			s.worked = true
			s.Log.Info("an account is up to date and watched", "account", s.lease.AccountID)
		}
		if err := accounts.Note(ctx, s.Pool, s.lease, accounts.StateLive, ""); err != nil {
			return err
		}
		if err := s.await(ctx); err != nil {
			return err
		}
	}
}

// await waits until there may be something new.
func (s *session) await(ctx context.Context) error {
	if s.inbox == nil {
		if _, err := s.box.Idle(ctx, s.Poll); err != nil { // no folder is open: it only waits
			return err
		}
		return ctx.Err()
	}
	most := s.Poll - s.Poll/10 + rand.N(s.Poll/5+1)
	_, err := s.box.Idle(ctx, most)
	return err
}

// inTurn does what takes time and memory, which only some accounts do at once.
func (s *session) inTurn(ctx context.Context, work func(*mailimport.Single) error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case reader := <-s.slots:
		defer func() { s.slots <- reader }()
		return work(reader)
	}
}
