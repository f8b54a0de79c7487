package chat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// period is a time that a question names, as the search language writes it.
type period struct {
	value  string // such as now-1d/d or 2026-03
	toNow  bool   // all from value until now
	length int    // how many words name it
}

// clause returns the comparison of received_at.
func (p period) clause(relation string) string {
	switch {
	case relation == "" && p.toNow:
		return "received_at:[" + p.value + " TO now]"
	default:
		return "received_at:" + relation + p.value
	}
}

// fixedPeriods are periods that words name in full.
var fixedPeriods = map[string][]pattern{
	"now/d": patterns(`today, heute, aujourd hui, d aujourd hui, hoy`), "now-2d/d": patterns(`day before yesterday, vorgestern, avant hier, anteayer`),
	"now-1d/d": patterns(`yesterday, gestern, ayer`),
	"now/w":    patterns(`this week, diese woche, dieser woche, cette semaine, esta semana`),
	"now-1w/w": patterns(`last week, previous week, letzte woche, letzter woche, vergangene woche, semaine dernière, semana pasada`),
	"now/M":    patterns(`this month, diesen monat, diesem monat, ce mois ci, ce mois, este mes`),
	"now-1M/M": patterns(`last month, previous month, letzten monat, letzter monat, vorigen monat, mois dernier, mes pasado`),
	"now/y":    patterns(`this year, dieses jahr, diesem jahr, cette année, este año`),
	"now-1y/y": patterns(`last year, previous year, letztes jahr, letzten jahr, letztem jahr, année dernière, an dernier, año pasado`),
}

// unitWords are the units of time, as the search language writes them.
var unitWords = map[string]string{
	"hour": "h", "hours": "h", "stunden": "h", "heures": "h", "horas": "h",
	"day": "d", "days": "d", "tag": "d", "tage": "d", "tagen": "d", "jour": "d", "jours": "d", "día": "d", "días": "d",
	"week": "w", "weeks": "w", "woche": "w", "wochen": "w", "semaine": "w", "semaines": "w", "semana": "w", "semanas": "w",
	"month": "M", "months": "M", "monat": "M", "monate": "M", "monaten": "M", "mois": "M", "mes": "M", "meses": "M",
	"year": "y", "years": "y", "jahr": "y", "jahre": "y", "jahren": "y", "an": "y", "ans": "y", "année": "y", "années": "y", "año": "y", "años": "y",
}

var monthWords = monthsOf(
	`january february march april may june july august september october november december`,
	`januar februar märz april mai juni juli august september oktober november dezember`,
	`janvier février mars avril mai juin juillet août septembre octobre novembre décembre`,
	`enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre`)

var weekdayWords = map[string]time.Weekday{
	"monday": 1, "tuesday": 2, "wednesday": 3, "thursday": 4, "friday": 5, "saturday": 6, "sunday": 0,
	"montag": 1, "dienstag": 2, "mittwoch": 3, "donnerstag": 4, "freitag": 5, "samstag": 6, "sonntag": 0,
	"lundi": 1, "mardi": 2, "mercredi": 3, "jeudi": 4, "vendredi": 5, "samedi": 6, "dimanche": 0,
	"lunes": 1, "martes": 2, "miércoles": 3, "jueves": 4, "viernes": 5, "sábado": 6, "domingo": 0,
}

var (
	sinceWords   = patterns(`since, after, seit, nach, depuis, après, desde, starting`)
	beforeWords  = patterns(`before, until, till, vor dem, bis, avant, antes de, hasta`)
	olderWords   = patterns(`older than, more than, älter als, plus vieux que, plus de, de más de, más de`)
	newerWords   = patterns(`newer than, within [the] [last], in the last, in the past, over the last`)
	lastWords    = patterns(`last, past, previous, letzten, vergangenen, derniers, dernières, últimos, últimas, pasados`)
	agoWords     = patterns(`ago`)
	agoBefore    = patterns(`vor, il y a, hace`)
	alwaysWords  = patterns(`of all time, all time, all times, ever, jemals, de tous les temps, de siempre`)
	monthBefore  = wordSet(`in of from since during last early late until before after im vom seit letzten en de depuis d du desde del`)
	yearBefore   = wordSet(`in from of year since during before after until im aus seit jahr en de depuis desde del`)
	oldWords     = wordSet(`old alt alte alten alter altes vieux vieille vieilles ancien anciens ancienne anciennes viejo viejos vieja viejas antiguo antiguos antigua antiguas`)
	emptyPeriods = patterns(`next week, next month, tomorrow, this weekend, tonight, next year, coming days`)
)

func monthsOf(lists ...string) map[string]time.Month {
	months := map[string]time.Month{}
	for _, list := range lists {
		for i, word := range strings.Fields(list) {
			months[word] = time.Month(i + 1)
		}
	}
	return months
}

// oldAge is what "old" mail is older than.
const oldAge = "now-30d"

// times returns the comparisons of received_at that words name, marks those words as used, and tells whether the question is about
// all times.
func (f *filters) times(kind Kind, now time.Time) {
	for i := 0; i < len(f.left); {
		n := f.timeAt(i, now)
		for j := range n {
			f.left[i+j].used = true
		}
		i += max(n, 1)
	}
	if kind == Propose && len(f.clauses) == 0 {
		for i := range f.left {
			if oldWords[f.left[i].text] {
				f.clauses = append(f.clauses, "received_at:<"+oldAge)
				f.left[i].used = true
				return
			}
		}
	}
}

