package mailimport

import (
	"maps"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/lexicon"
)

// evidence is everything in a message that indicates its trustworthiness.
type evidence struct {
	authentication string // the first Authentication-Results, which the owner's own server wrote
	spamFlag       string // X-Spam-Flag
	spamStatus     string // X-Spam-Status
	list           bool   // the message came from a mailing list, which breaks signatures
	spamFolder     bool   // the owner's provider put it in the spam folder
	attachments    []events.Attachment
	received       []string // the headers Received, the last server's first
	to             string   // the header
	recipients     []events.Address
	sender         string // addresses
	replyTo        string
	encoded        bool // some of the text was in base64 that did not need to
	subject        string
	text           string
	page           string // the first HTML
	links          []link
}

var (
	verdict = regexp.MustCompile(`(?i)\b(spf|dkim|dmarc)\s*=\s*([a-z]+)`)

	// executable are the extensions of attachments that run when they are opened.
	executable = map[string]bool{".exe": true, ".scr": true, ".pif": true, ".bat": true, ".com": true, ".cmd": true,
		".vbs": true, ".js": true, ".jse": true, ".wsf": true, ".hta": true, ".lnk": true, ".msi": true, ".jar": true}
)

// riskScore returns 0..100, or nil without any evidence. It is the sum of the points for authentication, attachments, links,
// sender, addressing, form and words, or the verdict of a spam filter or the owner's provider, whichever is greater.
func (e evidence) riskScore() *int {
	results := e.results()
	e.subject = e.subject[:min(len(e.subject), maxSubject)]
	words := riskyWords.Count(e.subject + "\n" + e.text[:min(len(e.text), maxRead)])
	score := e.authenticationRisk(results) + e.attachmentRisk() + e.linkRisk() + e.senderRisk(results, words) + e.addressingRisk() + e.formRisk() +
		wordRisk(words, results["dmarc"] == "pass")
	if strings.EqualFold(strings.TrimSpace(e.spamFlag), "yes") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(e.spamStatus)), "yes") {
		score = max(score, 85)
	}
	if e.spamFolder {
		score = max(score, 90)
	}
	if score == 0 && len(results) == 0 {
		return nil
	}
	score = min(score, 100)
	return &score
}

// results returns the result of each method of authentication, both in lower case.
func (e evidence) results() map[string]string {
	results := map[string]string{}
	for _, m := range verdict.FindAllStringSubmatch(e.authentication, -1) {
		method, result := strings.ToLower(m[1]), strings.ToLower(m[2])
		if results[method] != "pass" { // one valid signature is enough
			results[method] = result
		}
	}
	return results
}

// authenticationRisk scores 60 for failed DMARC, 80 if the domain asks to refuse such mail, and 40 if it only watches; for mailing-list
// mail 20. DMARC fails by SPF and DKIM, which score 20 each where nothing is said of DMARC; a soft failure scores 10.
func (e evidence) authenticationRisk(results map[string]string) (risk int) {
	if results["dmarc"] == "fail" {
		if e.list {
			return 20
		}
		switch asked := dmarcPolicy.FindStringSubmatch(e.authentication); {
		case asked == nil:
			return 60
		case strings.EqualFold(asked[1], "none"):
			return 40
		}
		return 80
	}
	for _, result := range results {
		switch {
		case result == "softfail":
			risk += 10
		case result == "fail" && results["dmarc"] == "":
			risk += 20
		}
	}
	return risk
}

// dmarcPolicy matches what a domain asks to be done with mail that fails.
var dmarcPolicy = regexp.MustCompile(`(?i)\bdmarc\s*=\s*fail\b[^;]*?\bp(?:olicy\.dmarc)?\s*=\s*(none|quarantine|reject)\b`)

// attachmentRisk scores 50 for an executable.
func (e evidence) attachmentRisk() int {
	for _, file := range e.attachments {
		if executable[strings.ToLower(path.Ext(strings.TrimSpace(file.Name)))] {
			return 50
		}
	}
	return 0
}

