package events_test

import (
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/applylens/applylens/events"
)

func TestParseUUID(t *testing.T) {
	const text = "019ab3f2-5c00-7abc-8def-000000000001"
	for _, given := range []string{text, "019AB3F2-5C00-7ABC-8DEF-000000000001"} {
		u, err := events.ParseUUID(given)
		if err != nil || u.String() != text {
			t.Errorf("%s: %v, %v", given, u, err)
		}
	}
	for _, bad := range []string{"", "019ab3f25c007abc8def000000000001", "{019ab3f2-5c00-7abc-8def-00000000000}",
		"019ab3f2-5c00-7abc-8def-00000000000g", "019ab3f2-5c00-7abc-8def-0000000000001", "019ab3f2-5c00-7abc+8def-000000000001"} {
		if u, err := events.ParseUUID(bad); !errors.Is(err, events.ErrUUID) || !u.IsZero() {
			t.Errorf("%q: %v, %v", bad, u, err)
		}
	}
}

func TestUUIDTextIsThatOfRFC9562(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u events.UUID
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		if want := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]); u.String() != want {
			t.Fatalf("%v, want %v", u, want)
		}
		if again, err := events.ParseUUID([]byte(u.String())); err != nil || again != u {
			t.Fatalf("%v: %v, %v", u, again, err)
		}
	})
}

func TestNewUUIDv7(t *testing.T) {
	now := time.Date(2026, 11, 3, 10, 0, 0, 123e6, time.UTC)
	a, b := events.NewUUIDv7(now), events.NewUUIDv7(now)
	if a == b {
		t.Error("two equal UUIDs")
	}
	later := events.NewUUIDv7(now.Add(time.Millisecond))
	if a.String() >= later.String() || b.String() >= later.String() {
		t.Error("not ordered by time")
	}
	if ms := binary.BigEndian.Uint64(append([]byte{0, 0}, a[:6]...)); ms != uint64(now.UnixMilli()) {
		t.Errorf("%v holds %d ms", a, ms)
	}
	if a[6]>>4 != 7 || a[8]>>6 != 2 {
		t.Errorf("%v is not version 7 in the variant of RFC 9562", a)
	}
}

func TestDeriveUUID(t *testing.T) {
	// The namespace and the form of the name must never change: derived ids are stored.
	name := "\x5e\x0a\x6f\x2c\x7d\x13\x4b\x0e\x9c\x55\x61\x70\x70\x6c\x79\x6c" +
		"\x00\x00\x00\x01a" + "\x00\x00\x00\x00" + "\x00\x00\x00\x02bc"
	sum := sha1.Sum([]byte(name))
	want := events.UUID(sum[:16])
	want[6], want[8] = want[6]&0x0f|0x50, want[8]&0x3f|0x80
	if got := events.DeriveUUID("a", "", "bc"); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if events.DeriveUUID("ab", "c") == events.DeriveUUID("a", "bc") {
		t.Error("different parts have the same UUID")
	}
}
