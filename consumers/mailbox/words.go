package mailbox

import "github.com/applylens/applylens/internal/lexicon"

// The lists of textWords.
const (
	ofLeaving = iota
	ofGroups
	ofSelling
	ofHiring
)

// textWords are the phrases of texts that tell a category. Any number stands for every number.
var textWords = lexicon.New(
	[]string{ // how to leave: bulk mail
		"unsubscribe", "opt out", "optout", "to be removed", "be removed from", "remove yourself", "removal", "remove me", "your subscription", "my subscription",
		"my subscriptions", "you are receiving this", "you're receiving this", "you received this email because", "you get this because", "you have received this e-mail",
		"no longer wish to receive", "future mailings", "future e-mails", "future emails", "our mailing list", "mailing list options",
		"email preferences", "e-mail preferences", "communication preferences", "manage your preferences", "update your preferences", "manage preferences", "manage subscription",
		"receiving this newsletter", "receive this newsletter", "receive our newsletter", "view in browser", "in your browser", "in a browser", "displaying properly", "view online",
		"read online", "view this email online", "im browser ansehen", "newsletter abbestellen", "abbestellen", "dans votre navigateur", "désinscrire", "en tu navegador", "en su navegador",
		"cancelar la suscripción", "nel browser", "annulla l'iscrizione", "in je browser", "afmelden", "abmelden", "désabonner", "darse de baja"},
	[]string{ // the footers of groups where people write to each other
		"listinfo", "majordomo", "yahoo groups", "yahoogroups", "google groups", "googlegroups", "groups msn com", "unsubscribe from this group"},
	[]string{ // offers
		"order now", "order today", "buy now", "shop now", "call now", "act now", "apply now", "join now", "click here", "limited time", "special offer", "special offers",
		"free shipping", "free delivery", "% off", "discount", "discounts", "money back", "guarantee", "guaranteed", "no obligation", "save up to", "lowest price", "lowest prices",
		"low price", "low prices", "low cost", "lowest rate", "lowest rates", "low rate", "low rates", "best price", "bargain", "bargains", "for only $", "only $", "just $", "toll free",
		"don't miss", "opportunity", "per month", "100% free", "absolutely free", "for free", "free trial", "free quote", "win a", "voucher", "coupon", "instead of", "in stock", "wholesale", "retail",
		"earn", "income", "credit card", "opt in", "removed", "rabatt", "fares", "our price", "savings", "your business", "increase your"},
	[]string{ // what people write about a job
		"recruiter", "recruiting", "recruitment", "interview", "interviews", "your application", "hiring", "candidate", "applying", "the role", "position", "talent acquisition", "salary",
		"references", "background in", "good fit", "contract is attached", "bewerbung", "your profile", "the job", "offer letter", "applicant"},
)

// publicationWords are the phrases that publications begin with.
var publicationWords = lexicon.New([]string{"newsletter", "in this issue", "issue", "vol", "volume", "digest", "edition", "headlines", "table of contents", "briefing",
	"bulletin", "advisory", "press release", "for immediate release", "dear readers", "this week", "today's", "your daily", "news"})

// The lists of subjectWords.
const (
	ofNotices = iota
	ofApplications
	ofHiringSubjects
	ofMoney
	ofInvitations
	ofEvents
	ofForums
	ofNetworks
	ofOffers
	ofHardSell
	ofPublications
)