// shownHost matches a link text that is a host name.
var shownHost = regexp.MustCompile(`^(?:https?://)?((?:[a-z0-9-]+\.)+[a-z]{2,})(?:/\S*)?$`)

// linkRisk scores 30 if a link displays one domain and leads to another (click tracking does that too), or if one leads to a
// public IP address or hides its host behind a user name. Of mailing-list mail, where people write about such links, only the
// latter counts, by 15.
func (e evidence) linkRisk() int {
	risk := 30
	if e.list {
		risk = 15
	}
	for _, l := range e.links {
		target, err := url.Parse(l.target)
		if err != nil || target.Host == "" {
			continue
		}
		shown := shownHost.FindStringSubmatch(strings.ToLower(l.text))
		if !e.list && shown != nil && domainOf(shown[1]) != domainOf(target.Hostname()) || target.User != nil || isPublicNumber(target.Hostname()) {
			return risk
		}
	}
	if hasOddHost(e.text) || hasOddHost(e.page) {
		return risk
	}
	return 0
}

// hasOddHost tells whether a text has a link to a public IP address, or with a user name.
func hasOddHost(text string) bool {
	for {
		before, rest, found := strings.Cut(text, "://")
		if !found {
			return false
		}
		text = rest
		if scheme := strings.ToLower(before[max(0, len(before)-len("https")):]); !strings.HasSuffix(scheme, "http") && scheme != "https" {
			continue
		}
		authority := rest[:min(len(rest), maxAuthority)]
		if end := strings.IndexAny(authority, "/?#\"'<> \t\r\n"); end >= 0 {
			authority = authority[:end]
		}
		host, _, _ := strings.Cut(authority, ":")
		if strings.Contains(authority, "@") || isPublicNumber(host) {
			return true
		}
	}
}

// maxAuthority is how many bytes of a link are searched for its host.
const maxAuthority = 150

func isPublicNumber(host string) bool {
	if host == "" || host[0] < '0' || host[0] > '9' { // most hosts: an error costs more
		return false
	}
	address, err := netip.ParseAddr(host)
	return err == nil && !address.IsPrivate() && !address.IsLoopback()
}

func domainOf(host string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(host))
	if err != nil {
		return host
	}
	return domain
}

// senderRisk scores 20 for an address of random letters and digits; of a sender at a provider of mailboxes, 25 for a way past the
// provider's servers, 30 for bulk mail and 10 for a numbered name; 10 if replies go to such a provider although the mail comes
// from elsewhere. Mailing lists write mail anew, so that of theirs only the address counts, and bulk mail half.
func (e evidence) senderRisk(results map[string]string, words []int) (risk int) {
	local, host, _ := strings.Cut(strings.ToLower(e.sender), "@")
	_, replyHost, _ := strings.Cut(strings.ToLower(e.replyTo), "@")
	free := freeMail(host)
	switch {
	case scrambledLocal.MatchString(local):
		risk += 20
	case free && numberedLocal.MatchString(local):
		risk += 10
	}
	switch {
	case free && words[ofLeaving] > 0 && e.list:
		risk += 15
	case free && words[ofLeaving] > 0:
		risk += 30
	}
	if !e.list && passesBy(host, e.received) && !slices.Contains(slices.Collect(maps.Values(results)), "pass") {
		risk += 25
	}
	if !e.list && replyHost != host && freeMail(replyHost) {
		risk += 10
	}
	return risk
}

// addressingRisk scores 30 for recipients out of an alphabetical list, and 10 for none.
func (e evidence) addressingRisk() int {
	if strings.Contains(strings.ToLower(e.to), "undisclosed") {
		return 10
	}
	if len(e.recipients) < fewRecipients {
		return 0
	}
	starts := map[string]bool{}
	for _, recipient := range e.recipients {
		local, _, _ := strings.Cut(strings.ToLower(recipient.Address), "@")
		starts[local[:min(len(local), 3)]] = true
	}
	if len(starts) <= 2 || len(e.recipients) >= 2*fewRecipients && 2*len(starts) < len(e.recipients) {
		return 30
	}
	return 0
}

