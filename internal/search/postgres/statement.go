package postgres

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/search"
)

// nearby is how many of the newest mails are looked at one by one before the index is asked. What most mails fulfil is
// found among them, and what few fulfil costs little in the index, which returns mails in no useful order.
const nearby = 200

// The orders of hits: of all, and of those that fulfil equally many wishes.
const (
	bestFirst   = " ORDER BY tier DESC, m.received_at DESC, m.id"
	newestFirst = " ORDER BY m.received_at DESC, m.id"
)

// fence keeps PostgreSQL from merging a subquery with the query around it: from walking through mails in the order of
// the hits because it expects many, and from looking at texts before it knows that they are needed.
const fence = " OFFSET 0"

// words is the column that conditions on rows look at, made of a row's own text or of that of the mail with its id.
const (
	ownWords  = "' ' || m.search_words || ' ' AS words"
	mailWords = "(SELECT ' ' || w.search_words || ' ' FROM live_mails w WHERE w.id = m.id) AS words"
)

// search returns the text of the statement. Its rows are the hits in the order that the port promises, with the columns
// id, received_at and wishes, a bit for each part of Should that the mail fulfils.
//
// Mails that fulfil a wish are looked up first, each wish by itself, since few mails do; then the newest of the others,
// as far as hits are missing.
func (s *statement) search(request search.Request) string {
	var with, hits []string
	missing := "" // what holds for the other mails, and for none when no hits are missing
	if len(request.Should) > 0 {
		with = append(with, s.lifted(request)...)
		hits = append(hits, "SELECT id, received_at, tier, wishes FROM best")
		missing = " AND (SELECT count(*) FROM best) < $2 AND NOT (m.id IN (SELECT id FROM lifted))"
	}
	const others = "SELECT id, received_at, 0, 0 FROM "
	if slices.ContainsFunc(conjuncts(request.Where), asksWords) && request.Limit <= nearby/2 {
		with = append(with, "near AS MATERIALIZED ("+s.near(request.Where)+missing+")")
		hits = append(hits, others+"near WHERE (SELECT count(*) FROM near) >= $2")
		missing += " AND (SELECT count(*) FROM near) < $2"
	}
	hits = append(hits, others+"("+s.newest(request.Where, missing)+") far")
	if s.applied {
		with = append([]string{"ats AS MATERIALIZED (" + s.applicationsOf(request.Where) + ")"}, with...)
	}
	text := "SELECT id, received_at, wishes FROM (" + strings.Join(hits, " UNION ALL ") + ") m (id, received_at, tier, wishes)" + bestFirst + " LIMIT $2"
	if len(with) > 0 {
		text = "WITH " + strings.Join(with, ", ") + " " + text
	}
	return text
}

// lifted returns named queries: of them, lifted are the mails that fulfil a wish, with the number of those wishes and
// their bits, and best those among them that are hits, as many as are needed.
func (s *statement) lifted(request search.Request) []string {
	var named, parts []string
	var applied search.Or
	for i, wish := range request.Should {
		bit := strconv.Itoa(1 << i)
		if onlyApplications(wish) {
			applied = append(applied, wish)
			// IS TRUE keeps the list of applications a table to look up in, and no join.
			parts = append(parts, "SELECT id, received_at, "+bit+" FROM applied m WHERE (m.id IN ("+s.applications(wish)+")) IS TRUE")
			continue
		}
		query := s.candidates(search.And{request.Where, wish}, "", "")
		parts = append(parts, "SELECT id, received_at, "+bit+" FROM ("+s.seeing(query, wish)+") m")
	}
	if len(applied) > 0 {
		named = append(named, "applied AS MATERIALIZED ("+s.withApplication(request.Where, applied)+")")
	}
	best := "SELECT * FROM lifted m"
	if seen := s.seen(request.Where); seen != "" {
		best = lazily(best, mailWords, seen, bestFirst)
	} else {
		best += bestFirst + " LIMIT $2"
	}
	return append(named, "lifted AS MATERIALIZED (SELECT id, received_at, count(*) AS tier, sum(wish) AS wishes FROM ("+
		strings.Join(parts, " UNION ALL ")+") m (id, received_at, wish) GROUP BY id, received_at)", "best AS MATERIALIZED ("+best+")")
}

// applicationsOf returns a query for the applications of the mails for which n may hold, whatever those applications are.
func (s *statement) applicationsOf(n search.Node) string {
	mails := "SELECT mail_id FROM touched_mails WHERE user_id = $1"
	if known, _ := splitApplications(n); !holdsForAll(known) {
		mails = "SELECT id FROM (" + s.candidates(known, mails, "") + ") m"
	}
	return "SELECT mail_id, stage, system, company, ghosting_risk(last_stage_change, interview_date, now()) AS ghosting_risk" +
		" FROM ats_of(ARRAY(" + mails + ")) WHERE user_id = $1"
}

