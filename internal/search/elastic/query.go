package elastic

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/search"
)

// maxExpansions bounds the words that the end of a phrase may stand for. A dictionary holds fewer that begin alike.
const maxExpansions = 100_000

// object is one of JSON.
type object = map[string]any

// body is the search that answers a request. The score of a hit is the number of wishes that it fulfils: as sums of
// ones, scores are exact.
func body(r search.Request) object {
	wishes := make([]object, len(r.Should))
	for i, wish := range r.Should {
		wishes[i] = object{"constant_score": object{"filter": query(wish), "boost": 1, "_name": strconv.Itoa(i)}}
	}
	return object{
		"query": object{"bool": object{
			"filter": []object{{"term": object{"user_id": object{"value": r.UserID}}}, query(r.Where)},
			"should": wishes, "minimum_should_match": 0,
		}},
		"sort":             []object{{"_score": "desc"}, {"times.received_at": "desc"}, {"id": "asc"}},
		"size":             r.Limit,
		"_source":          false,
		"track_total_hits": false,
		"timeout":          searchTime.String(),
	}
}

// query is a part of a checked query in the words of Elasticsearch. Texts of people are values in it, never syntax.
func query(n search.Node) object {
	switch n := n.(type) {
	case search.All:
		return object{"match_all": object{}}
	case search.And:
		return object{"bool": object{"filter": queries(n)}}
	case search.Or:
		return object{"bool": object{"should": queries(n), "minimum_should_match": 1}}
	case search.Not:
		return object{"bool": object{"must_not": []object{query(n.Inner)}}}
	case search.Phrase:
		return phrase(n)
	case search.Value:
		return value(n)
	case search.Between[float64]:
		return numbers(n)
	case search.Between[time.Time]:
		return times(n)
	case search.Exists:
		return object{"term": object{"has": object{"value": n.Field}}}
	}
	panic(fmt.Sprintf("a node of type %T", n))
}

func queries(list []search.Node) []object {
	all := make([]object, len(list))
	for i, n := range list {
		all[i] = query(n)
	}
	return all
}

func phrase(p search.Phrase) object {
	field := "words." + string(p.Field)
	switch {
	case len(p.Words) == 1 && p.Prefix:
		return object{"prefix": object{field: object{"value": p.Words[0]}}}
	case len(p.Words) == 1:
		return object{"term": object{field: object{"value": p.Words[0]}}}
	case p.Prefix:
		return object{"match_phrase_prefix": object{field: object{"query": strings.Join(p.Words, " "), "max_expansions": maxExpansions}}}
	}
	return object{"match_phrase": object{field: object{"query": strings.Join(p.Words, " ")}}}
}

func value(v search.Value) object {
	field := "values." + string(v.Field)
	if v.Field == search.ID {
		field = string(v.Field)
	}
	kind := "term"
	if v.Prefix {
		kind = "prefix"
	}
	return object{kind: object{field: object{"value": v.Text}}}
}

func numbers(b search.Between[float64]) object {
	limits := object{}
	if b.Low != nil {
		limits[either(b.Low.Excluded, "gt", "gte")] = b.Low.Value
	}
	if b.High != nil {
		limits[either(b.High.Excluded, "lt", "lte")] = b.High.Value
	}
	return object{"range": object{"numbers." + string(b.Field): limits}}
}

// times compares in microseconds; a limit that lies between two of them is moved to the one that keeps its meaning.
func times(b search.Between[time.Time]) object {
	limits := object{}
	if b.Low != nil {
		if b.Low.Excluded {
			limits["gt"] = b.Low.Value.UnixMicro()
		} else {
			limits["gte"] = ceiling(b.Low.Value)
		}
	}
	if b.High != nil {
		if b.High.Excluded {
			limits["lt"] = ceiling(b.High.Value)
		} else {
			limits["lte"] = b.High.Value.UnixMicro()
		}
	}
	return object{"range": object{"times." + string(b.Field): limits}}
}

func ceiling(at time.Time) int64 {
	micros := at.UnixMicro()
	if at.Nanosecond()%1000 != 0 {
		micros++
	}
	return micros
}

func either(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}
