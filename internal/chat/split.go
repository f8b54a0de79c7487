package chat

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The length of a sentence that is worth an answer, in characters.
const (
	leastSentence = 20
	mostSentence  = 400
)

// endOfText is what ends the part of a mail that its sender wrote: a signature, or a mail that is answered or forwarded.
var endOfText = regexp.MustCompile(`(?i)^(--|_{5,}|-{2,} ?(original message|forwarded message|ursprüngliche nachricht|message d'origine|mensaje original).*|` +
	`(on|am|le|el) .{5,120}(wrote|schrieb|a écrit|escribió).{0,80}:)$`)

// ends tells whether a line is endOfText. Few lines can be, by how they begin or end.
func ends(line string) bool {
	return (strings.HasSuffix(line, ":") || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "__")) && endOfText.MatchString(line)
}

// footers are in lines that are in a mail because of how it was sent.
var footers = []string{"unsubscribe", "opt out", "opt-out", "view this email", "view this e-mail", "in your browser", "in a browser", "view online", "view it online", "manage your preferences",
	"manage preferences", "manage your subscription", "privacy policy", "all rights reserved", "©", "you are receiving", "you received this", "sent from my", "do not reply to this",
	"abbestellen", "abmelden", "im browser", "impressum", "datenschutz", "se désabonner", "désinscri", "politique de confidentialité", "darse de baja", "cancelar la suscripción", "aviso legal"}

func isFooter(line string) bool {
	line = strings.ToLower(line)
	return slices.ContainsFunc(footers, func(part string) bool { return strings.Contains(line, part) })
}

// abbreviations are words behind which a period ends no sentence.
var abbreviations = wordSet(`mr mrs ms dr prof sr jr st vs etc approx no nr tel inc ltd co corp dept est fig vol min max ca bzw evtl ggf inkl usw str hr fr mme mlle sra srta ud uds
	jan feb mar apr jun jul aug sep sept oct okt nov dec dez mon tue wed thu fri sat sun`)

// abbreviated tells whether a text ends with the period of an abbreviation, an initial, or an ordinal number such as that of a day.
func abbreviated(text string) bool {
	text = strings.TrimSuffix(text, ".")
	word := text[strings.LastIndexAny(text, " \t(\"“„")+1:]
	length := utf8.RuneCountInString(word)
	switch {
	case word == "" || length > 12:
		return false
	case strings.Trim(word, "0123456789") == "":
		return length <= 2
	case length == 1:
		return unicode.IsLetter(firstRune(word))
	case abbreviations[strings.ToLower(word)]:
		return true
	}
	for part := range strings.SplitSeq(word, ".") { // as in z.B. and p.m.
		if utf8.RuneCountInString(part) != 1 || !unicode.IsLetter(firstRune(part)) {
			return false
		}
	}
	return true
}

func firstRune(text string) rune {
	first, _ := utf8.DecodeRuneInString(text)
	return first
}

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
		if ends(line) {
			break
		}
		switch {
		case line == "", strings.HasPrefix(line, ">"), strings.HasPrefix(line, "|"), isFooter(line):
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
	return !unicode.IsLower(firstRune(line))
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
	return !unicode.IsLower(firstRune(trimmed)) && (mark != '.' || !abbreviated(before))
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
