package mailbox

import (
	"regexp"
	"strings"

	"github.com/applylens/applylens/events"
)

// The categories that the rules give. A producer may give others.
const (
	Promo        = "promo"
	Newsletter   = "newsletter"
	Event        = "event"
	Finance      = "finance"
	Applications = "applications"
	Social       = "social"
	Personal     = "personal"
	Other        = "other"
)

// Category is the producer's, or else what plain rules say; the first that holds wins:
//
//	applications  the sender is an applicant tracking system, or the subject speaks of an application or interview
//	finance       the sender is a payment processor, or the subject of a receipt, invoice, order or bill
//	event         the sender sells tickets, or the subject invites to a meetup, webinar, conference or workshop
//	promo         bulk mail whose subject or sender offers something; or a subject that can hardly be anything else
//	newsletter    bulk mail that calls itself so, or that is no discussion
//	social        a social network, or a mailing list where people discuss: List-Id, or answers and [tags] to unsubscribe from
//	personal      a person writes: neither bulk mail nor an automatic sender
//	other         the rest
//
// Answers are never finance, event, promo or newsletter by their subject. Bulk mail has List-Unsubscribe, or
// says in its text how to unsubscribe, or comes from a sender that calls itself a list.
func Category(m *events.Mail, senderDomain string) string {
	if given := strings.ToLower(strings.TrimSpace(m.Category)); given != "" {
		return given
	}
	local, _, _ := strings.Cut(strings.ToLower(m.Sender.Address), "@")
	subject := strings.ToLower(m.Subject[:min(len(m.Subject), maxSubject)])
	answer := answerSubject.MatchString(subject)
	list := m.ListID != ""
	listlike := bulkSender.MatchString(local)
	bulk := m.Unsubscribe || !list && (listlike || offersToUnsubscribe(m.Text))
	announces := list && announcingList.MatchString(strings.ToLower(m.ListID))
	discusses := list || m.Unsubscribe && !listlike && (answer || taggedSubject.MatchString(subject))

	switch {
	case applicantSystems[senderDomain], !list && !listlike && applicationSubject.MatchString(subject):
		return Applications
	case paymentProcessors[senderDomain], !answer && !list && financeSubject.MatchString(subject):
		return Finance
	case ticketSellers[senderDomain], !answer && eventSubject.MatchString(subject):
		return Event
	case socialNetworks[senderDomain]:
		return Social
	case !answer && !list && hardSell.MatchString(subject):
		return Promo
	case !answer && bulk && (!list || announces) && (promoSubject.MatchString(subject) || promoSender.MatchString(local)):
		return Promo
	case !answer && (announces || newsletterSubject.MatchString(subject)), bulk && !discusses:
		return Newsletter
	case discusses:
		return Social
	case !automaticSender.MatchString(local) && local != "":
		return Personal
	}
	return Other
}

// maxSubject is how much of a subject is looked at, in bytes: a subject is untrusted text, and each rule reads it once.
const maxSubject = 300

func offersToUnsubscribe(text string) bool {
	return strings.Contains(text, "unsubscribe") || strings.Contains(text, "Unsubscribe") || strings.Contains(text, "UNSUBSCRIBE")
}

// The rules for text in lower case.
var (
	answerSubject = regexp.MustCompile(`^\s*(?:\[[^\]]*\]\s*)?(?:re|aw|sv|antw|fwd?)(?:\[\d+\])?:`)

	taggedSubject = regexp.MustCompile(`^\s*\[[^\]]+\]`)

	applicationSubject = regexp.MustCompile(`\b(?:your application|job application|application (?:received|status|update|for the)|thank you for applying|` +
		`interview (?:invitation|confirmation|schedule|request|with|for the)|phone screen|on-?site interview|offer letter|next steps with|recruiter)\b`)

	financeSubject = regexp.MustCompile(`\b(?:receipts?|invoices?|payment (?:received|confirmation|due|reminder)|your payment|` +
		`order confirmation|your order|order #|purchase confirmation|your purchase|billing statement|your bill|account statement|your statement|refund|transaction)\b`)

	eventSubject = regexp.MustCompile(`\b(?:meet-?ups?|webinars?|conferences?|workshops?|hackathons?|seminars?|rsvp|save the date|user group meeting)\b`)

	hardSell = regexp.MustCompile(`\d ?% off\b|\bfree shipping\b|\blimited time\b|\bsave (?:up to|\$|\d)|\b(?:lowest|low) (?:price|rate)s?\b|` +
		`\bspecial offer|\bact now\b|\bmake money\b|\bcredit card debt\b|\blife insurance\b|\bviagra\b|\bmortgage rates?\b|\bfree trial\b|\$\$\$`)

	promoSubject = regexp.MustCompile(`\b(?:sales?|discounts?|deals?|offers?|coupons?|promotions?|promo|save|savings|clearance|free|bargains?|exclusive|shop|buy|gifts?)\b|% off`)

	newsletterSubject = regexp.MustCompile(`\b(?:newsletter|digest|bulletin|round-?up|weekly|daily|headlines|news alert|issue #?\d+|e-?zine)\b`)

	bulkSender      = regexp.MustCompile(`news|list|digest|bulletin|update|mailer|letter|announce|subscri|express|feed`)
	promoSender     = regexp.MustCompile(`offer|deal|promo|market|special|sale|save|shop|store|gift`)
	automaticSender = regexp.MustCompile(`no-?_?reply|do-?not-?reply|mailer-daemon|postmaster|bounce|automat|^(?:notifications?|alerts?|info|support|service|admin|root|webmaster|system|contact|hello|team)$`)
	announcingList  = regexp.MustCompile(`news|announce|digest|bulletin|letter|marketing|offers|deals|promo`)
)

// The registrable domains that tell a category by themselves.
var (
	applicantSystems = set("greenhouse.io", "greenhouse-mail.io", "lever.co", "myworkday.com", "myworkdayjobs.com", "smartrecruiters.com",
		"ashbyhq.com", "icims.com", "jobvite.com", "workable.com", "workablemail.com", "bamboohr.com", "taleo.net", "successfactors.com",
		"recruitee.com", "teamtailor.com", "teamtailor-mail.com", "breezy.hr", "personio.de")
	paymentProcessors = set("paypal.com", "stripe.com", "square.com", "squareup.com", "venmo.com", "wise.com", "klarna.com", "adyen.com", "paddle.com")
	ticketSellers     = set("meetup.com", "eventbrite.com", "lu.ma", "ti.to", "evite.com", "ticketmaster.com", "hopin.com", "eventbrite.co.uk")
	socialNetworks    = set("facebookmail.com", "facebook.com", "linkedin.com", "twitter.com", "x.com", "instagram.com", "pinterest.com",
		"redditmail.com", "quora.com", "nextdoor.com", "mastodon.social")
)

func set(names ...string) map[string]bool {
	result := make(map[string]bool, len(names))
	for _, name := range names {
		result[name] = true
	}
	return result
}
