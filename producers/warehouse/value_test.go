package warehouse

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/testkit/doctable"
)

func TestTimes(t *testing.T) {
	f := func(value any, want string) {
		t.Helper()
		got, err := timeOf(value)
		text := got.Format(time.RFC3339Nano)
		if err != nil {
			text = err.Error()
		} else if got.IsZero() {
			text = ""
		}
		if text != want {
			t.Errorf("%v gives %q, want %q", value, text, want)
		}
	}
	f(nil, "")
	f("", "")
	f("2026-03-10T09:30:00Z", "2026-03-10T09:30:00Z")
	f("2026-03-10T09:30:00.123456789+02:00", "2026-03-10T07:30:00.123456Z")
	f("2021-02-09 14:23:59.698", "2021-02-09T14:23:59.698Z")
	f("2026-03-10T09:30:00", "2026-03-10T09:30:00Z")
	f("2026-03-10 09:30:00.5 UTC", "2026-03-10T09:30:00.5Z")
	f("2026-03-10 09:30:00+00", "2026-03-10T09:30:00Z")
	f("2026-03-10 09:30:00-05:30", "2026-03-10T15:00:00Z")
	f("2026-03-10", "2026-03-10T00:00:00Z")
	f(int64(1_773_135_000), "2026-03-10T09:30:00Z")
	f(int64(1_773_135_000_000), "2026-03-10T09:30:00Z")
	f(int64(1_773_135_000_000_001), "2026-03-10T09:30:00.000001Z")
	f(int64(1_773_135_000_000_001_000), "2026-03-10T09:30:00.000001Z")
	f(1_773_135_000.25, "2026-03-10T09:30:00.25Z")
	f(time.Date(2026, 3, 10, 9, 30, 0, 999, time.FixedZone("", 3600)), "2026-03-10T08:30:00Z")
	f("2026-11-01 10:00:00.000 -0500", "2026-11-01T15:00:00Z") // Snowflake
	f("Sun, 01 Nov 2026 10:00:00 -0500", "2026-11-01T15:00:00Z")
	f("Sun, 01 Nov 2026 10:00:00 GMT", "2026-11-01T10:00:00Z")
	f("2026-11-01T10:00:00-0500", "2026-11-01T15:00:00Z")
	f("2026-11-01 10:00:00 Z", "2026-11-01T10:00:00Z")
	f("2026-11-01T10:00Z", "2026-11-01T10:00:00Z")
	f("2026-11-01 9:05", "2026-11-01T09:05:00Z")
	f("2026-11-01 10:00 +05:30", "2026-11-01T04:30:00Z")
	f("2026-11-01t10:00:00,5z", "2026-11-01T10:00:00.5Z")
	f("1773135000", "2026-03-10T09:30:00Z")
	f("1773135000000", "2026-03-10T09:30:00Z")
	f(1_773_135_000_000.25, "2026-03-10T09:30:00.00025Z")
	f(1_773_135_000_000_001.0, "2026-03-10T09:30:00.000001Z")
	for _, nonsense := range []string{"20261101", "2026", "20261101100000", "202611011000", "20261101100000123", "2026-13-01", "2026-02-30", "2026-11-01 24:00:00", "2026-11-01 10:60", "2026-11-01 10", "2026-11-01 10:00:00 +99:00",
		"2026-11-01 10:00:00 America/New_York", "2026-11-01 10:00:00 x", "99999999999999999999", "-1773135000", "Sun, 01 Nov 2026 10:00:00 EST", "2026-11-01Z"} {
		f(nonsense, errNoTime.Error())
	}
	f("2026-03-10 09:30:00 EST", errNoTime.Error()) // such a name is ambiguous
	f("10/03/2026", errNoTime.Error())
	f("soon", errNoTime.Error())
	f(math.NaN(), errNoTime.Error())
	f(math.Inf(1), errNoTime.Error())
	f(true, errNoTime.Error())
	f("0001-01-01", errLongYears.Error())
	f(withheld, errWithheld.Error())
}

