package chat

import "strings"

func wordSet(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// stopWords say nothing about which mail is meant, by language. Those of English count in every language, the others only in
// questions of theirs: "hat" and "die" are words of English that mail may be about.
var stopWords = map[string]map[string]bool{
	"en": wordSet(`a an the this that these those my our your his her its their me us you him them i we he she it they who whom whose which what when where why how
		is are was were be been being am do does did done has have had having can could would should will shall may might must not no nor never ever any some all every
		each everything anything something nothing everyone anyone someone one ones more most less fewer few much many other another such than then there here
		of in on at by for from to with without about into onto over under between during through after before since until till up down out off again back as so if
		or and but because while also too very just only please kindly thanks thank hello hi hey ok okay yes s t d m re ll ve don doesn didn isn wasn aren won
		mail mails email emails e message messages inbox mailbox letter letters thread threads conversation
		find show search look list open get got give see tell read check display bring want need like love hate enjoy prefer dislike remember
		say says said write writes wrote written send sends sent receive received come came gone reply replied replies hear heard mention mentions mentioned
		make made let told ask asked know think going been left still yet now ago last latest recent recently new newest old oldest older next upcoming
		today tomorrow yesterday tonight soon week weeks month months year years day days hour hours time times total number
		summarise summarize summary sum overview recap digest brief catch tl dr happened important urgent
		propose proposed suggest suggested suggestion suggestions suggesting recommend recommended recommending recommendation proposal proposals explain reason reasons
		come count often
		interested care stop showing tired sick stand help`),
	"de": wordSet(`der die das den dem des ein eine einen einem einer mein meine meinen meiner meinem dein deine ich du er sie es wir ihr mir mich dir dich uns euch
		ist sind war waren bin bist sein hat habe haben hatte hast wird werden wurde kann kannst können soll sollte muss was wer wen wem wann wo wie warum wieso welche
		welcher welches nicht kein keine keinen keiner und oder aber auch noch nur schon in im an am auf aus bei mit nach von vom vor zu zum zur über um für seit bis
		durch gegen ohne viele viel oft alle alles etwas nichts mehr weniger bitte danke hallo heute gestern letzte letzten letzter letztes diese diesen dieser dieses
		woche wochen monat monate tag tage tagen jahr jahre nachricht nachrichten mail mails email suche such finde zeig zeige fasse fass zusammen zusammenfassung
		überblick archiviere archivieren lösche löschen räume räum auf bestelle ab abbestellen vorgeschlagen vorschlag vorschlagen alte alten alter altes alt neue neuen
		bekommen erhalten geschrieben geschickt gibt mag liebe hasse gern gerne wegen dass ob als wenn stand`),
	"fr": wordSet(`le la les l un une des du de d mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs je j tu il elle on nous vous ils elles me m te t se s
		est sont était étaient suis es ai as a avons avez ont été être avoir fait ce cet cette ces ci ça qui que qu quoi quel quelle quels quelles quand où comment
		pourquoi combien ne n pas plus moins aucun aucune et ou mais aussi encore dans en à au aux avec sans pour par sur sous chez vers depuis avant après entre y t
		tout tous toute toutes rien quelque s il te plaît merci bonjour salut aujourd hui hier semaine mois jour jours an ans année années dernier dernière derniers
		dernières message messages mail mails courriel courriels cherche cherchez trouve montre moi résume résumé aperçu archive archiver supprime nettoie désabonne
		proposé propose suggéré vieux vieille vieilles ancien anciens ancienne anciennes nouveau nouveaux reçu aime aimes adore déteste préfère`),
	"es": wordSet(`el la los las lo un una unos unas mi mis tu tus su sus nuestro nuestra yo tú él ella nosotros ellos ellas me te se nos les le de del al a en con sin por
		para sobre entre desde hasta que qué quién quiénes cuál cuáles cuándo dónde cómo cuánto cuántos cuántas cuánta es son era eran fue soy eres he has ha hemos han
		hay está están estoy ser estar tengo tiene tienes no ni nada nadie y o pero también más menos muy ya este esta estos estas ese esa todo todos toda todas algo
		por favor gracias hola hoy ayer semana semanas mes meses día días año años pasado pasada pasados últimos última último últimas correo correos mensaje mensajes
		email emails busca buscar encuentra muestra muéstrame haz resumen resume archiva archivar limpia borra elimina sugieres sugiere propones viejo viejos vieja
		viejas antiguo antiguos antigua antiguas nuevo nuevos recibí recibido gusta gustan encanta odio quiero`),
}

// hints are words by which a language is known, and that English does not have.
var hints = map[string]map[string]bool{
	"de": wordSet(`der das den dem ein eine ich mir mich ist und nicht wie viele wann wo welche meine meiner mein von vom zeig zeige suche finde fasse zusammen
		zusammenfassung räume archiviere alte werbung warum hast du bitte gestern heute letzte letzten woche monat seit über gibt es bewerbung rechnungen rechnung
		hilfe liebe mag keine konferenzen veranstaltungen nachrichten ausgegeben wieviele lösche stand`),
	"fr": wordSet(`le les une des du mes mon je j tu est que qui où pourquoi combien ne pas dans cette semaine mois hier aujourd hui cherche montre moi messages
		résume résumé archive vieilles promotions la de ai dépensé aime conférences désabonne ce ci chez ma candidature aide proposé d l`),
	"es": wordSet(`el los las mis mi de la que qué cuántos cuántas cuánto por es no me y en busca muéstrame correo correos mensajes ayer hoy semana pasada mes
		resumen limpia archiva gusta gustan promociones antiguas facturas ayuda gasté tengo del boletines viejos sobre haz recibí sugieres`),
}

// languageOf guesses the language of a question; English unless others have more of its words.
func languageOf(words []string) string {
	best, most := "en", 0
	for _, word := range words {
		if englishHints[word] {
			most++
		}
	}
	for _, language := range []string{"de", "fr", "es"} {
		count := 0
		for _, word := range words {
			if hints[language][word] {
				count++
			}
		}
		if count > most {
			best, most = language, count
		}
	}
	return best
}

var englishHints = wordSet(`the of from my me is are was did do does how what which who why when where find show any please i you about with to and in on at since
	last this that for have has it can get archive promotions messages`)

// categoryWords name categories of mail.
var categoryWords = map[string]string{
	"promo": "promo", "promos": "promo", "promotion": "promo", "promotions": "promo", "promotional": "promo", "adverts": "promo", "advertisements": "promo", "ads": "promo",
	"werbung": "promo", "werbemails": "promo", "publicité": "promo", "publicités": "promo", "promociones": "promo", "promoción": "promo", "publicidad": "promo",
	"newsletter": "newsletter", "newsletters": "newsletter", "boletín": "newsletter", "boletines": "newsletter", "infolettre": "newsletter", "infolettres": "newsletter",
}

// categoryAdjectives name a category only before a word for mail: "social mail", but not "social security".
var (
	categoryAdjectives = map[string]string{"social": "social", "personal": "personal", "finance": "finance", "financial": "finance", "event": "event"}
	mailNouns          = wordSet(`mail mails email emails message messages notification notifications updates invitation invitations mailing mailings
		nachricht nachrichten courriel courriels correo correos mensaje mensajes`)
)

// learnedWords are words of other languages for those that events.FeatureOfWord knows.
var learnedWords = map[string]string{
	"konferenz": "conference", "konferenzen": "conference", "conférence": "conference", "conférences": "conference", "conferencia": "conference", "conferencias": "conference",
	"veranstaltung": "event", "veranstaltungen": "event", "événement": "event", "événements": "event", "evento": "event", "eventos": "event",
	"rechnung": "invoice", "rechnungen": "invoice", "facture": "invoice", "factures": "invoice", "factura": "invoice", "facturas": "invoice",
	"quittung": "receipt", "quittungen": "receipt", "reçu": "receipt", "reçus": "receipt", "recibo": "receipt", "recibos": "receipt",
	"angebot": "offer", "angebote": "offer", "offre": "offer", "offres": "offer", "oferta": "offer", "ofertas": "offer",
}

// actionWords say what is done to mail, and not what it is about, unless a question only looks for mail.
var actionWords = wordSet(`archive archiving clean tidy unsubscribe unsubscribing declutter rid sort remove delete trash mute block quarantine label move purge sweep action actions clear empty put folder good cleaning`)

// doers are the words behind which actionWords are verbs, whatever the question wants.
var doers = wordSet(`i we you to they`)

// kindWords are words that tell a kind and not what the mail is about, so that they are not looked for in it.
var kindWords = map[Kind]map[string]bool{
	Status: wordSet(`application applications stage stages status interview interviews job jobs company companies ghosting ghosted rejected final round onsite offer
		bewerbung bewerbungen stand vorstellungsgespräch candidature candidatures entretien candidatura candidaturas solicitud entrevista`),
	Money: wordSet(`much spend spends spending spent cost costs charged charge charges twice paid money receipt receipts invoice invoices bills refund refunds payment payments
		price ausgegeben rechnung rechnungen quittung quittungen bezahlt gekostet dépensé dépenses facture factures reçu reçus coûté factura facturas recibo recibos gasté
		gastado gasto gastos`),
	Networking: wordSet(`meetup meetups conference conferences webinar webinars networking event events meet people workshop workshops hackathon hackathons
		veranstaltung veranstaltungen konferenz konferenzen conférence conférences événement événements evento eventos conferencia conferencias`),
}
