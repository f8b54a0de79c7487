package warehouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/internal/retry"
)

// Summary is the result of a sync. Of a held sync, only what was read and the hold are valid.
type Summary struct {
	Source       string           `json:"source"`
	StartedAt    time.Time        `json:"started_at"`
	Seconds      float64          `json:"seconds"`
	Full         bool             `json:"full"`         // a full read, which detects removed applications
	Applications int64            `json:"applications"` // read and not deleted, each once
	Systems      map[string]int64 `json:"systems"`
	Stages       []StageCount     `json:"stages"`  // the most frequent first; at most 50
	Added        int64            `json:"added"`   // new ones, and those that came back
	Changed      int64            `json:"changed"` // known ones with different content
	Removed      int64            `json:"removed"`
	Broken       int64            `json:"broken"`         // rows that could not be read and were skipped
	Repeated     int64            `json:"repeated"`       // rows in excess of one per application; the newest counted
	Enriched     *int64           `json:"mails_enriched"` // mails affected; null if unknown
	NewestRow    *time.Time       `json:"newest_row"`     // synced_at of the newest row; null if no row has one
	Held         *Hold            `json:"held"`
	Accepted     bool             `json:"accepted"` // the guard would have held it, but it was accepted
}

// StageCount counts the applications at one stage.
type StageCount struct {
	Stage        string `json:"stage"`
	Applications int64  `json:"applications"`
}

// Lines formats the summary, a fact per line.
func (s *Summary) Lines() []string {
	how := "partly"
	if s.Full {
		how = "whole"
	}
	lines := []string{
		fmt.Sprintf("source          %s, read %s in %.1fs", s.Source, how, s.Seconds),
		fmt.Sprintf("applications    %d read%s", s.Applications, s.asides()),
		"by system       " + s.bySystem(),
		"by stage        " + s.byStage(),
	}
	if s.Held != nil {
		return append(lines, fmt.Sprintf("HELD            %s: %s", s.Held.Reason, s.Held.Detail), "nothing was changed")
	}
	return append(lines,
		fmt.Sprintf("changed         %d, and %d new", s.Changed, s.Added),
		fmt.Sprintf("removed         %d", s.Removed),
		"mails enriched  "+s.enriched())
}

func (s *Summary) asides() string {
	var parts []string
	if s.Broken > 0 {
		parts = append(parts, fmt.Sprintf("%d rows broken and skipped", s.Broken))
	}
	if s.Repeated > 0 {
		parts = append(parts, fmt.Sprintf("%d duplicate rows", s.Repeated))
	}
	if s.NewestRow != nil {
		parts = append(parts, "newest row of "+stamp(*s.NewestRow))
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (s *Summary) bySystem() string {
	parts := make([]string, 0, len(s.Systems))
	for _, system := range slices.Sorted(maps.Keys(s.Systems)) {
		parts = append(parts, fmt.Sprintf("%s %d", shorten(system), s.Systems[system]))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func (s *Summary) byStage() string {
	parts := make([]string, len(s.Stages))
	for i, c := range s.Stages {
		parts[i] = fmt.Sprintf("%s %d", cmp.Or(shorten(c.Stage), "(none)"), c.Applications)
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func (s *Summary) enriched() string {
	if s.Enriched == nil {
		return "not known yet: the group enrichment folds the changes on its own"
	}
	return fmt.Sprint(*s.Enriched)
}

// anything reports whether anything was read.
func (s *Summary) anything() bool {
	return s.Applications+s.Added+s.Changed+s.Removed+s.Broken > 0
}

// add adds committed changes.
func (s *Summary) add(done applied) {
	s.Added += done.added
	s.Changed += done.changed
	s.Removed += done.removed
}

// summarize adds the counts of the rows read.
func (s *session) summarize(ctx context.Context, into *Summary) error {
	rows, err := s.conn.Query(ctx, selectStages)
	if err != nil {
		return fmt.Errorf("count stages: %w", err)
	}
	var system, stage string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&system, &stage, &count}, func() error {
		into.Applications += count
		into.Systems[system] += count
		s.stages[stage] += count
		return nil
	})
	if err != nil {
		return fmt.Errorf("count stages: %w", err)
	}
	into.Stages = mostFrequent(s.stages)
	into.Broken += s.broken
	if newest := s.newest; !newest.IsZero() {
		into.NewestRow = &newest
	}
	var repeated int64
	if err := s.conn.QueryRow(ctx, selectRepeated).Scan(&repeated); err != nil {
		return fmt.Errorf("count duplicate rows: %w", err)
	}
	into.Repeated += repeated
	return nil
}

func mostFrequent(stages map[string]int64) []StageCount {
	list := make([]StageCount, 0, len(stages))
	for stage, count := range stages {
		list = append(list, StageCount{stage, count})
	}
	slices.SortFunc(list, func(a, b StageCount) int {
		return cmp.Or(-cmp.Compare(a.Applications, b.Applications), cmp.Compare(a.Stage, b.Stage))
	})
	return list[:min(len(list), mostStages)]
}

// enriched counts the mails affected by the differences, once the group enrichment has folded them; nil if it did not do so
// in time.
func (s *session) enriched(ctx context.Context, differences int64) (*int64, error) {
	var count int64
	if differences == 0 {
		return &count, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.FoldWait+foldLimit)
	defer cancel()
	folded, err := s.folded(ctx)
	if err != nil || !folded {
		return nil, err
	}
	if err := s.conn.QueryRow(ctx, selectEnriched).Scan(&count); err != nil {
		return nil, fmt.Errorf("count enriched mails: %w", err)
	}
	return &count, nil
}

// folded waits until the live version of the projection has folded all differences.
func (s *session) folded(ctx context.Context) (bool, error) {
	deadline := time.Now().Add(s.FoldWait)
	for {
		var pending int64
		if err := s.conn.QueryRow(ctx, selectPending).Scan(&pending); err != nil {
			return false, fmt.Errorf("check whether the changes are folded: %w", err)
		}
		if pending == 0 || !time.Now().Before(deadline) {
			return pending == 0, nil
		}
		if err := retry.Wait(ctx, foldEvery); err != nil {
			return false, err
		}
	}
}
