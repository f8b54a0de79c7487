package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/keys"
)

// statement is the SQL of one search: its text is put together of fixed pieces, and everything that comes from outside
// is an argument. The first argument is the user, the second the limit.
type statement struct {
	index
	args    []any
	applied bool // something asks for applications
}

func newStatement(request search.Request) *statement {
	return &statement{index: index{keys.Mark(request.UserID)}, args: []any{request.UserID, request.Limit}}
}

// arg returns the placeholder of another argument.
func (s *statement) arg(value any) string {
	s.args = append(s.args, value)
	return "$" + strconv.Itoa(len(s.args))
}

// keySource tells how a condition finds out what the keys of a mail are.
type keySource bool

const (
	fromRow   keySource = true  // from m.words, the mail's keys with a space around each
	fromIndex keySource = false // by looking up which mails have them
)

// condition returns the condition that n holds for the mail m. It is never null.
func (s *statement) condition(n search.Node, source keySource) string {
	if source == fromIndex && asksWords(n) {
		return "m.id IN (SELECT id FROM (" + s.scan(n) + ") found)"
	}
	if onlyApplications(n) {
		return "m.id IN (" + s.applications(n) + ")"
	}
	switch n := n.(type) {
	case search.All:
		return "true"
	case search.And:
		return s.joined(n, " AND ", func(part search.Node) string { return s.condition(part, source) })
	case search.Or:
		return s.joined(n, " OR ", func(part search.Node) string { return s.condition(part, source) })
	case search.Not:
		return "NOT " + s.condition(n.Inner, source)
	case search.Between[float64]:
		return "(" + between(s, "m.risk_score::float8", n.Low, n.High) + ") IS TRUE"
	case search.Between[time.Time]:
		if n.Field == search.ExpiresAt {
			return "(" + between(s, "m.expires_at", n.Low, n.High) + ") IS TRUE"
		}
		return "(" + between(s, "m.received_at", n.Low, n.High) + ")"
	case search.Phrase:
		return s.says(wordKinds[n.Field], n.Words, n.Prefix)
	case search.Value:
		return s.value(n)
	case search.Exists:
		return s.says(keys.Has, []string{string(n.Field)}, false)
	}
	panic(fmt.Sprintf("search: a node %T", n))
}

func (s *statement) joined(list []search.Node, operator string, condition func(search.Node) string) string {
	parts := make([]string, len(list))
	for i, n := range list {
		parts[i] = condition(n)
	}
	return "(" + strings.Join(parts, operator) + ")"
}

func (s *statement) value(n search.Value) string {
	switch n.Field {
	case search.ID:
		return "m.id = " + s.arg(n.Text) + "::uuid"
	case search.Quarantined:
		is := s.says(keys.Is, []string{keys.Quarantined}, false)
		if n.Text == "false" {
			return "NOT " + is
		}
		return is
	}
	return s.says(kinds[n.Field], []string{n.Text}, n.Prefix)
}

// says returns the condition that keys of a kind follow each other on a row.
func (s *statement) says(kind keys.Kind, values []string, prefix bool) string {
	var b strings.Builder
	for _, value := range values {
		b.WriteByte(' ')
		b.WriteString(keys.Of(s.mark, kind, value))
	}
	if !prefix {
		b.WriteByte(' ')
	}
	return "strpos(m.words, " + s.arg(b.String()) + ") > 0"
}

// between returns a condition that is null when the column is.
func between[T float64 | time.Time](s *statement, column string, low, high *search.Limit[T]) string {
	var parts []string
	if low != nil {
		operator := " >= "
		if low.Excluded {
			operator = " > "
		}
		parts = append(parts, column+operator+s.arg(low.Value))
	}
	if high != nil {
		operator := " <= "
		if high.Excluded {
			operator = " < "
		}
		parts = append(parts, column+operator+s.arg(high.Value))
	}
	return strings.Join(parts, " AND ")
}

// atsColumns are the columns of live_ats.
var atsColumns = map[search.Field]string{search.Stage: "a.stage", search.System: "a.system", search.Company: "a.company"}

// applications returns a query for the ids of the mails to which an application belongs for which n holds.
func (s *statement) applications(n search.Node) string {
	return "SELECT a.mail_id FROM ats a WHERE " + s.ofApplication(n)
}

// ofApplication returns the condition that n holds for the application a.
func (s *statement) ofApplication(n search.Node) string {
	s.applied = true
	switch n := n.(type) {
	case search.And:
		return s.joined(n, " AND ", s.ofApplication)
	case search.Or:
		return s.joined(n, " OR ", s.ofApplication)
	case search.Between[float64]:
		return between(s, "a.ghosting_risk", n.Low, n.High)
	case search.Exists:
		if column, ok := atsColumns[n.Field]; ok {
			return column + " <> ''"
		}
		return "a.ghosting_risk IS NOT NULL"
	}
	value := n.(search.Value)
	column := atsColumns[value.Field]
	if value.Prefix {
		return "starts_with(lower(" + column + "), " + s.arg(value.Text) + ")"
	}
	return "lower(" + column + ") = " + s.arg(value.Text)
}

// onlyApplications tells whether n compares with applications and nothing else, and cannot hold for a mail without one.
func onlyApplications(n search.Node) bool {
	other := func(part search.Node) bool { return !onlyApplications(part) }
	switch n := n.(type) {
	case search.And:
		return !slices.ContainsFunc(n, other)
	case search.Or:
		return !slices.ContainsFunc(n, other)
	}
	return isApplication(n)
}
