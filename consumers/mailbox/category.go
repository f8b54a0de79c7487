package mailbox

import (
	"regexp"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
)

// The categories that the rules give. A producer may give others.
const (
	Promo        = "promo"
	Newsletter   = "newsletter"
	Event        = "event"
	Finance      = "finance"
	Applications = "applications"
	Social       = "social"
	Discussion   = "discussion"
	Personal     = "personal"
	Other        = "other"
)

// Category is the producer's, or else what plain rules over sender, subject, List-Id, List-Unsubscribe and the words of the
// text say; the first that holds wins:
//
//	other         a notice that a machine writes: an absence, a bounce, a code, a warning
//	newsletter    an item of a feed
//	applications  the sender is an applicant tracking system or a job board, or the words are of an application
//	finance       the sender is a payment processor or a billing office, or the subject is of a receipt, order, bill or account
//	event         the sender sells tickets, or the subject invites to something
//	discussion    a notice of what somebody wrote in a forum
//	social        a social network, or a notice of what somebody did in one
//	promo         the words sell, more than they inform if it is bulk mail
//	discussion    people write to each other: a mailing list that does not only publish, a group, a subject with a list's tag
//	newsletter    bulk mail, or a sender that only announces
//	personal      a person writes
//	other         the rest
//
// What is risky is nothing else than event, promo, when it sells or is bulk mail, and other, when it pretends.
// An answer is no event, finance or newsletter by its subject. docs/mail.md tells how often the rules are right.
func Category(m *events.Mail, senderDomain string) string {
	if given := strings.ToLower(strings.TrimSpace(m.Category)); given != "" {
		return given
	}
	s := look(m, senderDomain)
	switch found := s.category(); {
	case !s.risky || found == Promo || found == Event:
		return found
	case found == Newsletter || s.selling > 1:
		return Promo
	}
	return Other
}

// sight is what the rules see of a mail.
type sight struct {
	domain  string // of the sender, registrable
	local   string // of the sender, lower case
	subject string // lower case
	says    []int  // how many phrases of each list the subject holds

	answer    bool // the subject is of an answer or a forwarded mail
	list      bool // a List-Id is given
	announces bool // by a list on which nobody answers
	posted    bool // to the list's own address
	group     bool // people write to each other
	bulk      bool // sent to many who can leave
	automatic bool // no person reads answers
	selling   int  // signs that it sells
	telling   int  // signs of a publication
	hiring    int  // words of an application
	risky     bool
}

func look(m *events.Mail, senderDomain string) *sight {
	s := &sight{domain: senderDomain, subject: strings.ToLower(m.Subject[:min(len(m.Subject), maxSubject)])}
	s.subject = gatewayTag.ReplaceAllString(s.subject, "")
	s.local, _, _ = strings.Cut(strings.ToLower(m.Sender.Address), "@")
	s.says = subjectWords.Count(s.subject)
	text := textWords.Count(ends(m.Text))
	bulkSender := bulkSender.MatchString(s.local)

	s.answer = answerSubject.MatchString(s.subject)
	s.list = m.ListID != ""
	s.automatic = s.local == "" || automaticSender.MatchString(s.local)
	s.telling = publicationWords.Count(m.Text[:min(len(m.Text), maxOpening)])[0] + 2*one(s.says[ofPublications] > 0) + one(bulkSender)
	s.posted = s.list && postedTo(m)
	tagged := listTag.MatchString(s.subject)
	talks := s.answer || m.InReplyTo != "" || tagged
	elsewhere := len(m.Recipients) > 0 // and not to the list
	s.announces = s.list && (announcingList.MatchString(strings.ToLower(m.ListID)) || !s.posted && (bulkSender || !talks && (elsewhere || s.publishes(m))))
	s.group = !s.announces && (s.list || !bulkSender && text[ofGroups] > 0) || !bulkSender && !s.automatic && (m.Unsubscribe && s.answer || tagged)
	s.bulk = m.Unsubscribe || s.announces || !s.list && (bulkSender || text[ofLeaving] > 0)
	s.selling = text[ofSelling] + 2*one(s.says[ofOffers] > 0) + 2*one(s.says[ofHardSell] > 0) + one(promoSender.MatchString(s.local))
	s.hiring = text[ofHiring] + one(s.says[ofHiringSubjects] > 0)
	s.risky = m.RiskScore != nil && *m.RiskScore >= risky
	return s
}

// publishes tells that mail of a list that is no answer is written to readers: by a program, as an issue, or with the one click to
// leave that senders of bulk mail have to offer. Services that send for others give a List-Id, too.
func (s *sight) publishes(m *events.Mail) bool {
	return s.automatic || s.telling > 1 || m.ListUnsubscribePost != ""
}

// postedTo tells whether a recipient is the list: an address that its List-Id begins with, whatever the host that runs the list.
func postedTo(m *events.Mail) bool {
	name, _, _ := strings.Cut(strings.ToLower(m.ListID), ".")
	for _, recipient := range m.Recipients {
		local, _, _ := strings.Cut(strings.ToLower(recipient.Address), "@")
		if local == name {
			return true
		}
	}
	return false
}

