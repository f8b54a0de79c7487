package money

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/applylens/applylens/internal/domain"
)

// evidence is what speaks for and against a receipt.
type evidence struct {
	mail          *Mail
	subject, text []int // how many phrases of each list of subjectWords and textWords
	paid          bool  // an amount is said to have been paid, refunded or charged
	paidAll       bool  // as what was paid in all
	bare          bool  // nothing tells what the amount is
	listed        bool  // its parts are listed
	named         bool  // it is called the amount
	single        bool  // there is no other amount
	total         bool  // an amount is called a total
	coming, due   bool  // an amount is said to be still to be paid
	machine       bool  // the sender is no person
	billing       bool  // the sender is a billing office or a payment processor
	open          bool  // anybody can have an address there
}

// isReceipt tells whether the mail is a receipt. A discussion is none, whatever it quotes.
func (l *letter) isReceipt() bool {
	if l.mail.Category == "discussion" || answerSubject.MatchString(l.mail.Subject) {
		return false
	}
	best := l.best()
	if strings.Trim(best.decimal, "0.") == "" || best.rank == rankNobody {
		return false
	}
	return l.evidence().weight() >= enough
}

func (l *letter) evidence() *evidence {
	m := l.mail
	local, _, _ := strings.Cut(strings.ToLower(m.Sender), "@")
	e := &evidence{
		mail:    m,
		subject: l.subject,
		text:    textWords.Count(headAndTail(l.text)),
		machine: machineSender.MatchString(local),
		billing: billingSender.MatchString(local) || processors[m.SenderDomain],
		open:    domain.Open(m.SenderDomain),
	}
	for i := range l.sums {
		s := &l.sums[i]
		e.paid = e.paid || s.paid || s.rank >= rankPaidAll
		e.paidAll = e.paidAll || s.rank >= rankPaidAll
		e.total = e.total || s.rank == rankTotal || s.rank == rankGross
		e.coming = e.coming || s.coming
		e.due = e.due || s.due
	}
	best := l.best()
	e.bare = best.rank <= rankDue
	e.listed = l.addsUp(best)
	e.named = best.rank == rankAmount
	e.single = !slices.ContainsFunc(l.sums, func(s labelled) bool { return s.decimal != best.decimal })
	return e
}

// weight adds up what the rules say.
func (e *evidence) weight() int {
	total := categoryAgainst[e.mail.Category]
	for i := range rules {
		total += rules[i].weight * rules[i].times(e)
	}
	return total
}

// acknowledged tells whether the mail says clearly that something was paid.
func (e *evidence) acknowledged() bool {
	return e.text[ofDone] > 0 && (e.paid || e.subject[ofReceipts] > 0) || e.paid && e.text[ofDoneWords] > 0 && e.subject[ofConfirms] > 0
}

// asserted tells whether the mail says in any way that something was paid or bought.
func (e *evidence) asserted() bool {
	s, t := e.subject, e.text
	if e.paid || t[ofDone] > 0 || s[ofReceipts]+s[ofRefundSubjects] > 0 {
		return true
	}
	itemised := t[ofMethods] > 0 || e.listed || s[ofInvoices] > 0
	finished := t[ofDoneWords] > 0 || e.listed || s[ofConfirms]+s[ofInvoices] > 0
	return (e.total || e.named) && itemised && finished
}

// silent tells whether neither the subject nor the text speaks of a payment.
func (e *evidence) silent() bool {
	s, t := e.subject, e.text
	if s[ofReceipts]+s[ofInvoices]+s[ofPurchases]+s[ofRefundSubjects]+s[ofConfirms] > 0 || e.paidAll {
		return false
	}
	return (t[ofDone] == 0 || !e.total && !e.paid) && t[ofMethods] == 0 && t[ofStructure] < 3
}

// The bytes at the ends of a text in which words are looked for.
const (
	maxHead  = 6000
	maxWords = 2000
)

func headAndTail(text string) string {
	if len(text) <= maxHead+maxWords {
		return text
	}
	return text[:maxHead] + "\n" + text[len(text)-maxWords:]
}

// total returns the amount that was paid, negative if it was refunded.
func (l *letter) total() (Amount, bool) {
	best := l.best()
	amount, err := ParseAmount(best.decimal, best.code)
	if err != nil {
		return Amount{}, false
	}
	if best.minus || best.rank >= rankRefund || l.refund {
		amount = amount.negative()
	}
	return amount, true
}

// subjectCounts counts the phrases of subjectWords, and the compound words whose ends are one.
func subjectCounts(subject string) []int {
	counts := subjectWords.Count(subject)
	for word := range strings.FieldsFuncSeq(strings.ToLower(subject), func(r rune) bool { return !unicode.IsLetter(r) }) {
		for _, c := range compounds {
			if strings.HasSuffix(word, c.ending) && len(word) > len(c.ending) {
				counts[c.list]++
			}
		}
	}
	return counts
}

var (
	answerSubject = regexp.MustCompile(`(?i)^\s*(?:\[[^\]]*\]\s*)?(?:re|aw|sv|antw|antwort|fwd?|wg|tr|rv|rif|enc|res|vs|odp|doorst)(?:\[\d+\])?\s?:`)
	billingSender = regexp.MustCompile(`billing|invoice|receipt|payment|order|auto-?confirm|purchase|ticket|booking|rechnung|buchhaltung|bestell|factur|fattur|commande|pedido|ordin|kvitt|zamow|shop|store|sales|kasse`)
	machineSender = regexp.MustCompile(`no.?reply|do.?not.?reply|notif|alert|info|service|support|contact|hello|team|billing|invoice|receipt|payment|order|shop|auto`)
)

// processors are registrable domains from which little else comes than news of payments.
var processors = map[string]bool{"paypal.com": true, "paypal.de": true, "paypal.fr": true, "paypal.co.uk": true, "paypal.es": true, "paypal.it": true, "paypal.nl": true, "paypal.com.br": true, "stripe.com": true, "square.com": true, "squareup.com": true,
	"venmo.com": true, "wise.com": true, "klarna.com": true, "klarna.de": true, "klarna.se": true, "adyen.com": true, "paddle.com": true, "paddle.net": true, "fastspring.com": true, "gumroad.com": true, "mollie.com": true, "sumup.com": true, "zettle.com": true, "izettle.com": true,
	"amazon.com": true, "amazon.de": true, "amazon.co.uk": true, "amazon.fr": true, "amazon.it": true, "amazon.es": true, "amazon.ca": true, "amazon.in": true, "amazon.co.jp": true, "shopify.com": true, "shop.app": true, "ebay.com": true, "ebay.de": true, "ebay.co.uk": true, "etsy.com": true,
	"uber.com": true, "lyft.com": true, "bolt.eu": true, "razorpay.com": true, "mercadopago.com": true, "mercadolibre.com": true, "afterpay.com": true, "affirm.com": true, "2checkout.com": true, "braintreepayments.com": true, "cash.app": true, "revolut.com": true}
