package money

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rank is how clearly an amount is the one that was paid.
type rank int

const (
	rankNobody  rank = iota // what will be paid, or is nobody's
	rankPart                // tax, shipping, a fee
	rankBare                // nothing stands beside it
	rankDue                 // it is still to be paid
	rankNet                 // before tax and shipping
	rankAmount              // an amount
	rankPaid                // a sentence says that it was paid
	rankTotal               // a total
	rankGross               // a total with everything
	rankPaidAll             // what was paid in all
	rankRefund
	rankRefundTotal
)

// labelled is an amount with what stands beside it.
type labelled struct {
	sum
	rank   rank
	paid   bool // it is said that it was paid, and not only of what payment it is
	coming bool // it will be paid, or it could not be
	due    bool // it is to be paid
}

// The bytes beside an amount that are looked at.
const (
	maxLabel = 90
	maxAfter = 70
)

// letter is a mail as the rules see it: its amounts with what stands beside them.
type letter struct {
	mail  *Mail
	text  string // subject, an empty line, and the text without quotations
	body  int    // where the text begins
	lines []int  // where lines begin
	sums  []labelled

	subject []int // how many phrases of each list of subjectWords the subject has
	refund  bool  // the subject is of money that came back
}

// read finds the amounts of a mail and labels them. It copies the text only if there is an amount.
func read(m *Mail) *letter {
	l := &letter{mail: m}
	subject := m.Subject[:min(len(m.Subject), maxSubject)]
	body := ends(m.Text)
	if len(scan(subject)) == 0 && len(scan(body)) == 0 {
		return l
	}
	l.body = len(subject) + 2
	l.text = subject + "\n\n" + unquoted(body)
	found := region{m.SenderDomain, l.text}.resolveAll(scan(l.text))
	if len(found) == 0 {
		return l
	}
	l.lines = lineStarts(l.text)
	l.subject = subjectCounts(subject)
	l.refund = l.subject[ofRefundSubjects] > 0
	l.sums = make([]labelled, len(found))
	only := l.amountLines(found)
	for i := range found {
		l.sums[i] = l.label(found, i, only)
	}
	return l
}

// maxSubject is how much of a subject is looked at.
const maxSubject = 300

// ends returns what is looked at of a text: an untrusted one may be long, and totals stand at the ends.
func ends(text string) string {
	if len(text) <= maxScanned+maxTail {
		return text
	}
	return text[:maxScanned] + "\n\n" + text[len(text)-maxTail:]
}

// forwards are what stands before a mail that another one carries.
var forwards = []string{"-----Original", "---------- Forwarded", "----- Forwarded", "Begin forwarded message", "-----Ursprüngliche", "---------- Weitergeleitete", "-------- Original", "-------- Forwarded", "---------- Message transféré", "---------- Mensaje reenviado"}

// unquoted returns a text without the lines of others that it quotes, and without mail that it forwards.
func unquoted(text string) string {
	for _, begin := range forwards {
		if at := strings.Index(text, begin); at >= 0 {
			text = text[:at]
		}
	}
	if !strings.HasPrefix(text, ">") && !strings.Contains(text, "\n>") {
		return text
	}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, ">") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// lineOf returns the number of the line that a byte is in.
func (l *letter) lineOf(at int) int {
	i, exact := slices.BinarySearch(l.lines, at)
	if exact {
		return i
	}
	return i - 1
}

// line returns a line without its end, and where it begins.
func (l *letter) line(number int) (text string, start int) {
	start = l.lines[number]
	end := len(l.text)
	if number+1 < len(l.lines) {
		end = l.lines[number+1] - 1
	}
	return l.text[start:end], start
}

// amountLines returns the lines that hold one amount and nothing else, and with false those that hold an amount with other text.
func (l *letter) amountLines(sums []sum) map[int]bool {
	only := map[int]bool{}
	for i := range sums {
		number := l.lineOf(sums[i].start)
		text, start := l.line(number)
		_, more := only[number]
		only[number] = !more && !hasWord(text[:sums[i].start-start]) && !hasWord(text[min(len(text), sums[i].end-start):])
	}
	return only
}