// fewRecipients is the number below which similar names are no list.
const fewRecipients = 4

// formRisk scores how the message is written: 40 for a subject that declares advertising, as some laws demand, 30 for one that
// ends at random, 20 for one in capitals, 15 for a text in capitals, 10 for rows of exclamation marks, 20 for needless base64.
func (e evidence) formRisk() (risk int) {
	if declared.MatchString(e.subject) {
		risk += 40
	}
	if scrambledSubject.MatchString(e.subject) {
		risk += 30
	}
	if capitals, small := letters(e.subject); capitals >= 8 && small == 0 && strings.Contains(e.subject, " ") {
		risk += 20
	}
	if capitals, small := letters(e.text[:min(len(e.text), maxCounted)]); capitals+small > 200 && 10*capitals > 3*(capitals+small) {
		risk += 15
	}
	if strings.Contains(e.subject, "!!") || strings.Contains(e.text, "!!!") {
		risk += 10
	}
	if e.encoded {
		risk += 20
	}
	return risk
}

// maxCounted is how many bytes of a text are searched for capitals.
const maxCounted = 8 << 10

// letters counts the ASCII letters of a text.
func letters(text string) (capitals, small int) {
	for i := range len(text) {
		switch b := text[i]; {
		case b >= 'A' && b <= 'Z':
			capitals++
		case b >= 'a' && b <= 'z':
			small++
		}
	}
	return capitals, small
}

// declared matches a subject with the label of advertising.
var declared = regexp.MustCompile(`^\W*(?i:ADV)\b|^\W*광고`)

// scrambledLocal matches a local part that a person would hardly choose. Local parts with separators do not match: programs
// use them to identify bounces.
var scrambledLocal = regexp.MustCompile(`^(?:[a-z]+\d+[a-z]+\d[a-z0-9]*|[a-z]*\d{3,}[a-z]+\d[a-z0-9]*|[bcdfghjklmnpqrstvwxz]{6,})$`)

// numberedLocal matches a local part that ends in a number, as those have whose names were taken.
var numberedLocal = regexp.MustCompile(`\D\d{3,}$`)

// freeMail tells whether anybody can have a mailbox at a host.
func freeMail(host string) bool {
	return host != "" && (domain.Open(domainOf(host)) || formerProviders[host])
}

// formerProviders are those of the time of the oldest archives.
var formerProviders = map[string]bool{"angelfire.com": true, "bigfoot.com": true, "btamail.net.cn": true, "caramail.com": true, "eudoramail.com": true,
	"excite.com": true, "flashmail.com": true}

// providerServers has what the names of the servers contain from which the largest providers send, by the first label of
// their domains.
var providerServers = map[string][]string{
	"aol": {"aol", "yahoo"}, "excite": {"excite"}, "gmail": {"google"}, "googlemail": {"google"}, "gmx": {"gmx"}, "hotmail": microsoft, "icloud": {"icloud", "me.com", "apple"},
	"live": microsoft, "lycos": {"lycos"}, "msn": microsoft, "netscape": {"netscape", "aol"}, "outlook": microsoft, "web": {"web.de"}, "yahoo": {"yahoo"}, "ymail": {"yahoo"},
	"btamail": {"btamail"}, "eudoramail": {"eudoramail", "lycos"}, "flashmail": {"flashmail"}, "caramail": {"caramail", "lycos"},
}

var microsoft = []string{"hotmail", "outlook", "msn.", "microsoft"}

// passesBy tells whether a message with a sender at one of the largest providers came on a way that none of its servers is on. It
// believes the names that servers looked up, and those by which clients called themselves only where there are no others.
func passesBy(host string, received []string) bool {
	if !freeMail(host) {
		return false
	}
	label, _, _ := strings.Cut(domainOf(host), ".")
	servers, known := providerServers[label]
	hops := 0
	for _, header := range received {
		hop := hopFrom.FindStringSubmatch(header)
		if hop == nil {
			continue
		}
		hops++
		name := strings.ToLower(calledItself.ReplaceAllString(hop[2], ""))
		if !hostName.MatchString(name) && !strings.Contains(name, "unknown") {
			name = strings.ToLower(hop[1])
		}
		if slices.ContainsFunc(servers, func(server string) bool { return strings.Contains(name, server) }) {
			return false
		}
	}
	return known && hops > 0
}