// subjectWords are the phrases of subjects that tell a category.
var subjectWords = lexicon.New(
	[]string{ // notices of machines
		"automatic reply", "auto reply", "autoreply", "auto response", "out of office", "out of the office", "abwesenheitsnotiz", "undeliverable", "undelivered", "returned mail",
		"delivery status", "failure notice", "mail delivery", "cron", "verification code", "security alert", "new sign-in", "sign-in attempt", "new login", "reset your password",
		"forgot your password", "change your password", "password reset", "terms of service", "terms of use", "privacy policy", "build failed", "storm warning", "weather warning",
		"thunderstorm warning", "flood warning", "renewal reminder", "contact data", "scanned document", "confirm your email", "confirm your e-mail", "confirm your address", "parcel arrives",
		"out for delivery", "cvs"},
	[]string{ // applications
		"your application", "job application", "application received", "application status", "application update", "application for the", "thank you for applying", "thanks for applying",
		"candidacy", "interview invitation", "interview confirmation", "interview schedule", "interview request", "interview with", "interview for the", "interview on", "your interview",
		"phone screen", "on-site interview", "onsite interview", "your on-site", "your onsite", "offer letter", "next steps with", "recruiter", "recruiters", "coding challenge",
		"take-home exercise", "take-home assignment", "background check", "ihre bewerbung", "votre candidature", "new jobs", "job alert"},
	[]string{"interview", "hiring", "candidate", "position", "role", "job", "applying"},
	[]string{ // money
		"receipt", "receipts", "invoice", "invoices", "payment received", "payment confirmation", "payment due", "payment reminder", "payment failed", "your payment", "your payments",
		"order confirmation", "your order", "ordered", "order 1", "orders 1", "purchase confirmation", "your purchase", "paid you", "made a purchase", "statement is ready", "statement is available", "your statement", "account statement",
		"bank statement", "card statement", "billing statement", "monthly statement", "your bill", "refund",
		"refunded", "transaction", "payout", "payouts", "pay slip", "payslip", "payroll", "booking confirmation", "itinerary", "premium due", "membership renews", "subscription renews",
		"your donation", "trade confirmation", "tax return", "tax assessment", "tax document", "low balance", "your balance", "account balance", "direct debit", "overdue", "rechnung", "zahlung", "zahlungserinnerung",
		"facture", "factura", "fattura"},
	[]string{ // invitations
		"invitation", "you're invited", "you are invited", "invites you", "rsvp", "save the date", "einladung", "register today", "register now", "seminar series",
		"@ mon", "@ tue", "@ wed", "@ thu", "@ fri", "@ sat", "@ sun"},
	[]string{ // what people are invited to
		"meetup", "meetups", "meet-up", "meet-ups", "webinar", "webinars", "conference", "conferences", "workshop", "workshops", "hackathon", "hackathons", "seminar", "seminars",
		"webcast", "webcasts", "user group meeting", "general meeting", "call for papers", "live demo", "opening night", "tickets", "registration is confirmed", "lightning talks",
		"starts in", "road show", "roadshow"},
	[]string{ // notices of forums
		"new reply", "new replies", "new post in", "new posts in", "new topic", "new topics", "your topic", "new messages in", "new answer to"},
	[]string{ // notices of social networks
		"mentioned you", "replied to you", "commented on", "started following", "new follower", "new followers", "sent you a message", "new message from", "new messages from", "tagged you",
		"wants to connect"},
	[]string{ // offers
		"sale", "sales", "discount", "discounts", "deal", "deals", "offer", "offers", "coupon", "coupons", "promotion", "promotions", "promo", "save", "savings", "clearance", "free",
		"bargain", "bargains", "exclusive", "shop", "shopping", "buy", "gift", "gifts", "rates", "earn", "cash", "money", "mortgage", "mortgages", "insurance", "debt", "cheap", "low cost",
		"lowest cost", "low price", "lowest price", "voucher", "win", "rabatt", "starting bid", "% off", "$1", "$$", "€1", "£1", "from 1 eur", "from 1 usd"},
	[]string{ // what nobody says but who sells
		"adv", "1% off", "free shipping", "limited time", "save up to", "save $1", "save 1", "lowest price", "lowest prices", "low price", "low prices", "lowest rate", "lowest rates",
		"low rate", "low rates", "special offer", "special offers", "act now", "make money", "credit card debt", "life insurance", "mortgage rate", "mortgage rates", "free trial", "$$$"},
	[]string{ // publications
		"newsletter", "digest", "bulletin", "roundup", "round-up", "weekly", "daily", "headlines", "news", "issue 1", "vol 1", "e-zine", "ezine", "briefing", "advisory", "week in review"},
)
