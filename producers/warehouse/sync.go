package warehouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Options are what one sync is asked for.
type Options struct {
	Full   bool        // read everything, which alone finds what is gone; the first sync of a source does so in any case
	Accept *Acceptance // let it pass whatever the guard says
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
	summary := s.newSummary(full, options.Accept)
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
	if options.Accept != nil {
		if err := s.accept(ctx, options.Accept, hold, differences); err != nil {
			return nil, err
		}
	} else if hold != nil {
		return summary, s.hold(ctx, summary, hold)
	}
	done, err := s.apply(ctx, differences, nil)
	if err != nil {
		return nil, err
	}
	summary.add(done)
	if err := s.finish(ctx, full, options.Accept != nil); err != nil {
		return nil, err
	}
	s.Metrics.syncs.WithLabelValues("done").Inc()
	if summary.Enriched, err = s.enriched(ctx, differences); err != nil {
		s.Log.Warn("enriched mails not counted", "source", s.source, "error", err)
	}
	return summary, nil
}

func (s *session) newSummary(full bool, accept *Acceptance) *Summary {
	return &Summary{Source: s.source, StartedAt: s.began, Full: full, Systems: map[string]int64{}, Stages: []StageCount{}, Accepted: accept != nil}
}

// readAll loads the rows of the source.
func (s *session) readAll(ctx context.Context, source Source, full bool) (err error) {
	var since time.Time
	if !full && !s.before.cursor.IsZero() {
		since = s.before.cursor.Add(-s.Overlap)
	}
	expected, err := s.expected(ctx, since.IsZero())
	if err != nil {
		return err
	}
	rows, err := source.Open(ctx, since)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.source, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	at, err := locate(rows.Columns())
	if err != nil {
		return err
	}
	d := &decoder{at: at}
	for {
		values, err := rows.Next(ctx)
		var broken *RowError
		switch {
		case errors.Is(err, io.EOF):
			s.reportRest()
			return s.flush(ctx)
		case errors.As(err, &broken):
			s.read++
			s.report(&application{}, []Fault{{"", broken.Detail}}, true)
			continue
		case err != nil:
			return fmt.Errorf("read %s: %w", s.source, err)
		}
		if err := s.take(ctx, d, values); err != nil {
			return err
		}
		if s.read%chunkRows == 0 {
			s.progress(rows, expected)
		}
	}
}

// expected is how many rows a read of all brings, as far as earlier ones tell.
func (s *session) expected(ctx context.Context, all bool) (count int64, err error) {
	if !all {
		return 0, nil
	}
	if err := s.conn.QueryRow(ctx, selectKnown, s.source).Scan(&count); err != nil {
		return 0, fmt.Errorf("count known applications: %w", err)
	}
	return count, nil
}

func (s *session) progress(rows Rows, expected int64) {
	done, total := rows.Progress()
	if total == 0 {
		done, total = s.read, max(expected, s.read)
		if expected == 0 {
			total = 0
		}
	}
	s.Progress.Update(done, total)
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
	s.Log.Error("warehouse sync held: nothing was taken over; when it is right, accept it once with: applylens warehouse sync --accept --reason ...",
		"source", s.source, "reason", string(hold.Reason), "detail", hold.Detail)
	return nil
}

// finish notes that everything was taken over.
func (s *session) finish(ctx context.Context, full, accepted bool) error {
	if _, err := s.conn.Exec(ctx, finishSync, s.source, s.began, full, nullZero(s.newest), accepted); err != nil {
		return fmt.Errorf("note the sync's end: %w", err)
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
	if _, err := s.Pool.Exec(ctx, failSync, s.source, printable(failure.Error())); err != nil {
		s.Log.Debug("failure of the sync not noted", "error", err)
	}
}