var (
	// hopFrom matches where a server had a message from: a name, and what it wrote in brackets.
	hopFrom      = regexp.MustCompile(`(?i)^\s*from\s+(\S+)\s*((?:\([^)]*\)\s*)*)`)
	calledItself = regexp.MustCompile(`(?i)\bhelo[ =]\S+`)
	hostName     = regexp.MustCompile(`[a-z][a-z0-9-]*\.[a-z]`)
)

// maxRead is how many bytes of a text are searched for words, and maxSubject how many of a subject.
const (
	maxRead    = 16 << 10
	maxSubject = 1000
)

// wordRisk adds the points of the words. What sells is not enough to make a mail risky, however much of it there is: honest
// advertising is long. Nor are words at all if the sender's domain vouches for the mail: banks and courts warn in the words of fraud.
func wordRisk(words []int, vouched bool) int {
	fraud, pitch := 0, 0
	for _, g := range grounds {
		switch {
		case words[g.list] < g.least:
		case g.list < ofRiches:
			fraud += g.risk
		default:
			pitch += g.risk
		}
	}
	risk := fraud + min(pitch, maxPitch)
	if vouched {
		return min(risk, maxVouched)
	}
	return risk
}

// maxPitch is the most that the words from ofRiches on score, and maxVouched all words of mail that DMARC passes.
const (
	maxPitch   = 60
	maxVouched = 45
)

// scrambledSubject matches a subject that ends in a random number or random letters, which make the copies of a mass mailing
// differ.
var scrambledSubject = regexp.MustCompile(`[?!]+ \d{4,}$|\.{3,}\d{4,}$|\d{3,}[A-Za-z]+\d*-\d+\S*$|\s[bcdfghjklmnpqrstvwxz]{5,}$|\s[a-z]*[bcdfghjklmnpqrstvwxz]{6,}[a-z]*$`)

// ground scores risk if a text contains at least the given number of phrases of a list. A single phrase scores little, since
// honest mail has it too.
type ground struct{ list, least, risk int }

var grounds = []ground{
	{ofMillions, 3, 40}, {ofMillions, 5, 45},
	{ofPressure, 1, 15}, {ofPressure, 2, 25}, {ofPressure, 3, 20},
	{ofDemands, 1, 40}, {ofDemands, 2, 40},
	{ofPayment, 1, 15}, {ofPayment, 2, 20},
	{ofRiches, 1, 15}, {ofRiches, 2, 25}, {ofRiches, 3, 25}, {ofRiches, 4, 15},
	{ofQuackery, 1, 15}, {ofQuackery, 2, 25},
	{ofDisclaimers, 1, 25}, {ofDisclaimers, 2, 20},
	{ofBait, 1, 10}, {ofBait, 2, 15},
	{ofExcuses, 1, 15}, {ofExcuses, 2, 15}, {ofExcuses, 3, 15},
	{ofQuestions, 1, 15}, {ofQuestions, 2, 15},
	{ofPitches, 3, 10}, {ofPitches, 4, 10}, {ofPitches, 6, 15},
}

// The lists of riskyWords.
const (
	ofMillions = iota
	ofPressure
	ofDemands
	ofPayment
	ofRiches
	ofQuackery
	ofDisclaimers
	ofBait
	ofExcuses
	ofQuestions
	ofPitches
	ofLeaving
)

