package chat

import (
	"regexp"
	"slices"
	"strings"

	"github.com/applylens/applylens/internal/search"
)

// The words by which the rules know what is wanted. A question is compared in lower case and without punctuation, so that
// "don't" is two words.
var (
	polite = patterns(`please, kindly, hey, hi, hello, ok, okay, so, and, now, also, bitte, hallo, por favor, hola, bonjour, s il te plaît, s il vous plaît,
		can you [please], could you [please], would you [please], will you [please], can i, i want [you] to, i d like [you] to, i would like [you] to,
		i need [you] to, let s, help me [to], tell me, from now on, kannst du [bitte], könntest du [bitte], peux tu, pouvez vous, puedes, podrías`)

	greetings = wordSet(`hi hello hey hallo hola bonjour salut moin servus there you thanks thank merci danke gracias good morning evening day guten morgen tag
		abend buenos días ok okay bye cool great nice so much very bitte please everybody all`)

	askHelp = patterns(`what can you do, what can i ask, what do you do, how does this work, how do you work, how does it work, who are you, what are you,
		what are your features, what can i say, which questions, was kannst du, wie funktioniert das, que peux tu faire, comment ça marche, qué puedes hacer, cómo funciona`)
	aloneHelp = wordSet(`help hilfe aide ayuda me please bitte usage commands`)

	notDone = patterns(`approve, reject, accept, decline, send, reply to, reply all, reply that, respond, write, compose,
		draft a, draft an, draft the, forward the, forward this, forward it, forward my, forward all, call him, call her, call them, call me, call my, call the, buy,
		pay the, pay my, pay this, pay for, book a, book me, book the, book my, translate, ignore, disregard,
		forget, pretend, act as, you are now, you must, sudo, execute, run the, run this, run a, grant me, grant access, change my, create, tell, mark all proposals, mark every*, schedule, remind, system grant, make me, genehmige, bestätige, lehne, sende, schicke, schreibe, antworte,
		approuve, rejette, envoie, réponds, écris, aprueba, rechaza, envía, responde, escribe`)
	commands = patterns(`ignore [all] [the] [any] [your] previous instructions, ignore [all] [the] [any] [your] prior instructions, ignore [all] instructions,
		approve all, approve everything, approve every*, reject all, reject everything, reject every*, system prompt`)
	negations = patterns(`do not, don t, never, nicht, ne, no, not`)

	suggestions = patterns(`suggest*, propos*, recommend*, vorgeschlagen, vorschlag*, vorschläg*, schlägst, schlag*, empf*, sugier*, suger*, propuest*, propon*, flagged, rationale`)
	whys        = patterns(`why, why s, what makes you, on what grounds, justify, how come, explain*, reason for, reasons for, reason behind, warum, wieso, weshalb, erklär*, pourquoi, expliqu*, por qué, explica*`)
	youActs     = patterns(`in my tray, i want to archive, i would archive,
		you want [me] to archive, you want [me] to unsubscribe, you want [me] to block, you want [me] to move, you want [me] to label,
		are you archiving, did you archive, you archive`)

	likes = patterns(`always show me, i like, i love, i enjoy, i prefer, i adore, we like, we love, i am interested in, i m interested in, i am into, i m into,
		ich mag, ich liebe, j aime, j adore, me gusta*, me encanta*, [je] préfère`)
	dislikes = patterns(`i hate, i dislike, i don t like, i do not like, i don t love, i don t want, i do not want, i don t care, i do not care, we don t care,
		we don t like, we hate, i am not interested, i m not interested, i am tired of, i m tired of, i am sick of, i m sick of, i can t stand,
		i d rather not, i would rather not, never show, never propose, never suggest, stop showing, don t bother me, spare me, don t propose, do not propose, don t show, do not show, no more, ich mag keine*, ich mag nicht, ich hasse, zeig mir nie, zeige mir nie, keine mehr, nie wieder,
		je n aime pas, je déteste, je ne veux plus, plus de, no me gusta*, odio, no quiero`)
	// What is said of a kind of mail that comes first.
	pleases    = patterns(`are my favourite*, are my favorite*, are great, are fun, interest me, interessieren mich, m intéressent, me interesan`)
	displeases = patterns(`bore me, bores me, annoy me, annoys me, are boring, are annoying, don t interest me, interessieren mich nicht, nerven, ne m intéressent pas, m ennuient,
		no me interesan, me aburren`)
	wishesMore  = patterns(`see more, show me more, show more, more of, get more, mehr von, zeig mir mehr, montre moi plus, muéstrame más`)
	wishesFewer = patterns(`see fewer, see less, see no, show me fewer, show me less, show fewer, show less, fewer, less of, weniger, moins de, menos`)
	remembers   = patterns(`remember that, remember, note that, keep in mind that, merk dir dass, retiens que, recuerda que`)
	adverbs     = wordSet(`really just also do still absolutely very truly actually always sehr wirklich vraiment realmente mucho`)
	noLike      = patterns(`i like to, i love to, i prefer to, i like how, i like your`)

	proposes = patterns(`take me off, archive, tidy, unsubscribe, declutter, get rid, sort out, remove, delete, quarantine, propose, suggest, purge, sweep, recommend, what can i archive, what should i archive, what can i delete, what can i clean, archiviere*, lösche*, räum*, entferne*,
		bestell*, melde mich, verschiebe*, archivez, archiver, nettoie, nettoyer, supprime*, vide, désabonne*, mach ordnung, archiva*, limpia*, borra*, elimina*, date de baja, dame de baja`)
	// Words that are orders only with an object behind them: "block mails from shop.example", but not "block party".
	proposesWith = patterns(`clear, empty, clean, trash, mute, block, label, move, range`)
	objects      = wordSet(`all any every everything it the this that these those my old up out off away from mes les mis los las`)

	proposesInside = patterns(`into a folder, to a folder, into the folder, into my folder, should i unsubscribe, should i archive, should i delete, should i clean, can i archive, can i unsubscribe, can i delete,
		archive them, archive it, archive those, archive these, delete them, delete those, clean them, need a good clean*, needs a good clean*, needs cleaning, need cleaning,
		abbestellen, aufräumen, me désabonner, darme de baja`)

	counts      = patterns(`how many, how much mail, the count of, do i have more than, how often, number of, wie viele, wieviele, wie oft, combien de, combien d, cuántos, cuántas`)
	countsFirst = patterns(`count`)

	spends = patterns(`spend, spends, spending, spent, ausgegeben, ausgaben, dépens*, gast*`)
	moneys = patterns(`how much, how expensive, purchase*, bill for, bill from, i pay, subscriptions, total of, cost, costs, charged, charge, charges, refund*, receipt*, invoice*, bills, paid, payment*, price, rechnung*, quittung*, bezahlt, gekostet,
		facture*, reçu*, combien ai je, coûte*, coût, factura*, recibo*, cuánto`)

	statuses = patterns(`turn me down, turned me down, make me an offer, recruiter*, application, applications, stage, stages, hear back, heard back, hear from, replied to my, reply to my, ghosting, ghosted, interview, interviews,
		where do i stand, rejected me, final round, onsite, bewerbung*, vorstellungsgespräch*, candidature*, entretien*, candidatura*, solicitud*, entrevista*`)

	networks = patterns(`meetup*, conference, conferences, webinar*, networking, event, events, meet people, workshop*, hackathon*, should i meet, developers in, coming up in, get together*, veranstaltung*, konferenz*,
		conférence*, événement*, evento*, conferencia*`)
	conferenceCalls = patterns(`conference call*`)

	summaries = patterns(`summar*, sum up, overview, recap, digest, what s new, what is new, what happened, catch me up, tl dr, anything important, anything new,
		anything urgent, brief me, gist, in short, short version, bullet points, key points, main points, highlights, did i miss, what s going on, passiert, points importants, puntos clave, bring me up, up to date, zusammenfass*, überblick, was gibt es neues, was ist neu, résum*, aperçu, quoi de neuf, resumen*, resúme*,
		qué hay de nuevo, resume mis, resume los, resume las, resume mes, resume les`)
	together = patterns(`fass*, zusammen`)

	searches = patterns(`find, show, search, look, list, open, get, where, anything, everything, any, what, which, who, is there, mail, mails, email, emails, message, messages,
		inbox, suche*, such, finde*, zeig*, nachricht*, cherche*, trouve*, montre*, courriel*, busca*, encuentra*, muestra*, muéstra*, correo*, mensaje*, letter, letters`)
)

