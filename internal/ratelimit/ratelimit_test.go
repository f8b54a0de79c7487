package ratelimit

import (
	"testing"
	"time"
)

func TestEachCallerHasABucket(t *testing.T) {
	l := New(0.5, 2)
	now := time.Unix(1e9, 0)
	for range 2 {
		if !l.Has("a", now) {
			t.Error("a full bucket has no token")
		}
		if _, ok := l.Take("a", now); !ok {
			t.Error("a token of a full bucket is refused")
		}
	}
	if wait, ok := l.Take("a", now); ok || wait != 2*time.Second || l.Has("a", now) {
		t.Errorf("an empty bucket gives a token: %v after %v", ok, wait)
	}
	if wait, _ := l.Take("a", now); wait != 2*time.Second {
		t.Errorf("a refused request costs a token: %v", wait)
	}
	if _, ok := l.Take("b", now); !ok {
		t.Error("one caller empties the bucket of another")
	}
	if !l.Has("a", now.Add(2*time.Second)) {
		t.Error("an empty bucket stays empty")
	}
}

func TestIdleCallersAreForgotten(t *testing.T) {
	l := New(1, 1)
	now := time.Unix(1e9, 0)
	l.Take("a", now)
	l.Take("b", now.Add(idle*2))
	if len(l.buckets) != 1 {
		t.Errorf("%d buckets are kept", len(l.buckets))
	}
}
