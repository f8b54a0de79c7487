package chat

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The length of a sentence that is worth an answer, in characters.
const (
	leastSentence = 20
	mostSentence  = 400
)

var (
	// What ends the part of a mail that its sender wrote: a signature, or a mail that is answered or forwarded.
	endOfText = regexp.MustCompile(`(?i)^(-- ?|_{5,}|-{2,} ?(original message|forwarded message|ursprüngliche nachricht|message d'origine|mensaje original).*|` +
		`(on|am|le|el) .{5,120}(wrote|schrieb|a écrit|escribió).{0,80}:)$`)

	// Lines that are in a mail because of how it was sent.
	footer = regexp.MustCompile(`(?i)unsubscribe|opt[ -]out|view (this|it) (e-?mail )?in (your|a) browser|view online|manage (your )?(preferences|subscription)|` +
		`privacy policy|all rights reserved|©|you (are receiving|received) this|sent from my|do not reply to this|abbestellen|abmelden|im browser|impressum|datenschutz|` +
		`se désabonner|désinscri|politique de confidentialité|darse de baja|cancelar la suscripción|aviso legal`)

	// abbreviation finds a word at the end of a text behind which a period ends no sentence.
	abbreviation = regexp.MustCompile(`(?i)(?:^|[\s("“])(?:mr|mrs|ms|dr|prof|sr|jr|st|vs|etc|approx|no|nr|tel|inc|ltd|co|corp|dept|est|fig|vol|min|max|ca|bzw|evtl|ggf|inkl|usw|str|hr|fr|` +
		`mme|mlle|sra|srta|ud|uds|jan|feb|mar|apr|jun|jul|aug|sept?|oct|okt|nov|dec|dez|mon|tue|wed|thu|fri|sat|sun|\pL|(?:\pL\.)+\pL)\.$`)

	ordinal = regexp.MustCompile(`(?:^|\s)\d{1,2}\.$`)
)

// Sentences returns the sentences of what the sender of a mail wrote: no quoted mail, no signature and no footer. They stand in the
// text as they are returned, but for line breaks and spaces.
func Sentences(text string) []string {
	var list []string
	for _, block := range blocks(text) {
		list = append(list, splitBlock(block)...)
	}
	return list
}

// blocks joins the lines that belong together.
func blocks(text string) []string {
	var list []string
	var open strings.Builder
	finish := func() {
		if open.Len() > 0 {
			list = append(list, open.String())
			open.Reset()
		}
	}
	long := false // the line before was as long as one that was wrapped
	for line := range strings.Lines(text) {
		line = OneLine(line)
		if endOfText.MatchString(line) {
			break
		}
		switch {
		case line == "", strings.HasPrefix(line, ">"), strings.HasPrefix(line, "|"), footer.MatchString(line):
			finish()
			long = false
			continue
		case startsItem(line), !long && open.Len() > 0 && !endsSentence(open.String()) && startsUpper(line):
			finish()
		}
		if open.Len() > 0 {
			open.WriteByte(' ')
		}
		open.WriteString(line)
		long = utf8.RuneCountInString(line) >= 55
	}
	finish()
	return list
}

func startsItem(line string) bool {
	first, size := utf8.DecodeRuneInString(line)
	return strings.ContainsRune("*-•–·", first) && strings.HasPrefix(line[size:], " ")
}

func startsUpper(line string) bool {
	first, _ := utf8.DecodeRuneInString(line)
	return !unicode.IsLower(first)
}

func endsSentence(text string) bool {
	text = strings.TrimRight(text, `"”’')]»`)
	last, _ := utf8.DecodeLastRuneInString(text)
	return strings.ContainsRune(".!?…:。！？", last)
}

// splitBlock cuts a line into its sentences.
func splitBlock(block string) []string {
	var list []string
	start := 0
	for i, r := range block {
		if !strings.ContainsRune(".!?…。！？", r) || i < start {
			continue
		}
		end := i + utf8.RuneLen(r)
		for end < len(block) {
			next, size := utf8.DecodeRuneInString(block[end:])
			if !strings.ContainsRune(`"”“’')]».!?…`, next) {
				break
			}
			end += size
		}
		if splits(block[start:end], block[end:], r) {
			list = append(list, strings.TrimSpace(block[start:end]))
			start = end
		}
	}
	if rest := strings.TrimSpace(block[start:]); rest != "" {
		list = append(list, rest)
	}
	return list
}

// splits tells whether a sentence ends between two texts.
func splits(before, after string, mark rune) bool {
	if strings.ContainsRune("。！？", mark) {
		return true
	}
	trimmed := strings.TrimLeft(after, " ")
	if trimmed == "" {
		return true
	}
	if trimmed == after { // a period within a word, such as a host name or a number
		return false
	}
	next, _ := utf8.DecodeRuneInString(trimmed)
	if unicode.IsLower(next) {
		return false
	}
	return mark != '.' || !abbreviation.MatchString(before) && !ordinal.MatchString(before)
}

// worthy tells whether a sentence can stand in an answer: it says something by itself.
func worthy(sentence string) bool {
	length := utf8.RuneCountInString(sentence)
	if length < leastSentence || length > mostSentence || len(strings.Fields(sentence)) < 4 || strings.HasSuffix(sentence, ":") {
		return false
	}
	letters := 0
	for _, r := range sentence {
		if unicode.IsLetter(r) || r == ' ' {
			letters++
		}
	}
	return letters*10 >= length*6
}
