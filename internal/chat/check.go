package chat

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/tokenize"
)

// Checker reads what a model writes, sentence by sentence, and lets through what the mails support. It belongs to one answer.
type Checker struct {
	mails   []Mail
	proofs  []*proof // of mails, made when they are cited
	pending string   // a line that is not complete
	kept    int

	// Dropped counts the sentences that were not let through, by reason: uncited or unsupported.
	Dropped map[string]int
}

// The reasons why a sentence is dropped.
const (
	Uncited     = "uncited"
	Unsupported = "unsupported"
)

// mostLine bounds a line of a model, in bytes. What is longer is no sentence.
const mostLine = 4 << 10

// NewChecker returns a checker for an answer from the mails of Ask.
func NewChecker(mails []Mail) *Checker {
	mails = first(mails, MostPrompted)
	return &Checker{mails: mails, proofs: make([]*proof, len(mails)), Dropped: map[string]int{}}
}

// Add takes more of the model's text and returns the claims that became complete.
func (c *Checker) Add(text string) []Claim {
	c.pending += text
	var claims []Claim
	for {
		line, rest, complete := strings.Cut(c.pending, "\n")
		if !complete {
			break
		}
		c.pending = rest
		claims = append(claims, c.line(line)...)
	}
	if len(c.pending) > mostLine {
		c.Dropped[Unsupported]++
		c.pending = ""
	}
	return claims
}

// End returns the claims of the last line.
func (c *Checker) End() []Claim {
	line := c.pending
	c.pending = ""
	return c.line(line)
}

// Full tells that no further claim will be let through.
func (c *Checker) Full() bool { return c.kept >= mostClaims }

var (
	citation = regexp.MustCompile(`\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]`)

	// behind finds citations that stand behind the end of their sentence.
	behind = regexp.MustCompile(`([.!?…]["”’)]*)((?:\s*\[\d{1,3}(?:\s*,\s*\d{1,3})*\])+)`)

	markup = regexp.MustCompile("(?m)^\\s*(?:[-*•#>]+|\\d{1,2}[.)])\\s+|\\*\\*|__|`+")
)

// line checks the sentences of one line.
func (c *Checker) line(line string) []Claim {
	line = OneLine(markup.ReplaceAllString(line, ""))
	if len(line) > mostLine {
		c.Dropped[Unsupported]++
		return nil
	}
	line = behind.ReplaceAllString(line, "$2$1")
	var claims []Claim
	for _, sentence := range splitBlock(line) {
		claim, reason := c.check(sentence)
		switch {
		case reason != "":
			c.Dropped[reason]++
		case !c.Full():
			c.kept++
			claims = append(claims, claim)
		}
	}
	return claims
}

// check returns the claim that a sentence makes, or why it is dropped.
func (c *Checker) check(sentence string) (claim Claim, reason string) {
	var cited []*proof
	for _, match := range citation.FindAllStringSubmatch(sentence, -1) {
		for text := range strings.SplitSeq(match[1], ",") {
			number, _ := strconv.Atoi(strings.TrimSpace(text))
			if number < 1 || number > len(c.mails) {
				return Claim{}, Uncited // a mail that the model was not given
			}
			claim.Mails = appendNew(claim.Mails, c.mails[number-1].ID)
			cited = append(cited, c.proof(number-1))
		}
	}
	claim.Text = strings.Join(strings.Fields(citation.ReplaceAllString(sentence, "")), " ")
	claim.Text = strings.NewReplacer(" .", ".", " !", "!", " ?", "?", " ,", ",").Replace(claim.Text)
	switch {
	case len(cited) == 0 || strings.Trim(claim.Text, " .!?…") == "":
		return Claim{}, Uncited
	case utf8.RuneCountInString(claim.Text) > mostSentence || !supported(claim.Text, cited):
		return Claim{}, Unsupported
	}
	return claim, ""
}

func appendNew(list []string, text string) []string {
	for _, known := range list {
		if known == text {
			return list
		}
	}
	return append(list, text)
}

// proof is what a mail says, in the form in which claims are compared with it.
type proof struct {
	figures map[string]bool // numbers without their punctuation
	words   map[string]bool
	text    string // in lower case, for addresses
	at      time.Time
}

