package money

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/tokenize"
)

// maxMerchant is how many bytes a merchant's name has at most.
const maxMerchant = 100

// merchant returns the name of whom the mail is about: of news of payment processors and banks the one that the text names, else the sender's
// name without what is none of it, else the registrable domain.
func (l *letter) merchant() string {
	m := l.mail
	if l.ofAnother() {
		if name := l.named(); name != "" {
			return name
		}
	}
	if name := cleanName(m.SenderName); name != "" {
		return name
	}
	return clip(domain.Readable(m.SenderDomain))
}

// ofAnother tells whether the sender only tells of a payment to somebody else, as a bank does.
func (l *letter) ofAnother() bool {
	m := l.mail
	return processors[m.SenderDomain] && !sellers[brand(m.SenderDomain)] || youPaid.MatchString(m.Subject) ||
		thirdParty.MatchString(m.SenderName+" "+m.Sender) || cardNotice.MatchString(l.text[:min(len(l.text), maxHead)])
}

// sellers are processors that sell in their own name.
var sellers = map[string]bool{"amazon": true, "uber": true, "lyft": true, "bolt": true}

// brand is the first label of a domain.
func brand(domain string) string {
	label, _, _ := strings.Cut(domain, ".")
	return label
}

var (
	youPaid    = regexp.MustCompile(`(?i)^(?:you (?:paid|sent|spent)|has pagado|hai pagato|vous avez payé|du hast|sie haben .*bezahlt)\b`)
	thirdParty = regexp.MustCompile(`(?i)\b(?:bank\w*|\w*bank|banco|banca|banque|sparkasse|volksbank|credit ?card|card services|visa|mastercard|amex|alerts?|paypal|stripe|square|venmo|klarna|wise|revolut|n26|monzo|mollie|sumup|zettle|via stripe)\b`)
	cardNotice = regexp.MustCompile(`(?i)(?:with|on|to|using) your (?:\w+ ){0,3}card ending|mit (?:ihrer|deiner) karte|avec votre carte|con (?:tu|su) tarjeta|con la tua carta|met (?:je|uw) (?:bank)?pas`)

	// namedIn find a merchant in the subject or the text, the clearest first.
	namedIn = []*regexp.Regexp{
		regexp.MustCompile(`(?im)^\s*(?:merchant|merchant name|paid to|seller|store|recipient|payee|händler|verkäufer|empfänger|zahlungsempfänger|commerçant|marchand|bénéficiaire|comercio|establecimiento|vendedor|beneficiario|esercente|venditore|beneficiario|winkel|verkoper|ontvanger|estabelecimento|loja|butik|sprzedawca|odbiorca)\s*:?[ \t]*\n?[ \t]*:?[ \t]*(\S[^\n]{1,80})$`),
		regexp.MustCompile(`(?i)(?:receipt (?:for|of) your payment to|you (?:authorized|authorised|sent) a payment (?:of [^\n]{1,30} )?to|payment (?:of [^\n]{1,30} )?to|beleg für (?:ihre|deine) zahlung an|zahlung (?:über [^\n]{1,30} )?an|paiement (?:de [^\n]{1,30} )?à|pago (?:de [^\n]{1,30} )?a|pagamento (?:di [^\n]{1,30} )?a|betaling (?:van [^\n]{1,30} )?aan) +([^\n]{2,80})`),
		regexp.MustCompile(`(?i)(?:you paid|you sent|sie haben|du hast|vous avez payé|has pagado|hai pagato) +[^\n]{1,30}?\d[^\n ]*(?: ?(?:[A-Z]{3}|€))? +(?:to|an|à|a|aan) +([^\n]{2,80})`),
		regexp.MustCompile(`(?i)your ([^\n]{2,60}?) (?:receipt|invoice|order|purchase)\b(?: ?[\[#(]|\s*$|\n)`),
		regexp.MustCompile(`(?i)(?:receipt|invoice|refund|order|purchase|rechnung|beleg|reçu|recibo|ricevuta) (?:from|von|de|di|da|bei|van) +([^\n]{2,80})`),
		regexp.MustCompile(`(?i)(?:\d (?:[A-Z]{3} )?|€ |purchase |transaction |card |made |spent |charge )(?:at|bei|chez|en|em|presso|bij) +([^\n]{2,80})`),
		regexp.MustCompile(`(?i)^you paid +([^\n$€£\d]{2,60}?) +[$€£]`),
	}
	nameEnd = regexp.MustCompile(`(?i)\s*(?:[\[(#,;:|<"“”]| - | – | — |[.!](?:\s|$)| on (?:\w{3,9}\.? \d|\d)| am \d| vom \d| le \d| el \d| il \d| op \d| for | für | pour | with your | getätigt| gesendet| erhalten| wurde| has | was | is | foi | con | mit | avec | met | com |\s\d{4,}|$)`)
)

