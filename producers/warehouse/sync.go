package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/applylens/applylens/internal/printable"
)

// Options of one sync.
type Options struct {
	Full   bool        // a full read, which detects removed applications; the first sync of a source is always one
	Accept *Acceptance // accept whatever the guard finds
}

// Sync reads a source once and publishes what has changed. A held sync is no error: Summary tells it. An error means
// that the sync did not come to its end; what it committed before stands, and the next one goes on from there.
func Sync(ctx context.Context, cfg Config, source Source, options Options) (*Summary, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := begin(ctx, &cfg, cfg.nameOf(source))
	if err != nil {
		return nil, err
	}
	defer s.close()
	summary, err := s.sync(ctx, source, options)
	if err != nil {
		s.Metrics.syncs.WithLabelValues("failed").Inc()
		s.noteFailure(ctx, err)
		return nil, err
	}
	summary.Seconds = s.Now().Sub(s.began).Seconds()
	return summary, nil
}

func (s *session) sync(ctx context.Context, source Source, options Options) (*Summary, error) {
	full := options.Full || s.before.synced.IsZero()
	summary := s.newSummary(full)
	var drift *DriftError
	if err := s.readAll(ctx, source, full); errors.As(err, &drift) {
		return summary, s.hold(ctx, summary, &Hold{HoldSchema, drift.Detail})
	} else if err != nil {
		return nil, err
	}
	differences, hold, err := s.compare(ctx, full)
	if err != nil {
		return nil, err
	}
	if err := s.summarize(ctx, summary); err != nil {
		return nil, err
	}
	if passes, err := s.pass(ctx, summary, hold, differences, options.Accept); err != nil || !passes {
		return summary, err
	}
	done, err := s.apply(ctx, differences, nil)
	if err != nil {
		return nil, err
	}
	summary.add(done)
	if err := s.finish(ctx, full, hold != nil); err != nil {
		return nil, err
	}
	s.Metrics.syncs.WithLabelValues("done").Inc()
	if summary.Enriched, err = s.enriched(ctx, differences); err != nil {
		s.Log.Warn("enriched mails not counted", "source", s.source, "error", err)
	}
	return summary, nil
}

func (s *session) newSummary(full bool) *Summary {
	return &Summary{Source: s.source, StartedAt: s.began, Full: full, Systems: map[string]int64{}, Stages: []StageCount{}}
}

// pass tells whether the differences may be taken over: when nothing holds them, or somebody lets them pass.
func (s *session) pass(ctx context.Context, summary *Summary, hold *Hold, differences int64, who *Acceptance) (bool, error) {
	switch {
	case hold == nil:
		return true, nil
	case who == nil || !who.takesOver(s.owners):
		return false, s.hold(ctx, summary, hold)
	}
	summary.Accepted = true
	return true, s.accept(ctx, who, hold, differences)
}

// takesOver reports whether the acceptance names all of the sources.
func (a *Acceptance) takesOver(owners []string) bool {
	return !slices.ContainsFunc(owners, func(owner string) bool { return !slices.Contains(a.TakeOver, owner) })
}

// hold notes that nothing is taken over, and alerts.
func (s *session) hold(ctx context.Context, summary *Summary, hold *Hold) error {
	summary.Held = hold
	if _, err := s.conn.Exec(ctx, holdSync, s.source, s.began, string(hold.Reason), hold.Detail, nullZero(s.newest)); err != nil {
		return fmt.Errorf("note that the sync is held: %w", err)
	}
	s.Metrics.syncs.WithLabelValues("held").Inc()
	s.Metrics.setHeld(hold.Reason)
	s.Metrics.setNewest(s.newest)
	s.Log.Error("warehouse sync held", "source", s.source, "reason", string(hold.Reason), "detail", hold.Detail, "to_do", hold.Reason.ToDo())
	return nil
}

// finish notes that everything was taken over.
func (s *session) finish(ctx context.Context, full, accepted bool) error {
	if _, err := s.conn.Exec(ctx, finishSync, s.source, s.began, full, nullZero(s.newest), accepted); err != nil {
		return fmt.Errorf("note the sync's end: %w", err)
	}
	if accepted {
		s.before.accepted = s.began
	}
	s.Metrics.setHeld("")
	s.Metrics.setNewest(s.newest)
	s.Metrics.setSynced(s.began)
	return nil
}

// noteFailure keeps why a sync failed, if the database lets it.
func (s *session) noteFailure(ctx context.Context, failure error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if _, err := s.Pool.Exec(ctx, failSync, s.source, shorten(printable.Error(failure))); err != nil {
		s.Log.Debug("failure of the sync not noted", "error", err)
	}
}
