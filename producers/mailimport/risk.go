package mailimport

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/applylens/applylens/events"
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
	sender         string // addresses
	replyTo        string
	subject        string
	text           string
	links          []link
}

var (
	verdict = regexp.MustCompile(`(?i)\b(spf|dkim|dmarc)\s*=\s*([a-z]+)`)

	// executable are the extensions of attachments that run when they are opened.
	executable = map[string]bool{".exe": true, ".scr": true, ".pif": true, ".bat": true, ".com": true, ".cmd": true,
		".vbs": true, ".js": true, ".jse": true, ".wsf": true, ".hta": true, ".lnk": true, ".msi": true, ".jar": true}
)

// riskScore returns 0..100, or nil without any evidence. It is the sum of the points for authentication, attachments, links,
// sender and words, or the verdict of a spam filter or the owner's provider, whichever is greater.
func (e evidence) riskScore() *int {
	score, known := e.authenticationRisk()
	words := riskyWords.Count(e.subject + "\n" + e.text[:min(len(e.text), maxRead)])
	score += e.attachmentRisk() + e.linkRisk() + e.senderRisk(words) + wordRisk(words)
	if scrambledSubject.MatchString(e.subject) {
		score += 30
	}
	if strings.EqualFold(strings.TrimSpace(e.spamFlag), "yes") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(e.spamStatus)), "yes") {
		score = max(score, 85)
	}
	if e.spamFolder {
		score = max(score, 90)
	}
	if score == 0 && !known {
		return nil
	}
	score = min(score, 100)
	return &score
}

// authenticationRisk scores 60 for failed DMARC (20 for mailing-list mail), 20 for failed SPF or DKIM, 10 for a soft failure.
func (e evidence) authenticationRisk() (score int, known bool) {
	results := map[string]string{}
	for _, m := range verdict.FindAllStringSubmatch(e.authentication, -1) {
		method, result := strings.ToLower(m[1]), strings.ToLower(m[2])
		if results[method] != "pass" { // one valid signature is enough
			results[method] = result
		}
	}
	for method, result := range results {
		switch {
		case result == "softfail":
			score += 10
		case result == "fail" && method == "dmarc" && !e.list:
			score += 60
		case result == "fail":
			score += 20
		}
	}
	return score, len(results) > 0
}

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
// public IP address or hides its host behind a user name. Mailing-list mail is exempt: people write about such links.
func (e evidence) linkRisk() int {
	if e.list {
		return 0
	}
	for _, l := range e.links {
		target, err := url.Parse(l.target)
		if err != nil || target.Host == "" {
			continue
		}
		shown := shownHost.FindStringSubmatch(strings.ToLower(l.text))
		if shown != nil && domainOf(shown[1]) != domainOf(target.Hostname()) || target.User != nil || isPublicNumber(target.Hostname()) {
			return 30
		}
	}
	if found := oddHost.FindStringSubmatch(e.text); found != nil && (found[1] == "" || isPublicNumber(found[1])) {
		return 30
	}
	return 0
}

// oddHost matches a link in plain text to an IP address, or with a user name.
var oddHost = regexp.MustCompile(`https?://(?:(\d{1,3}(?:\.\d{1,3}){3})\b|[^\s/@]{1,100}@)`)

func isPublicNumber(host string) bool {
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

// senderRisk scores 20 for an address of random letters and digits, 30 for bulk mail from a provider of free mailboxes, and
// 10 if replies go to such a provider although the mail comes from elsewhere. Mailing-list mail is exempt.
func (e evidence) senderRisk(words []int) int {
	if e.list {
		return 0
	}
	local, host, _ := strings.Cut(strings.ToLower(e.sender), "@")
	_, replyHost, _ := strings.Cut(strings.ToLower(e.replyTo), "@")
	risk := 0
	if scrambledLocal.MatchString(local) {
		risk += 20
	}
	if freeMail[host] && words[ofLeaving] > 0 {
		risk += 30
	}
	if freeMail[replyHost] && replyHost != host {
		risk += 10
	}
	return risk
}

// scrambledLocal matches a local part that a person would hardly choose. Local parts with separators do not match: programs
// use them to identify bounces.
var scrambledLocal = regexp.MustCompile(`^(?:[a-z]+\d+[a-z]+\d[a-z0-9]*|[a-z]*\d{3,}[a-z]+\d[a-z0-9]*|[bcdfghjklmnpqrstvwxz]{6,})$`)

// freeMail are providers of free mailboxes, which companies do not use.
var freeMail = func() map[string]bool {
	known := map[string]bool{}
	for _, host := range strings.Fields("aol.com angelfire.com bigfoot.com btamail.net.cn caramail.com eudoramail.com excite.com flashmail.com " +
		"gmail.com gmx.de gmx.net hotmail.com hushmail.com lycos.com mail.com mail.ru msn.com netscape.net outlook.com rediffmail.com usa.com web.de " +
		"yahoo.ca yahoo.co.uk yahoo.com yahoo.de yandex.ru 126.com 163.com") {
		known[host] = true
	}
	return known
}()

// maxRead is how many bytes of a text are searched for words.
const maxRead = 16 << 10

// wordRisk adds the points of the words.
func wordRisk(words []int) int {
	risk := 0
	for _, g := range grounds {
		if words[g.list] >= g.least {
			risk += g.risk
		}
	}
	return risk
}

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
	{ofDisclaimers, 1, 40}, {ofDisclaimers, 2, 20},
	{ofBait, 1, 10}, {ofBait, 2, 15},
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
	[]string{ // how to unsubscribe: bulk mail
		"unsubscribe", "opt out", "be removed", "removed from", "remove me", "remove your", "off our list", "future mailings", "click here", "the word remove", "with remove"},
)
