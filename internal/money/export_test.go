package money

import "fmt"

// Explain writes what the rules see of a mail.
func Explain(m *Mail) string {
	l := read(m)
	if len(l.sums) == 0 {
		return "no amounts"
	}
	e := l.evidence()
	text := fmt.Sprintf("weight %d, subject %v, text %v, paid %t, total %t, coming %t, due %t, amounts", e.weight(), e.subject, e.text, e.paid, e.total, e.coming, e.due)
	for i := range l.sums {
		text += fmt.Sprintf(" %s %s:%d", l.sums[i].decimal, l.sums[i].code, l.sums[i].rank)
	}
	return text
}