// kind finds the kind of a question. The order matters: what comes first has the narrower words.
func (q *question) kind() Kind {
	switch {
	case len(q.words) == 0 && !q.named():
		return Help
	case !q.named() && q.only(greetings), q.has(askHelp), q.only(aloneHelp) && len(q.words) > 0 && !q.named():
		return Help
	case q.has(commands), q.starts(notDone):
		return Unknown
	case q.has(whys) && (q.has(suggestions) || q.has(youActs)), q.starts(patternsWhyThis):
		return Explain
	case q.feeling() != 0:
		return Remember
	case q.forbids():
		return Unknown
	case orders(q.words[q.lead:]), q.has(proposesInside):
		return Propose
	case q.starts(countsFirst), q.has(counts):
		return Count
	case q.has(spends):
		return Money
	case q.summarises():
		return Summary
	case q.has(moneys):
		return Money
	case q.has(statuses):
		return Status
	case q.has(networks) && !q.has(conferenceCalls):
		return Networking
	}
	return Search
}

var patternsWhyThis = patterns(`why this, why was this, why is this, warum das, pourquoi ça, por qué esto`)

// forbids tells whether the question says not to do what Propose would.
func (q *question) forbids() bool {
	rest := q.words[q.lead:]
	for _, no := range negations {
		if n := no.at(rest); n > 0 && orders(rest[n:]) {
			return true
		}
	}
	return false
}