// withApplication returns a query for the candidates for n whose application fulfils a wish. What n says of other things
// than applications is known of all mails that have a row in ats.
func (s *statement) withApplication(n, wish search.Node) string {
	query := "SELECT m.id, m.received_at FROM live_mails m WHERE m.user_id = $1 AND m.id = ANY (ARRAY(" + s.applications(wish) + "))"
	_, unknown := splitApplications(n)
	for _, part := range unknown {
		query += " AND " + s.condition(part, fromIndex)
	}
	return query
}

// splitApplications returns the parts of n that do not ask for applications, and those that do.
func splitApplications(n search.Node) (others, asking search.And) {
	for _, part := range conjuncts(n) {
		if every(part, func(leaf search.Node) bool { return !isApplication(leaf) }) {
			others = append(others, part)
		} else {
			asking = append(asking, part)
		}
	}
	return others, asking
}

// near returns a query for those of the newest mails for which n holds; a condition may follow.
func (s *statement) near(n search.Node) string {
	newest := "SELECT * FROM live_mails m WHERE m.user_id = $1"
	for _, part := range conjuncts(n) {
		if isPeriod(part) {
			newest += " AND " + s.condition(part, fromRow)
		}
	}
	newest += newestFirst + " LIMIT " + strconv.Itoa(nearby)
	return "SELECT m.id, m.received_at FROM (SELECT m.*, " + ownWords + " FROM (" + newest + ") m" + fence + ") m WHERE " + s.condition(n, fromRow)
}

// newest returns a query for the newest mails for which n and another condition hold.
func (s *statement) newest(n search.Node, and string) string {
	query := s.candidates(n, "", and)
	if seen := s.seen(n); seen != "" {
		return lazily(query, ownWords, seen, newestFirst)
	}
	if _, keyed := s.tsquery(n); keyed {
		query = "SELECT * FROM (" + query + fence + ") m"
	}
	return query + newestFirst + " LIMIT $2"
}

// lazily returns a query for the first rows of a query for which a condition on words holds. Words are looked at in the
// order of the rows and only until there are enough, for which each level must say the order.
func lazily(query, words, seen, order string) string {
	return "SELECT * FROM (SELECT m.*, " + words + " FROM (" + query + order + fence + ") m" + order + fence + ") m WHERE " + seen + order + " LIMIT $2"
}

// scan returns a query for all mails for which n holds.
func (s *statement) scan(n search.Node) string { return s.seeing(s.candidates(n, "", ""), n) }

// seeing returns a query for those candidates for which n holds as far as it must be seen from their words.
func (s *statement) seeing(candidates string, n search.Node) string {
	seen := s.seen(n)
	if seen == "" {
		return candidates
	}
	return "SELECT * FROM (SELECT m.*, " + ownWords + " FROM (" + candidates + fence + ") m" + fence + ") m WHERE " + seen
}

// candidates returns a query for the mails m for which n holds, as far as it can be told without their words, and
// another condition holds; ids is a query for the ids of all mails in question, or empty.
func (s *statement) candidates(n search.Node, ids, and string) string {
	parts := conjuncts(n)
	if applied := slices.DeleteFunc(slices.Clone(parts), func(part search.Node) bool { return !onlyApplications(part) }); len(applied) > 0 {
		ids = s.applications(search.And(applied))
	}
	where := "m.user_id = $1"
	if query, ok := s.tsquery(n); ok {
		if ids != "" || !slices.ContainsFunc(parts, isPeriod) {
			where = "m.user_id IS NOT DISTINCT FROM $1" // the keys are the user's: no index of users is to be read beside theirs
		}
		where += " AND search_keys(m.search_words) @@ " + s.arg(query) + "::tsquery"
	}
	if ids != "" {
		where += " AND m.id = ANY (ARRAY(" + ids + "))" // an array, which the index of ids can look up
	}
	for _, part := range parts {
		if !every(part, isTextual) && !onlyApplications(part) {
			where += " AND " + s.condition(part, fromIndex)
		}
	}
	return "SELECT m.id, m.received_at, m.search_words FROM live_mails m WHERE " + where + and
}

// seen returns what must be seen from the words of candidates for n to hold, nothing when n holds for all of them.
func (s *statement) seen(n search.Node) string {
	var parts []string
	for _, part := range conjuncts(n) {
		if every(part, isTextual) && !every(part, isIndexed) {
			parts = append(parts, s.condition(part, fromRow))
		}
	}
	return strings.Join(parts, " AND ")
}

// holdsForAll reports whether n holds for every mail by its form alone: what compares nothing, such as NOT of everything,
// may as well hold for none.
func holdsForAll(n search.Node) bool {
	fails := func(part search.Node) bool { return !holdsForAll(part) }
	switch n := n.(type) {
	case search.All:
		return true
	case search.And:
		return !slices.ContainsFunc(n, fails)
	case search.Or:
		return slices.ContainsFunc(n, holdsForAll)
	}
	return false
}

// asksWords tells whether a part is about words and keys, and about nothing else.
func asksWords(part search.Node) bool {
	_, all := part.(search.All)
	return !all && every(part, isTextual)
}

// isPeriod tells whether a part bounds when mails were received.
func isPeriod(part search.Node) bool {
	period, ok := part.(search.Between[time.Time])
	return ok && period.Field == search.ReceivedAt
}
