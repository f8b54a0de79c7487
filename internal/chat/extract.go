package chat

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/tokenize"
)

// The bounds of an extractive answer.
const (
	mostClaims  = 6
	mostPerMail = 2
)

// Extract answers from mails, the best first: whole sentences of theirs that say most of what the question is about, in the order of
// the mails. Mails that have no such sentence are named by their subject as long as there is room.
func Extract(intent *Intent, mails []Mail) []Claim {
	claims := applications(intent, mails)
	chosen := best(rank(intent, mails), mostClaims-len(claims))
	slices.SortFunc(chosen, func(a, b ranked) int {
		if a.mail != b.mail {
			return a.mail - b.mail
		}
		return a.at - b.at
	})
	quoted := map[int]bool{}
	for _, c := range chosen {
		quoted[c.mail] = true
		claims = append(claims, Claim{c.sentence, []string{mails[c.mail].ID}})
	}
	for i := range mails {
		if len(claims) >= mostClaims {
			break
		}
		if !quoted[i] {
			claims = append(claims, mails[i].headline())
		}
	}
	return claims
}

// mostText is how much of a mail an answer is from, in bytes.
const mostText = 6 << 10

// sentencesAround returns the whole sentences of a text, of a long one those around the first wanted word, or of the beginning.
func sentencesAround(text string, wanted map[string]bool) []string {
	if len(text) <= mostText {
		return Sentences(text)
	}
	from := 0
	for word := range tokenize.All(text) {
		if wanted[word.Text] {
			from = word.Start
			break
		}
	}
	begun := from >= mostText*3/4
	if begun {
		text = text[from-mostText/4:]
		for !utf8.RuneStart(text[0]) {
			text = text[1:]
		}
	}
	list := Sentences(cut(text, mostText))
	if begun && len(list) > 0 {
		list = list[1:] // it lacks its beginning
	}
	if len(text) > mostText && len(list) > 0 {
		list = list[:len(list)-1] // it lacks its end
	}
	return list
}

// ranked is a sentence and how well it answers.
type ranked struct {
	sentence string
	mail, at int
	score    float64
}

// rank scores the sentences of all mails. Without words to look for, the first sentences of each mail are the best.
func rank(intent *Intent, mails []Mail) []ranked {
	var list []ranked
	wanted := forms(intent.Words)
	for i := range mails {
		at := 0
		for _, sentence := range sentencesAround(mails[i].Text, wanted) {
			if !worthy(sentence) {
				continue
			}
			found := matches(sentence, wanted)
			if found > 0 || len(wanted) == 0 || at == 0 && prefersFigures(intent.Kind) {
				score := float64(2*found) - 0.1*float64(min(at, 20)) - 0.3*float64(i)
				if prefersFigures(intent.Kind) && strings.ContainsAny(sentence, "0123456789") {
					score++
				}
				list = append(list, ranked{sentence, i, at, score})
			}
			at++
		}
	}
	return list
}

// prefersFigures tells whether sentences with numbers answer better: amounts, dates and times.
func prefersFigures(kind Kind) bool { return kind == Money || kind == Networking || kind == Status }

// best takes the best sentences, few of each mail and none twice.
func best(list []ranked, most int) []ranked {
	slices.SortStableFunc(list, func(a, b ranked) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	var chosen []ranked
	perMail, seen := map[int]int{}, map[string]bool{}
	for _, r := range list {
		key := tokenize.Join(r.sentence)
		if len(chosen) >= most {
			break
		}
		if perMail[r.mail] == mostPerMail || seen[key] {
			continue
		}
		perMail[r.mail]++
		seen[key] = true
		chosen = append(chosen, r)
	}
	return chosen
}

// forms returns the words with their other forms.
func forms(words []string) map[string]bool {
	set := map[string]bool{}
	for _, text := range words {
		set[text] = true
		if other := otherForm(text); other != "" {
			set[other] = true
		}
	}
	return set
}

// matches counts the different wanted words of a sentence.
func matches(sentence string, wanted map[string]bool) int {
	if len(wanted) == 0 {
		return 0
	}
	seen := map[string]bool{}
	for word := range tokenize.All(sentence) {
		if wanted[word.Text] {
			seen[word.Text] = true
		}
	}
	return len(seen)
}

// applications says how the applications stand that the mails belong to, each once.
func applications(intent *Intent, mails []Mail) []Claim {
	if intent.Kind != Status {
		return nil
	}
	var claims []Claim
	seen := map[string]bool{}
	for i := range mails {
		a := mails[i].Application
		if a == nil || seen[a.Company+"\n"+a.Stage] || len(claims) == mostClaims-1 {
			continue
		}
		seen[a.Company+"\n"+a.Stage] = true
		claims = append(claims, Claim{a.sentence(), []string{mails[i].ID}})
	}
	return claims
}

func (a *Application) sentence() string {
	stage := "has no stage yet"
	if a.Stage != "" {
		stage = "is at the stage " + OneLine(a.Stage)
	}
	company := "The application"
	if a.Company != "" {
		company += " at " + OneLine(a.Company)
	}
	return fmt.Sprintf("%s %s, unchanged for %s; the risk that it was forgotten is %.2f.", company, stage, plural(a.QuietDays, "day"), a.Risk)
}

// plural writes a number and what it counts.
func plural(count int, noun string) string {
	if count == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", count, noun)
}

// Shorten keeps of mails what a model is given and what its claims are checked by: text around what the question is about.
func Shorten(intent *Intent, mails []Mail) []Mail {
	mails = slices.Clone(first(mails, MostPrompted))
	for i := range mails {
		text := strings.Join(sentencesAround(mails[i].Text, forms(intent.Words)), " ")
		mails[i].Text = strings.Clone(cutText(text, promptedText)) // so that the whole text can go
	}
	return mails
}