func (c *Checker) proof(i int) *proof {
	if c.proofs[i] == nil {
		m := c.mails[i].prompted(i + 1) // what the model was given, and nothing else
		text := strings.Join([]string{m.From, m.Received, m.Subject, m.Text}, "\n")
		p := &proof{figures: map[string]bool{}, words: map[string]bool{}, text: strings.ToLower(text), at: c.mails[i].ReceivedAt.UTC()}
		for _, figure := range figures(text) {
			p.figures[figure] = true
		}
		for _, layout := range []string{"2", "02", "1", "01", "2006", "2006-01-02", "02.01.2006", "2.1.2006", "01/02/2006", "1/2/2006", "02/01/2006", "15:04"} {
			p.figures[figureOf(p.at.Format(layout))] = true
		}
		for word := range tokenize.All(text) {
			p.words[word.Text] = true
		}
		c.proofs[i] = p
	}
	return c.proofs[i]
}

var (
	figureText = regexp.MustCompile(`\d+(?:[.,:/'’ -]?\d+)*`)
	decimals   = regexp.MustCompile(`^(.*)[.,](\d{1,2})$`)
	grouping   = strings.NewReplacer(".", "", ",", "", "/", "", "'", "", "’", "", " ", "", "-", "")
	linkText   = regexp.MustCompile(`(?i)\bhttps?://[^\s)>\]]+|\bwww\.[^\s)>\]]+|` + addressText.String() + `|` + domainText.String())
)

// figures returns the numbers, amounts, dates and times of a text, and the parts of those that may be dates.
func figures(text string) []string {
	var list []string
	for _, found := range figureText.FindAllString(text, -1) {
		list = append(list, figureOf(found))
		for _, part := range figureParts(found) {
			list = append(list, figureOf(part))
		}
	}
	return list
}

// figureParts returns the numbers of what is not one number: several with a space, a hyphen or a stroke between them, or a date with
// two periods.
func figureParts(text string) []string {
	between := " -/"
	if strings.Count(text, ".") == 2 {
		between += "."
	}
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(between, r) })
}

// figureOf writes a number without what differs between languages: 1,234.50 and 1.234,5 are the same, 12.50 and 1250 are not.
func figureOf(text string) string {
	whole, fraction := text, ""
	if match := decimals.FindStringSubmatch(text); match != nil {
		whole, fraction = match[1], strings.TrimRight(match[2], "0")
	}
	whole = strings.TrimLeft(grouping.Replace(whole), "0")
	if fraction != "" {
		return whole + "." + fraction
	}
	return whole
}

// has tells whether the mail has a figure, or all parts of one that is several.
func (p *proof) has(figure string) bool {
	if p.figures[figureOf(figure)] {
		return true
	}
	parts := figureParts(figure)
	for _, part := range parts {
		if !p.figures[figureOf(part)] {
			return false
		}
	}
	return len(parts) > 1
}

// supported tells whether the cited mails have every number, date and address of a claim, and at least one of its words.
func supported(text string, cited []*proof) bool {
	for _, link := range linkText.FindAllString(text, -1) {
		if !anyProof(cited, func(p *proof) bool {
			return strings.Contains(p.text, strings.ToLower(strings.TrimRight(link, ".,;:!?")))
		}) {
			return false
		}
	}
	for _, figure := range figureText.FindAllString(text, -1) {
		if !anyProof(cited, func(p *proof) bool { return p.has(figure) }) {
			return false
		}
	}
	shared, content := false, 0
	for word := range tokenize.All(text) {
		if month, ok := monthWords[word.Text]; ok && isName(text[word.Start:word.End]) {
			if !anyProof(cited, func(p *proof) bool { return p.words[word.Text] || p.at.Month() == month }) {
				return false
			}
		}
		if day, ok := weekdayWords[word.Text]; ok {
			if !anyProof(cited, func(p *proof) bool { return p.words[word.Text] || p.at.Weekday() == day }) {
				return false
			}
		}
		if utf8.RuneCountInString(word.Text) < 4 || stopWords["en"][word.Text] {
			continue
		}
		content++
		shared = shared || anyProof(cited, func(p *proof) bool { return p.words[word.Text] })
	}
	return shared || content == 0
}

// isName tells whether a word is written with a capital letter, as months are in English and German: "may" is none.
func isName(word string) bool {
	return unicode.IsUpper(firstRune(word))
}

func anyProof(list []*proof, holds func(*proof) bool) bool {
	for _, p := range list {
		if holds(p) {
			return true
		}
	}
	return false
}

// invisible tells whether a character shows nothing by itself, or changes how others are shown.
func invisible(r rune) bool {
	if r == '\u200c' || r == '\u200d' { // they join letters and signs that are seen
		return false
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r == utf8.RuneError || r == '\u2028' || r == '\u2029'
}
