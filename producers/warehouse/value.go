package warehouse

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	errNoText    = errors.New("is not a text")
	errNoTexts   = errors.New("is not a list of texts")
	errNoTime    = errors.New("is not a time")
	errNoBool    = errors.New("is not a boolean")
	errWithheld  = errors.New("was omitted by Debezium because it did not change: set REPLICA IDENTITY FULL on the table")
	errLongYears = errors.New("is not within the years 1000 to 9999")
)

// withheld is Debezium's placeholder for a large value that an update did not change.
const withheld = "__debezium_unavailable_value"

// textOf reads a text; null is the empty text. Numbers are ids.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		if v == withheld {
			return "", errWithheld
		}
		return strings.TrimSpace(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	}
	return "", errNoText
}

// textsOf reads a list of texts, also from one text: a JSON array, a PostgreSQL array, or texts separated by commas,
// semicolons or blanks, none of which occur in an address.
func textsOf(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []string:
		return whole(v)
	case []any:
		list := make([]string, len(v))
		for i, element := range v {
			text, err := textOf(element)
			if err != nil {
				return nil, err
			}
			list[i] = text
		}
		return whole(list)
	case string:
		return split(strings.TrimSpace(v))
	}
	return nil, errNoTexts
}

// named matches an address behind a name: Ann <ann@example.org>.
var named = regexp.MustCompile(`(^|[\s,;{}])(?:"[^"]*"\s*|[^<>,;"{}@\r\n]*)<([^<>\s]+@[^<>\s]+)>`)

func split(text string) ([]string, error) {
	if strings.HasPrefix(text, "[") {
		var list []any
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return nil, errNoTexts
		}
		return textsOf(list)
	}
	if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
		text = text[1 : len(text)-1]
	}
	list := strings.FieldsFunc(named.ReplaceAllString(text, "$1 $2 "), func(r rune) bool { return strings.ContainsRune(",; \t\r\n\"", r) })
	return whole(list)
}

// whole refuses an incomplete list.
func whole(list []string) ([]string, error) {
	for _, text := range list {
		if text == withheld {
			return nil, errWithheld
		}
	}
	return list, nil
}

// writtenTime matches the times of RFC 3339, PostgreSQL, BigQuery, Snowflake and dbt: a date, perhaps with a time of day to the minute
// or better, and a zone with or without a colon, behind a blank or not.
var writtenTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:(?:[Tt]| +)(\d{1,2}:\d{2})(:\d{2}(?:[.,]\d{1,9})?)?(?: *([Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?$`)

// otherLayouts are those of Snowflake's TIMESTAMP_LTZ and of HTTP.
var otherLayouts = []string{time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 -0700", time.RFC1123}

// numberedTime matches a number of seconds, milliseconds, microseconds or nanoseconds since 1970, from 1973 on and, but for seconds,
// from 2001 on: other numbers of digits are dates that are written without separators, or nothing.
var numberedTime = regexp.MustCompile(`^(?:\d{9,10}|\d{13}|\d{16}|\d{19})$`)

// timeOf reads a time with the precision of the database, microseconds; null is the zero time.
func timeOf(value any) (time.Time, error) {
	switch v := value.(type) {
	case nil:
		return time.Time{}, nil
	case time.Time:
		return within(v)
	case int64:
		return within(sinceEpoch(v))
	case float64:
		return fractional(v)
	case string:
		return parseTime(strings.TrimSpace(v))
	}
	return time.Time{}, errNoTime
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if text == withheld {
		return time.Time{}, errWithheld
	}
	if numberedTime.MatchString(text) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, errNoTime
		}
		return within(sinceEpoch(n))
	}
	if found := writtenTime.FindStringSubmatch(text); found != nil {
		return dated(found[1], found[2], found[3], found[4])
	}
	for _, layout := range otherLayouts {
		if t, err := time.Parse(layout, text); err == nil && (layout != time.RFC1123 || strings.HasSuffix(text, " GMT") || strings.HasSuffix(text, " UTC")) {
			return within(t)
		}
	}
	return time.Time{}, errNoTime
}

// dated reads the parts of a time: a date, hour and minute, second and zone, of which all but the date may be empty. Without a zone
// it is in UTC.
func dated(day, minute, second, zone string) (time.Time, error) {
	if minute == "" {
		minute = "00:00"
	}
	if second == "" {
		second = ":00"
	}
	switch zone = strings.ToUpper(zone); {
	case zone == "" || zone == "UTC" || zone == "GMT":
		zone = "Z"
	case len(zone) == len("+02"):
		zone += ":00"
	case len(zone) == len("+0200"):
		zone = zone[:3] + ":" + zone[3:]
	}
	if len(minute) < len("09:30") {
		minute = "0" + minute
	}
	t, err := time.Parse(time.RFC3339Nano, day+"T"+minute+strings.Replace(second, ",", ".", 1)+zone)
	if err != nil {
		return time.Time{}, errNoTime
	}
	return within(t)
}

// fractional is sinceEpoch for a number that may have a fraction, of seconds or milliseconds.
func fractional(v float64) (time.Time, error) {
	switch size := math.Abs(v); {
	case v != v || size >= 1e18:
		return time.Time{}, errNoTime
	case size < 1e11:
		return within(time.UnixMicro(int64(math.Round(v * 1e6))))
	case size < 1e14:
		return within(time.UnixMicro(int64(math.Round(v * 1e3))))
	}
	return within(sinceEpoch(int64(v)))
}

// sinceEpoch reads seconds, milliseconds, microseconds or nanoseconds since 1970. For times from March 1973 to the year 5138,
// the size of the number shows which.
func sinceEpoch(n int64) time.Time {
	const least = 100_000_000_000
	switch size := max(n, -n); {
	case size < least:
		return time.Unix(n, 0)
	case size < least*1000:
		return time.UnixMilli(n)
	case size < least*1000*1000:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}

func within(t time.Time) (time.Time, error) {
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1000 || t.Year() > 9999 {
		return time.Time{}, errLongYears
	}
	return t, nil
}

// boolOf reads a boolean; null is false.
func boolOf(value any) (bool, error) {
	switch v := value.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if v = strings.TrimSpace(v); v == "" {
			return false, nil
		}
		flag, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil {
			return false, errNoBool
		}
		return flag, nil
	}
	return false, errNoBool
}
