package rebuild

import "github.com/jackc/pgx/v5"

// maxSamples bounds the differing rows that are shown of a table.
const maxSamples = 10

// sortedRows reads rows in the order of their text.
type sortedRows struct {
	rows pgx.Rows
	line string // tells rows apart
	json string // for people
	err  error
}

func (s *sortedRows) next() bool {
	if !s.rows.Next() {
		s.err = s.rows.Err()
		return false
	}
	s.err = s.rows.Scan(&s.line, &s.json)
	return s.err == nil
}

// merge walks two sorted sequences side by side.
func (t *TableComparison) merge(left, right *sortedRows) error {
	hasLeft, hasRight := left.next(), right.next()
	for hasLeft || hasRight {
		switch {
		case hasLeft && (!hasRight || left.line < right.line):
			t.OnlyLive++
			t.sample(true, left.json)
			hasLeft = left.next()
		case hasRight && (!hasLeft || right.line < left.line):
			t.OnlyOther++
			t.sample(false, right.json)
			hasRight = right.next()
		default:
			hasLeft, hasRight = left.next(), right.next()
		}
	}
	if left.err != nil {
		return left.err
	}
	return right.err
}

func (t *TableComparison) sample(live bool, row string) {
	if len(t.Samples) < maxSamples {
		t.Samples = append(t.Samples, Difference{live, row})
	}
}
