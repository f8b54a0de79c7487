package postgres

import (
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/search"
)

// nearby is how many of the newest mails are looked at one by one before the index is asked. What most mails fulfil is
// found among them, and what few fulfil costs little in the index, which returns mails in no useful order.
const nearby = 200

// The order of hits that fulfil equally many wishes.
const newestFirst = " ORDER BY m.received_at DESC, m.id"

// fence keeps PostgreSQL from merging a subquery with the query around it: from walking through mails in the order of
// the hits because it expects many, and from looking at texts before it knows that they are needed.
const fence = " OFFSET 0"

// search returns the text of the statement. Its rows are the hits in the order that the port promises, with the columns
// id, received_at and wishes, a bit for each part of Should that the mail fulfils.
//
// Mails that fulfil a wish are looked up first, each wish by itself, since few mails do; then the newest of the others,
// as far as hits are missing.
func (s *statement) search(request search.Request) string {
	var with, hits []string
	missing := "" // what holds for the other mails, and only while hits are missing
	if len(request.Should) > 0 {
		with = append(with, "lifted AS MATERIALIZED ("+s.lifted(request)+")")
		hits = append(hits, "(SELECT id, received_at, tier, wishes FROM lifted ORDER BY tier DESC, received_at DESC, id LIMIT $2)")
		missing = " AND (SELECT count(*) FROM lifted) < $2 AND NOT (m.id IN (SELECT id FROM lifted))"
	}
	const others = "SELECT id, received_at, 0, 0 FROM "
	if _, keyed := s.tsquery(request.Where); keyed && request.Limit <= nearby/2 {
		with = append(with, "near AS MATERIALIZED ("+s.near(request.Where)+missing+")")
		hits = append(hits, others+"near WHERE (SELECT count(*) FROM near) >= $2")
		missing += " AND (SELECT count(*) FROM near) < $2"
	}
	hits = append(hits, others+"("+s.newest(request.Where, missing)+") far")
	text := "SELECT id, received_at, wishes FROM (" + strings.Join(hits, " UNION ALL ") + ") hits (id, received_at, tier, wishes)" +
		" ORDER BY tier DESC, received_at DESC, id LIMIT $2"
	if len(with) > 0 {
		text = "WITH " + strings.Join(with, ", ") + " " + text
	}
	return text
}

// lifted returns a query for the mails that fulfil a wish, with the number of those wishes and their bits.
func (s *statement) lifted(request search.Request) string {
	parts := make([]string, len(request.Should))
	for i, wish := range request.Should {
		parts[i] = "SELECT id, received_at, " + strconv.Itoa(1<<i) + " AS wish FROM (" + s.scan(search.And{request.Where, wish}) + ") found"
	}
	return "SELECT id, received_at, count(*) AS tier, sum(wish) AS wishes FROM (" + strings.Join(parts, " UNION ALL ") +
		") found GROUP BY id, received_at"
}

// near returns a query for those of the newest mails for which n holds; a condition may follow.
func (s *statement) near(n search.Node) string {
	newest := "SELECT * FROM live_mails m WHERE m.user_id = $1"
	for _, part := range conjuncts(n) {
		if period, ok := part.(search.Between[time.Time]); ok && period.Field == search.ReceivedAt {
			newest += " AND " + s.condition(part, onRow)
		}
	}
	newest += newestFirst + " LIMIT " + strconv.Itoa(nearby)
	return "SELECT m.id, m.received_at FROM (" + withWords("("+newest+")") + ") m WHERE " + s.condition(n, onRow)
}

// withWords adds to rows that have search_words the column words, which conditions on rows look at.
func withWords(rows string) string {
	return "SELECT m.*, ' ' || m.search_words || ' ' AS words FROM " + rows + " m" + fence
}

// scan returns a query for all mails for which n holds.
func (s *statement) scan(n search.Node) string {
	candidates, seen := s.candidates(n, "")
	if seen == "" {
		return candidates
	}
	return "SELECT m.id, m.received_at FROM (" + withWords("("+candidates+fence+")") + ") m WHERE " + seen
}

// newest returns a query for the newest mails for which n and another condition holds. Texts are looked at in the order
// of the hits and only until there are enough.
func (s *statement) newest(n search.Node, and string) string {
	candidates, seen := s.candidates(n, and)
	_, keyed := s.tsquery(n)
	switch {
	case seen != "":
		rows := withWords("(" + candidates + newestFirst + fence + ")")
		return "SELECT m.id, m.received_at FROM (" + rows + ") m WHERE " + seen + newestFirst + " LIMIT $2"
	case keyed:
		return "SELECT m.id, m.received_at FROM (" + candidates + fence + ") m" + newestFirst + " LIMIT $2"
	}
	return candidates + newestFirst + " LIMIT $2"
}

// candidates returns a query for the mails m for which n may hold, and what must be seen from their text for n to hold;
// nothing when n holds for all of them.
func (s *statement) candidates(n search.Node, and string) (query, seen string) {
	where := " FROM live_mails m WHERE m.user_id = $1" + and
	if keys, ok := s.tsquery(n); ok {
		where += " AND search_keys(m.search_words) @@ " + s.arg(keys) + "::tsquery"
	}
	var texts []string
	for _, part := range conjuncts(n) {
		switch {
		case every(part, isIndexed):
		case every(part, isTextual):
			texts = append(texts, s.condition(part, onRow))
		default:
			where += " AND " + s.condition(part, apart)
		}
	}
	if len(texts) == 0 {
		return "SELECT m.id, m.received_at" + where, ""
	}
	return "SELECT m.id, m.received_at, m.search_words" + where, strings.Join(texts, " AND ")
}