// timeAt reads a time that begins with the word at i, and returns how many words it takes.
func (f *filters) timeAt(i int, now time.Time) int {
	words := f.texts(i)
	if n := longest(alwaysWords, words); n > 0 {
		f.always = true
		return n
	}
	if n := longest(emptyPeriods, words); n > 0 {
		return n
	}
	if n := longest(olderWords, words); n > 0 {
		if p, ok := agePeriod(words[n:]); ok {
			f.clauses = append(f.clauses, p.clause("<"))
			return n + p.length
		}
	}
	if n := longest(newerWords, words); n > 0 {
		if p, ok := agePeriod(words[n:]); ok {
			f.clauses = append(f.clauses, p.clause(">="))
			return n + p.length
		}
	}
	for relation, list := range map[string][]pattern{">=": sinceWords, "<": beforeWords} {
		if n := longest(list, words); n > 0 {
			if p, ok := f.periodAt(i+n, now, true); ok {
				f.clauses = append(f.clauses, p.clause(relation))
				return n + p.length
			}
		}
	}
	if p, ok := f.periodAt(i, now, false); ok {
		f.clauses = append(f.clauses, p.clause(""))
		return p.length
	}
	return 0
}

func longest(list []pattern, words []string) int {
	n := 0
	for _, p := range list {
		n = max(n, p.at(words))
	}
	return n
}

// agePeriod reads "30 days" as the time that long ago.
func agePeriod(words []string) (period, bool) {
	if len(words) > 0 && (words[0] == "a" || words[0] == "one" || words[0] == "un" || words[0] == "une" || words[0] == "ein" || words[0] == "einen") {
		words = append([]string{"1"}, words[1:]...)
	}
	if len(words) < 2 || unitWords[words[1]] == "" {
		return period{}, false
	}
	count, err := strconv.Atoi(words[0])
	if err != nil || count < 1 || count > 999 {
		return period{}, false
	}
	return period{value: fmt.Sprintf("now-%d%s", count, unitWords[words[1]]), length: 2, toNow: true}, true
}

// periodAt reads a period that begins with the word at i. Behind "since" a month needs no preposition.
func (f *filters) periodAt(i int, now time.Time, related bool) (period, bool) {
	words := f.texts(i)
	if len(words) == 0 {
		return period{}, false
	}
	for value, list := range fixedPeriods {
		if n := longest(list, words); n > 0 {
			return period{value: value, length: n}, true
		}
	}
	if words[0] == "hier" && f.language == "fr" {
		return period{value: "now-1d/d", length: 1}, true
	}
	if n := longest(lastWords, words); n > 0 {
		if p, ok := agePeriod(words[n:]); ok {
			p.length += n
			return p, true
		}
		if n < len(words) {
			if day, ok := weekdayWords[words[n]]; ok {
				return period{value: lastDay(day, now), length: n + 1}, true
			}
		}
	}
	if p, ok := agoPeriod(words); ok {
		return p, true
	}
	if dateText.MatchString(words[0]) {
		return period{value: words[0], length: 1}, true
	}
	before := ""
	if i > 0 {
		before = f.left[i-1].text
	}
	if day, ok := weekdayWords[words[0]]; ok && (related || before == "on" || before == "am" || before == "from") {
		return period{value: lastDay(day, now), length: 1}, true
	}
	if month, ok := monthWords[words[0]]; ok {
		if len(words) > 1 && isYear(words[1], now) {
			return period{value: fmt.Sprintf("%s-%02d", words[1], month), length: 2}, true
		}
		if related || monthBefore[before] {
			return period{value: lastMonth(month, now), length: 1}, true
		}
	}
	if isYear(words[0], now) && (related || yearBefore[before]) {
		return period{value: words[0], length: 1}, true
	}
	return period{}, false
}

// agoPeriod reads "3 days ago" as that day, week, month or year.
func agoPeriod(words []string) (period, bool) {
	if p, ok := agePeriod(words); ok && longest(agoWords, words[p.length:]) > 0 {
		return period{value: rounded(p.value), length: p.length + 1}, true
	}
	if n := longest(agoBefore, words); n > 0 {
		if p, ok := agePeriod(words[n:]); ok {
			return period{value: rounded(p.value), length: n + p.length}, true
		}
	}
	return period{}, false
}

// rounded is the whole unit around a time such as now-3d.
func rounded(value string) string { return value + "/" + value[len(value)-1:] }

func isYear(word string, now time.Time) bool {
	year, err := strconv.Atoi(word)
	return err == nil && len(word) == 4 && year >= 1970 && year <= now.Year()+1
}

// lastMonth is the latest month of that name that has begun.
func lastMonth(month time.Month, now time.Time) string {
	year := now.Year()
	if month > now.Month() {
		year--
	}
	return fmt.Sprintf("%d-%02d", year, month)
}

// lastDay is the latest day of that name; today is one.
func lastDay(day time.Weekday, now time.Time) string {
	back := (int(now.Weekday()) - int(day) + 7) % 7
	return now.AddDate(0, 0, -back).Format(time.DateOnly)
}

// texts returns the words from i on, up to the first that is used.
func (f *filters) texts(i int) []string {
	if i >= len(f.left) {
		return nil
	}
	end := slices.IndexFunc(f.left[i:], func(w word) bool { return w.used })
	if end < 0 {
		end = len(f.left) - i
	}
	list := make([]string, end)
	for j := range list {
		list[j] = f.left[i+j].text
	}
	return list
}