// named returns the merchant that the subject or the text names, "" for none.
func (l *letter) named() string {
	text := l.text[:min(len(l.text), maxHead/2)]
	for _, pattern := range namedIn {
		match := pattern.FindStringSubmatch(text)
		if match == nil {
			continue
		}
		name := match[1]
		if end := nameEnd.FindStringIndex(name); end != nil {
			name = name[:end[0]]
		}
		name = clip(strings.Trim(name, " \t.*'’"))
		if utf8.RuneCountInString(name) > 1 && len(scan(name)) == 0 && !pronoun.MatchString(name) {
			return name
		}
	}
	return ""
}

var pronoun = regexp.MustCompile(`(?i)^(?:your|you|us|our|the|this|my|me|a|an|ihr\w*|dein\w*|unser\w*|votre|notre|tu|su|nuestro|la tua|il tuo|je|uw|ons)\b`)

var (
	// namePrefix and nameSuffix are what is no part of a merchant's name.
	nameSuffix  = regexp.MustCompile(`(?i)[\s,|\-–—:·]*(?:\b(?:via (?:stripe|paypal|square|shopify|\w+)|no[- _]?reply|do not reply|billing(?: team| department)?|receipts?|invoices?|orders?|payments?|refunds?|alerts?|notifications?|transactions?|customer (?:service|support|care)|support(?: team)?|service team|team|accounts?(?: receivable)?|kundenservice|kundendienst|kundenbetreuung|rechnung(?:en)?|buchhaltung|bestellung(?:en)?|service client|facturation|facturación|pedidos|servizio clienti|klantenservice|inc\.?|llc|ltd\.?)|\(no[- ]?reply\))$`)
	namePrefix  = regexp.MustCompile(`(?i)^(?:\S+ (?:from|at) (?:the )?|team |support |no[- ]?reply[ ,:-]*)(\S.*)$`)
	genericName = regexp.MustCompile(`(?i)^(?:no[- _]?reply|do[- ]not[- ]reply|noreply|billing|invoices?|receipts?|orders?|payments?|info|support|service|customer service|notifications?|alerts?|accounts?|accounting|admin|mailer|hello|team|shop|store|sales|mail|e-?mail|kundenservice|rechnung(?:en)?|buchhaltung|bestellung(?:en)?|facturation|facturas?|pedidos|fatture|ordini|facturen|bestellingen)$`)
)

// cleanName returns a sender's name without what is no name of a merchant, or "" if nothing is left.
func cleanName(name string) string {
	name = strings.Trim(strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " "), ` "'“”„`)
	if strings.Contains(name, "@") || genericName.MatchString(name) {
		return ""
	}
	for range 3 {
		short := nameSuffix.ReplaceAllString(name, "")
		if short == name || !hasWord(short) {
			break
		}
		name = short
	}
	if match := namePrefix.FindStringSubmatch(name); match != nil && !strings.Contains(match[1], " from ") {
		name = match[1]
	}
	if !hasWord(name) || genericName.MatchString(name) {
		return ""
	}
	return clip(strings.TrimSpace(name))
}

// clip bounds a name.
func clip(name string) string {
	if len(name) <= maxMerchant {
		return name
	}
	end := maxMerchant
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// legalForms are words at the end of a name that do not tell it from others, as are the ends of domains.
var legalForms = map[string]bool{"inc": true, "llc": true, "ltd": true, "limited": true, "gmbh": true, "ag": true, "kg": true, "ug": true, "corp": true, "corporation": true, "co": true, "company": true, "sarl": true, "sas": true, "sa": true, "srl": true, "spa": true, "bv": true, "nv": true, "ab": true, "as": true, "aps": true,
	"oy": true, "plc": true, "pbc": true, "pty": true, "sl": true, "lda": true, "ltda": true, "com": true, "net": true, "org": true, "de": true, "fr": true, "uk": true, "eu": true, "example": true}

// Key returns the form in which names of merchants are compared: the words, without case, marks and legal forms.
func Key(name string) string {
	all := tokenize.Split(name)
	for len(all) > 1 && legalForms[all[len(all)-1]] {
		all = all[:len(all)-1]
	}
	if len(all) > 2 && all[0] == "the" {
		all = all[1:]
	}
	return strings.Join(all, "")
}