func (s *sight) category() string {
	switch {
	case s.notice():
		return Other
	case feedSender.MatchString(s.local):
		return Newsletter
	case s.application():
		return Applications
	case paymentProcessors[s.domain], !s.answer && !s.group && (billingSender.MatchString(s.local) || s.says[ofMoney] > 0):
		return Finance
	case ticketSellers[s.domain], !s.answer && s.invites():
		return Event
	case (s.bulk || s.automatic) && s.says[ofForums] > 0:
		return Discussion
	case socialNetworks[s.domain], (s.bulk || s.automatic) && s.says[ofNetworks] > 0:
		return Social
	case s.sells():
		return Promo
	case s.group:
		return Discussion
	case s.bulk, !s.answer && s.says[ofPublications] > 0:
		return Newsletter
	case !s.automatic:
		return Personal
	}
	return Other
}

// notice tells what a machine writes about something that happened.
func (s *sight) notice() bool {
	return daemon.MatchString(s.local) || s.says[ofNotices] > 0 || noticeTag.MatchString(s.subject)
}

// application tells that somebody is to get a job: a subject that says so or, of a person who sells nothing, two words of it.
func (s *sight) application() bool {
	jobs := jobSender.MatchString(s.local)
	switch {
	case ats.IsRelay(s.domain), jobs && !s.list:
		return true
	case s.group, s.bulk && !jobs:
		return false
	}
	return s.says[ofApplications] > 0 || s.hiring > 1 && s.selling < 3
}

// invites tells an invitation by its words or, of a sender that is no person, by what it is to.
func (s *sight) invites() bool {
	return s.says[ofInvitations] > 0 || (s.bulk || s.list || s.automatic) && s.says[ofEvents] > 0
}

// sells tells advertising by how many signs of it there are: a person needs more of them than a sender of bulk mail, and a
// group more than a person; bulk mail needs more of them than of a publication.
func (s *sight) sells() bool {
	switch {
	case s.group:
		return !s.answer && s.selling > 4
	case s.bulk:
		return s.selling > s.telling && (s.selling > 2 || s.says[ofOffers] > 0)
	case s.answer:
		return s.selling > 4
	}
	return s.selling > 2
}

// The parts of a text that are looked at, in bytes: a text is untrusted, and most of what tells its kind stands at its ends.
const (
	maxSubject = 300
	maxOpening = 1000
	maxHead    = 3000
	maxTail    = 2000
)

func ends(text string) string {
	if len(text) <= maxHead+maxTail {
		return text
	}
	return text[:maxHead] + " " + text[len(text)-maxTail:]
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// risky is the score from which a mail is not taken for what it seems.
const risky = 50

// The rules for subjects and the local parts of senders, in lower case.
var (
	answerSubject = regexp.MustCompile(`^\s*(?:\[[^\]]*\]\s*)?(?:re|aw|sv|antw|fwd?)(?:\[\d+\])?:`)

	// gatewayTag is what mail servers put before subjects of mail from elsewhere.
	gatewayTag = regexp.MustCompile(`^\s*(?:(?:\[(?:ext(?:ern(?:al|e|o|a)?)?(?: ?(?:e-?mail|sender))?|suspected spam|spam\??|bulk|caution|warning|action required|secure|encrypt(?:ed)?|urgent)\]|(?:external|ext):)\s*)+`)

	// listTag is what lists put before subjects. Tickets, monitors and filters do so too.
	listTag   = regexp.MustCompile(`^\s*(?:(?:re|aw|sv|antw|fwd?): ?)*\[[a-z][a-z _+-]*[a-z0-9]\]`)
	noticeTag = regexp.MustCompile(`^\[(?:ticket|case|down|up|alert)\b`)

	bulkSender      = regexp.MustCompile(`news|lists?\b|digest|bulletin|advisor|update|mailer\b|letter|announce|subscri|express|feed|dispatch`)
	feedSender      = regexp.MustCompile(`^rss|^feeds?\b|feeds?$`)
	promoSender     = regexp.MustCompile(`offer|deal|promo|market|special|sale|save|shop|store|gift`)
	jobSender       = regexp.MustCompile(`^(?:careers?|jobs?|job-?alerts?.*|recruit\w*|talent|karriere|bewerbung)$`)
	billingSender   = regexp.MustCompile(`^(?:billing|invoices?|receipts?|payments?|orders?|auto-confirm|payroll|payouts?|accounts?-?receivable|rechnung(?:en)?|factur\w*|buchhaltung)$`)
	daemon          = regexp.MustCompile(`mailer-daemon|postmaster|^(?:root|nobody|cron|ci|monitor\w*|scanner)$`)
	automaticSender = regexp.MustCompile(`no-?_?reply|do-?not-?reply|bounce|automat|^(?:notif\w*|alerts?|info|support|service|admin|webmaster|system|contact|hello|team)$`)
	announcingList  = regexp.MustCompile(`news|announce|digest|bulletin|letter|marketing|offers|deals|promo|updates`)
)

// The registrable domains that tell a category by themselves.
var (
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