// riskyWords are the lists of phrases. A number in a phrase matches any number.
var riskyWords = lexicon.New(
	[]string{ // the fraud that promises a share of millions
		"million united states dollars", "million dollars", "million us dollars", "next of kin", "transfer of", "transfer this", "foreign account", "foreign partner", "confidential", "utmost",
		"urgent", "beneficiary", "deposited", "security company", "late father", "late husband", "late head of state", "deceased", "your assistance", "mutual benefit", "huge sum", "the sum of",
		"inheritance", "barrister", "nigeria", "strict confidence", "my late", "risk free", "god bless"},
	[]string{ // pressure to enter a password
		"account has been limited", "account will be closed", "account will be suspended", "has been suspended", "be deactivated", "unusual activity", "verify your", "confirm your details",
		"confirm your account", "validate your", "update your account", "within 24 hours", "expires today"},
	[]string{ // demands that no honest sender makes
		"processing fee", "new bank account", "new bank details", "new account below", "western union", "claim your prize", "you have won", "have recorded you", "send me the codes",
		"wallet below", "bitcoin to the", "pay the fee", "your bank details"},
	[]string{ // irreversible payment
		"gift card", "gift cards", "bitcoin", "btc", "wallet", "customs fee", "money transfer"},
	[]string{ // promises of wealth
		"work from home", "working at home", "at home rep", "at home reps", "home business", "home based business", "make money", "earn $1", "extra income", "financial freedom",
		"financial independence", "mlm", "everybody gets paid", "$$$", "no experience necessary", "no experience needed", "no experience is required", "unlimited income", "investment opportunity", "without risk", "risk free", "no risk",
		"chain letter", "guaranteed returns", "strong buy", "will explode", "skyrocket", "autopilot", "auto-pilot"},
	[]string{ // quack medicine and illegal goods
		"lose weight", "lbs in", "weight loss", "fat burning", "no prescription", "without a prescription", "drug test", "drug tests", "herbal", "miracle", "anti-aging", "hgh",
		"university diploma", "university diplomas", "legal high", "get high"},
	[]string{ // typical disclaimers of spam
		"is not spam", "not spam under", "we do not condone spam", "s 1618", "bill 1618", "h r 3113", "one time mailing",
		"email advertisement in error", "bulk email", "this list will never be used again", "honor all removal requests", "strongly against sending unsolicited"},
	[]string{ // goods typical of spam
		"mortgage", "refinance", "lenders", "life insurance", "term life", "debt consolidation", "less than perfect credit", "out of debt", "toner", "toners", "extended warranty",
		"extended auto warranty", "poker", "casino"},
	[]string{ // why one gets this, and how it ends
		"unsolicited email", "unsolicited emails", "unsolicited e-mail", "our mailings", "further mailings", "future mailings", "special mailings", "affiliate sites", "opted in",
		"opt in list", "approved list", "in compliance", "honor all", "address was obtained", "was obtained from", "for removal", "removal instructions", "removal services",
		"remove in the subject", "with remove in", "the word remove", "removed from our", "off our list", "list opt in", "any shape or form", "this mailing because",
		"apologies if you", "our database", "bulk email list", "to be unsubscribed", "remove me", "do not reply to this"},
	[]string{ // what those ask who sell addresses
		"fill out the form", "fill in the form", "the form below", "phone city", "city state", "best time to call", "contact you within", "home phone", "work phone", "day phone",
		"evening phone", "zip code"},
	[]string{ // how they praise what they sell
		"no obligation", "low price", "retail value", "act now", "order now", "order today", "free shipping", "special offer", "limited time", "satisfaction guaranteed", "guaranteed",
		"call now", "free quote", "free quotes", "lowest rates", "opportunity", "money back", "yours for only", "click here", "go here", "absolutely free", "100% free",
		"completely free", "amazing", "incredible", "success", "profit", "profits", "income", "earn", "cash", "credit card", "wonderful day", "dear friend", "dear sir", "toll free",
		"24 hours a day", "free information", "no cost", "cost you nothing", "buy now", "save up to", "saves you", "lowest price", "best price", "why pay", "risk", "instantly",
		"this is your chance", "once in a lifetime", "you have been selected", "you have been chosen", "as seen on", "increase your", "eliminate", "bad credit"},
	[]string{ // how to unsubscribe: bulk mail
		"unsubscribe", "opt out", "be removed", "removed from", "remove me", "remove your", "off our list", "future mailings", "click here", "the word remove", "with remove"},
)