// TestFormsOfTimes holds the table of docs/warehouse.md to the code.
func TestFormsOfTimes(t *testing.T) {
	for _, row := range doctable.Rows(t, "../../docs/warehouse.md", "value", "time") {
		for _, value := range doctable.Codes(row[0]) {
			at, err := timeOf(value)
			got := at.Format(time.RFC3339Nano)
			if err != nil {
				got = "refused: " + err.Error()
			}
			if got != row[1] {
				t.Errorf("%s: %s, the table has %s", value, got, row[1])
			}
		}
	}
}

func TestLists(t *testing.T) {
	f := func(value any, want ...string) {
		t.Helper()
		got, err := textsOf(value)
		if err != nil {
			t.Errorf("%v: %v", value, err)
		}
		if len(want)+len(got) > 0 && !cmp.Equal(want, got) {
			t.Errorf("%v gives %q, want %q", value, got, want)
		}
	}
	f(nil)
	f("")
	f("{}")
	f("[]")
	f([]string{"a@x", "b@x"}, "a@x", "b@x")
	f([]any{"a@x", nil}, "a@x", "")
	f(`["a@x","b@x"]`, "a@x", "b@x")
	f(`{a@x,"b@x"}`, "a@x", "b@x")
	f("a@x, b@x;c@x d@x", "a@x", "b@x", "c@x", "d@x")
	f(`Ann Example <a@x>, "Doe, Bob" <b@x>; c@x`, "a@x", "b@x", "c@x")
	f("<a@x> d@x", "a@x", "d@x")
	f("c@x <a@x>", "c@x", "a@x")
	f("a@x\nBob <b@x>\r\nd@x", "a@x", "b@x", "d@x")
	for _, wrong := range []any{`[1`, `[{"a":1}]`, 1.5, true, []any{true}} {
		if got, err := textsOf(wrong); !errors.Is(err, errNoTexts) && !errors.Is(err, errNoText) {
			t.Errorf("%v gives %q and %v", wrong, got, err)
		}
	}
	if _, err := textsOf([]any{withheld}); !errors.Is(err, errWithheld) {
		t.Errorf("a withheld list gives %v", err)
	}
}

func TestBooleans(t *testing.T) {
	for value, want := range map[any]bool{nil: false, "": false, true: true, "TRUE": true, "t": true, "1": true, "False": false, " f ": false} {
		if got, err := boolOf(value); err != nil || got != want {
			t.Errorf("%v gives %v and %v", value, got, err)
		}
	}
	for _, wrong := range []any{"yes", "2", int64(1), 0.5} {
		if got, err := boolOf(wrong); !errors.Is(err, errNoBool) {
			t.Errorf("%v gives %v and %v", wrong, got, err)
		}
	}
}

func TestScheduleNext(t *testing.T) {
	at := func(text string) time.Time {
		t.Helper()
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	daily, hourly := Schedule{At: 2 * time.Hour}, Schedule{Every: time.Hour}
	for _, test := range []struct {
		schedule   Schedule
		last, want string
	}{
		{daily, "2026-03-10T02:00:00Z", "2026-03-11T02:00:00Z"},
		{daily, "2026-03-10T01:59:59Z", "2026-03-10T02:00:00Z"},
		{daily, "2026-03-10T14:00:00Z", "2026-03-11T02:00:00Z"},
		{daily, "2026-03-10T01:30:00+01:00", "2026-03-10T02:00:00Z"},
		{Schedule{}, "2026-03-10T14:00:00Z", "2026-03-11T00:00:00Z"},
		{hourly, "2026-03-10T14:05:00Z", "2026-03-10T15:05:00Z"},
	} {
		if got := test.schedule.Next(at(test.last)); !got.Equal(at(test.want)) {
			t.Errorf("after %s comes %s, want %s", test.last, got, test.want)
		}
	}
	if got := daily.Next(time.Time{}); !got.IsZero() {
		t.Errorf("the first sync is due at %s", got)
	}
	for _, wrong := range []Schedule{{Every: time.Second}, {Every: -time.Hour}, {At: -1}, {At: 24 * time.Hour}} {
		if wrong.Validate() == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}