// orders tells whether words begin with an action that policies propose.
func orders(words []string) bool {
	if longest(proposes, words) > 0 {
		return true
	}
	n := longest(proposesWith, words)
	if n == 0 || n == len(words) {
		return false
	}
	object := words[n]
	return objects[object] || mailNouns[object] || categoryWords[object] != ""
}

func (q *question) summarises() bool {
	return q.has(summaries) || q.has(together[:1]) && q.has(together[1:])
}

// feeling tells whether the person says to like something, 1, or not to, -1, rather than asking.
func (q *question) feeling() float64 {
	rest := q.words[q.lead:]
	for _, p := range remembers {
		if n := p.at(rest); n > 0 {
			rest = rest[n:]
			break
		}
	}
	plain := make([]string, 0, len(rest))
	for i, word := range rest {
		if i == 0 || !adverbs[word] { // "I do like", but not "do I like"
			plain = append(plain, word)
		}
	}
	begins := func(list []pattern) bool {
		for _, p := range list {
			if p.at(plain) > 0 {
				return true
			}
		}
		return false
	}
	switch {
	case begins(noLike):
		return 0
	case begins(dislikes), begins(wishesFewer), judges(plain, displeases):
		return -1
	case begins(likes), begins(wishesMore), judges(plain, pleases):
		return 1
	}
	return 0
}

// judges tells whether a sentence says one of the patterns of the mail that it begins with.
func judges(words []string, list []pattern) bool {
	return slices.ContainsFunc(list, func(p pattern) bool {
		at := find(words, p)
		return at > 0 && at <= 5 && longest(searches, words) == 0 && longest(whys, words) == 0
	})
}

// asksForMail tells whether a question without any content asks to see mail.
func (q *question) asksForMail() bool { return q.has(searches) }

// fieldName finds the name of a field with a value behind it.
var fieldName = regexp.MustCompile(`(?:^|[\s(!-])(?:subject|body|text|sender|from|to|recipients|sender_domain|category|labels?|list_id|id|quarantined|risk_score|` +
	`received_at|expires_at|age_days|expired_days|ats\.(?:stage|system|company|ghosting_risk)):[^\s]`)

var namesQuarantine = regexp.MustCompile(`\bquarantined:`)

// typed returns the intent of a question that is a query already.
func typed(text string) (Intent, bool) {
	if !fieldName.MatchString(text) && !joined(text) {
		return Intent{}, false
	}
	query := text
	if !namesQuarantine.MatchString(text) {
		query = "(" + text + ") " + notQuarantined
	}
	if _, err := search.Parse(text); err != nil {
		return Intent{}, false
	}
	if _, err := search.Parse(query); err != nil { // too long, or too deep
		return Intent{}, false
	}
	i := Intent{Kind: Search, Language: "en", Query: query, Timed: true}
	for _, word := range readQuestion(text).words {
		if !fieldWords[word] {
			i.Words = append(i.Words, word)
		}
	}
	return i, true
}

// operator is one of a query's, between others of its parts.
var operator = regexp.MustCompile(`\S\s+(?:AND|OR|NOT|AND NOT)\s+\S`)

// joined tells whether a text consists of words that operators join, and is no sentence: those have words that say nothing about mail, or say what
// to do.
func joined(text string) bool {
	if !operator.MatchString(text) || strings.ContainsAny(text, "?!") || text == strings.ToUpper(text) {
		return false
	}
	return !slices.ContainsFunc(readQuestion(text).words, func(word string) bool {
		return !operators[word] && (actionWords[word] || stopWords["en"][word])
	})
}

var operators = wordSet("and or not")

var fieldWords = wordSet(`and or not now to subject body text sender from recipients domain category label labels list id quarantined risk score received at expires
	age days expired ats stage system company ghosting`)
