package warehouse

import (
	"encoding/json"
	"errors"
	"math"
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
	list := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",; \t\r\n\"", r) })
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

// timeLayouts are the formats of RFC 3339, PostgreSQL, BigQuery and dbt. A time without an offset is in UTC.
var timeLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z07",
	"2006-01-02",
}

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
		if math.Abs(v) > 1e11 || v != v {
			return time.Time{}, errNoTime
		}
		return within(time.UnixMicro(int64(math.Round(v * 1e6))))
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
	text = strings.TrimSuffix(text, " UTC")
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return within(t)
		}
	}
	return time.Time{}, errNoTime
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
