package postgres

import (
	"testing"
	"time"
)

func TestLimitFollowsTheServers(t *testing.T) {
	for timeout, want := range map[string]time.Duration{
		"60s": 70 * time.Second, "10min": 10*time.Minute + afterServer, "1500": 11500 * time.Millisecond, "1.5 s": 11500 * time.Millisecond,
		"2h": 2*time.Hour + afterServer, "0": longest, "": longest, "-1": longest, "soon": longest, "7d": longest,
	} {
		if got := limitOf(timeout); got != want {
			t.Errorf("limitOf(%q) = %s, want %s", timeout, got, want)
		}
	}
}
