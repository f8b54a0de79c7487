package warehouse

import (
	"errors"
	"time"
)

// Schedule defines when syncs are due: once a day, or at an interval.
type Schedule struct {
	Every time.Duration // Default: 0, once a day.
	At    time.Duration // The time of the daily sync, after midnight UTC. Default: 0.
}

// Validate lists every fault.
func (s Schedule) Validate() error {
	if s.Every < 0 || s.Every > 0 && s.Every < time.Minute {
		return errors.New("an interval between syncs must be at least 1m")
	}
	if s.At < 0 || s.At >= 24*time.Hour {
		return errors.New("the time of day must be from 00:00 to 23:59")
	}
	return nil
}

// Next returns when the sync after the one started at last is due. A time in the past means at once; one sync makes up for all
// missed ones. The zero time means that there was none.
func (s Schedule) Next(last time.Time) time.Time {
	if last.IsZero() {
		return last
	}
	if s.Every > 0 {
		return last.Add(s.Every)
	}
	due := last.UTC().Truncate(24 * time.Hour).Add(s.At)
	if !due.After(last) {
		due = due.Add(24 * time.Hour)
	}
	return due
}