// hasWord tells whether a text has a letter or a digit.
func hasWord(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// label looks at what stands beside an amount.
func (l *letter) label(sums []sum, i int, only map[int]bool) labelled {
	number := l.lineOf(sums[i].start)
	text, start := l.line(number)
	from, to := start, start+len(text)
	if i > 0 && sums[i-1].end > from {
		from = sums[i-1].end
	}
	if i+1 < len(sums) && sums[i+1].start < to {
		to = sums[i+1].start
	}
	before, after := lastSentence(l.text[from:sums[i].start]), firstSentence(l.text[min(sums[i].end, to):to])
	if !hasWord(before) && from == start {
		before = l.labelAbove(number, only)
	}
	if to == start+len(text) && number+1 < len(l.lines) {
		if next, _ := l.line(number + 1); startsLower(next) {
			after = firstSentence(after + " " + next)
		}
	}
	s := labelled{sum: sums[i]}
	s.judge(before, after, l.refund)
	return s
}

// labelAbove returns the label of an amount that begins its line. In a column of labels and one of amounts below it, each line of one
// belongs to a line of the other; else the label is the line above.
func (l *letter) labelAbove(number int, only map[int]bool) string {
	first, last := number, number
	for only[first-1] {
		first--
	}
	for only[last+1] {
		last++
	}
	if only[number] && last > first {
		labels := l.labelsAbove(first, last-first+1, only)
		if len(labels) == last-first+1 {
			return tail(labels[number-first])
		}
	}
	for above := number - 1; above >= 0 && above >= number-3; above-- {
		text, _ := l.line(above)
		if _, hasAmount := only[above]; hasAmount {
			return ""
		}
		if hasWord(text) {
			return lastSentence(text)
		}
	}
	return ""
}

// labelsAbove returns up to count lines above a line that have no amounts, in order, without empty ones.
func (l *letter) labelsAbove(number, count int, only map[int]bool) []string {
	var labels []string
	for above := number - 1; above > 0 && len(labels) < count; above-- {
		text, _ := l.line(above)
		if _, hasAmount := only[above]; hasAmount || len(text) > maxLabel {
			break
		}
		if hasWord(text) {
			labels = append(labels, text)
		}
	}
	slices.Reverse(labels)
	return labels
}

func startsLower(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsLower(r)
}

// tail returns the end of a text, whole characters of it.
func tail(text string) string {
	if len(text) <= maxLabel {
		return text
	}
	at := len(text) - maxLabel
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}

// lastSentence returns the end of a text, from the last sentence on.
func lastSentence(text string) string {
	text = tail(text)
	for i := len(text) - 3; i > 0; i-- {
		ends := text[i] == '!' || text[i] == '?' || text[i] == ';' || text[i] == '.' && !abbreviated(text[:i])
		if ends && text[i+1] == ' ' {
			return text[i+2:]
		}
	}
	return text
}

// abbreviations are words that end in a point within a sentence.
var abbreviations = wordSet("nr no n n° inkl incl inc exkl excl zzgl abzgl einschl ca bzw st stk art pos tel ref inv approx dr mr mrs ms z b p rs kr fr sr sra jr ltd co vat ust mwst gmbh abs max min avg est num núm tot imp ej sig dott " +
	"jan feb mar apr jun jul aug sep sept oct okt nov dec dez bestell kd beleg rg")

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// abbreviated tells whether a text ends in a word that a point shortens.
func abbreviated(text string) bool {
	word := text[strings.LastIndexAny(text, " \n")+1:]
	return len(word) == 1 || abbreviations[strings.ToLower(strings.TrimLeft(word, "("))]
}

// firstSentence returns the beginning of a text, to the end of its first sentence.
func firstSentence(text string) string {
	for i := range min(len(text), maxAfter) {
		if text[i] == '.' && (i+1 == len(text) || text[i+1] == ' ') || text[i] == '!' || text[i] == ';' || text[i] == '(' && i > 0 {
			return text[:i]
		}
	}
	at := min(len(text), maxAfter)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[:at]
}

// nearest is how many bytes right before an amount tell that it is nobody's.
const nearest = 24

// judge ranks the amount by the words before and behind it.
func (s *labelled) judge(before, after string, refund bool) {
	b, a := labelWords.Count(before), labelWords.Count(after)
	near := before[max(0, len(before)-nearest):]
	if _, rest, cut := strings.Cut(near, " "); cut && len(near) == nearest {
		near = rest
	}
	other := otherWords.Count(near)[0] > 0
	rate := rates.Count(after[:min(len(after), nearest)])[0] > 0
	s.coming = b[ofComing] > 0 || a[ofComing] > 0
	s.due = b[ofDue] > 0 || a[ofDue] > 0 && b[ofTotals] == 0
	refunded := b[ofRefunds]+a[ofRefunds] > 0 && (b[ofParts] == 0 || a[ofRefunds] > 0)
	if refund && refunded {
		s.coming = false // it is done, and will be seen
	}
	switch {
	case s.coming, b[ofCredits] > 0, rate && b[ofTotals] == 0:
		s.rank = rankNobody
	case refunded:
		s.rank = rankRefund
		if b[ofTotals]+b[ofAmounts] > 0 {
			s.rank = rankRefundTotal
		}
	case b[ofPaidTotals] > 0 && b[ofParts] == 0:
		s.rank = rankPaidAll
	case other:
		s.rank = rankNobody
	case b[ofTotals] > 0:
		s.rank = totalRank(b)
	case b[ofNet] > 0:
		s.rank = rankNet
	case b[ofParts] > 0 && a[ofPaid] == 0:
		s.rank = rankPart
	case s.due:
		s.rank = rankDue
	case b[ofPaid]+a[ofPaid] > 0, b[ofPayments]+a[ofPayments] > 0 && b[ofMade]+a[ofMade] > 0, isLabel(before) && b[ofPayments] > 0:
		s.rank, s.paid = rankPaid, true
	case b[ofPayments]+a[ofPayments] > 0:
		s.rank = rankPaid
	case b[ofAmounts] > 0:
		s.rank = rankAmount
	default:
		s.rank = rankBare
	}
}

// isLabel tells whether what stands before an amount is a label, such as "Paid:", and no sentence.
func isLabel(before string) bool { return strings.Count(strings.TrimSpace(before), " ") < 2 }

// totalRank ranks what is called a total: it may be one of parts, or one before tax.
func totalRank(b []int) rank {
	switch {
	case b[ofGross] > 0:
		return rankGross
	case b[ofNet] > 0:
		return rankNet
	case b[ofParts] > 0:
		return rankPart
	}
	return rankTotal
}

// best returns the amount that is labelled most clearly. Of several equally clear ones it takes what stands most often, then the largest, since a
// total is not less than its parts; of sentences the first.
func (l *letter) best() *labelled {
	var best *labelled
	for i := range l.sums {
		if s := &l.sums[i]; best == nil || l.compare(s, best) > 0 {
			best = s
		}
	}
	return best
}

func (l *letter) compare(a, b *labelled) int {
	if a.rank != b.rank {
		return cmp.Compare(a.rank, b.rank)
	}
	if a.rank == rankPaid || a.rank == rankAmount || a.rank == rankPaidAll {
		return 0 // the first
	}
	if a.code != b.code {
		return cmp.Compare(l.often(a.code), l.often(b.code))
	}
	return compareDecimals(a.decimal, b.decimal)
}

// often counts the amounts in a currency.
func (l *letter) often(code string) (n int) {
	for i := range l.sums {
		if l.sums[i].code == code {
			n++
		}
	}
	return n
}

// compareDecimals compares two decimals without a sign or leading zeros.
func compareDecimals(a, b string) int {
	wholeA, fractionA, _ := strings.Cut(a, ".")
	wholeB, fractionB, _ := strings.Cut(b, ".")
	return cmp.Or(cmp.Compare(len(wholeA), len(wholeB)), cmp.Compare(wholeA, wholeB), cmp.Compare(strings.TrimRight(fractionA, "0"), strings.TrimRight(fractionB, "0")))
}

// addsUp tells whether other amounts before the best one add up to it, or whether it stands twice: a list of what was bought.
func (l *letter) addsUp(best *labelled) bool {
	want := cents(best.decimal)
	sum, count := int64(0), 0
	for i := range l.sums {
		s := &l.sums[i]
		if s == best || s.code != best.code || s.start < l.body {
			continue
		}
		value := cents(s.decimal)
		if value == want {
			return true
		}
		if s.minus {
			value = -value
		}
		sum += value
		if count++; count > 1 && sum == want {
			return true
		}
		if s.rank == rankNet { // what came before is in it
			sum, count = value, 1
		}
	}
	return false
}

// cents returns a decimal in thousandths, or -1 for one that is too large to add up.
func cents(decimal string) int64 {
	whole, fraction, _ := strings.Cut(decimal, ".")
	if len(whole) > 9 || len(fraction) > 3 {
		return -1
	}
	var value int64
	for _, digit := range whole + (fraction + "000")[:3] {
		value = 10*value + int64(digit-'0')
	}
	return value
}
