package mailimport

import (
	"testing"

	"github.com/applylens/applylens/events"
)

func TestRiskScore(t *testing.T) {
	f := func(name string, e evidence, want int) {
		t.Run(name, func(t *testing.T) {
			got := -1
			if score := e.riskScore(); score != nil {
				got = *score
			}
			if got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
	const none = -1
	f("no evidence", evidence{attachments: files("a.pdf"), sender: "jo@x.example", subject: "Lunch?", text: "Are you hungry?"}, none)
	f("all pass", evidence{authentication: "mx; spf=pass; dkim=pass; dmarc=pass"}, 0)
	f("dmarc and spf fail", evidence{authentication: "mx; spf=fail smtp.mailfrom=x; dmarc=fail"}, 80)
	f("all fail", evidence{authentication: "mx; spf=fail; dkim=fail; dmarc=fail (p=REJECT)"}, 100)
	f("dmarc fails on a mailing list", evidence{authentication: "mx; dkim=fail; dmarc=fail", list: true}, 40)
	f("one of two signatures is valid", evidence{authentication: "mx; dkim=fail; dkim=pass"}, 0)
	f("softfail", evidence{authentication: "mx; SPF=SoftFail"}, 10)
	f("an executable attachment", evidence{attachments: files("a.pdf", "Invoice.PDF.exe ")}, 50)
	f("spam filter", evidence{spamStatus: "Yes, hits=12", authentication: "mx; spf=pass"}, 85)
	f("spam flag", evidence{spamFlag: "YES"}, 85)
	f("spam filter says no", evidence{spamStatus: "No, hits=1"}, none)
	f("spam folder", evidence{spamFolder: true}, 90)

	f("a link that shows another domain", evidence{links: []link{{"www.bank.example", "https://evil.example/x"}}}, 30)
	f("a link that shows its domain", evidence{links: []link{{"https://www.bank.example/a", "https://login.bank.example/b"}}}, none)
	f("a link that shows words", evidence{links: []link{{"Our offers", "https://shop.example"}}}, none)
	f("a link to an address", evidence{links: []link{{"here", "http://203.0.113.7/x"}}}, 30)
	f("a link to an address in plain text", evidence{text: "see http://203.0.113.7:81/x"}, 30)
	f("a link with a user name", evidence{text: "see http://www.bank.example@evil.example/"}, 30)
	f("an invalid link", evidence{links: []link{{"x", "http://[::1"}, {"y", "mailto:a@b"}}}, none)

	f("a link to a private address", evidence{text: "see http://192.168.0.1/"}, none)
	f("a link to an address on a mailing list", evidence{text: "see http://203.0.113.7/", list: true}, none)

	f("a random sender", evidence{sender: "vy4tyht6c8986@x.example"}, 20)
	f("a random sender on a mailing list", evidence{sender: "vy4tyht6c8986@x.example", list: true}, none)
	f("a sender with a birthday", evidence{sender: "jo010174@x.example"}, none)
	f("a sender that is a program", evidence{sender: "bounce-2491k7-x3@x.example"}, none)
	f("bulk mail from a free mailbox", evidence{sender: "jo@yahoo.com", text: "to be removed from this list, write"}, 30)
	f("a person with a free mailbox", evidence{sender: "jo@yahoo.com", text: "Are you hungry?"}, none)
	f("replies go to a free mailbox", evidence{sender: "jo@firm.example", replyTo: "boss@yahoo.com"}, 10)
	f("replies go to the same provider", evidence{sender: "jo@yahoo.com", replyTo: "jo.b@yahoo.com"}, none)
	f("a subject with a random end", evidence{subject: "Lowest rates dfvhtk"}, 30)
	f("a subject with a random number", evidence{subject: "Do you need money? 22956"}, 30)
	f("a subject with a random code", evidence{subject: "Get out 4179uKlj5-057SXua1524"}, 30)

	f("a share of millions", evidence{text: "Dear Sir, I seek your assistance to transfer this fund in strict confidence. The sum of 20 million dollars was deposited."}, 85)
	f("pressure to enter a password", evidence{text: "Unusual activity! Your account will be closed within 24 hours. Verify your identity."}, 60)
	f("gift cards for the boss", evidence{text: "Buy five gift cards and send me the codes."}, 55)
	f("another account for an invoice", evidence{text: "Please use our new bank details."}, 40)
	f("promises of wealth", evidence{text: "Make money and work from home. Financial freedom on autopilot!"}, 80)
	f("quack medicine", evidence{text: "Lose weight, a miracle"}, 40)
	f("a disclaimer", evidence{text: "This is NOT SPAM."}, 40)
	f("goods of spam", evidence{text: "Refinance your mortgage"}, 25)
	f("the spam folder and words", evidence{spamFolder: true, text: "Your account will be closed within 24 hours."}, 90)
}

// TestRiskOfHonestMail lists typical honest mail that must not become risky.
func TestRiskOfHonestMail(t *testing.T) {
	const least = 50
	f := func(name string, e evidence) {
		t.Run(name, func(t *testing.T) {
			if score := e.riskScore(); score != nil && *score >= least {
				t.Errorf("score %d", *score)
			}
		})
	}
	f("registration", evidence{sender: "no-reply@x.example", subject: "Please verify your email", text: "Click here to verify your address. The link is valid within 24 hours."})
	f("company footer", evidence{sender: "jo@x.example", subject: "Urgent: offer", text: "This is confidential. If you have received this email in error, please delete it."})
	f("receipt with its number", evidence{sender: "orders@x.example", subject: "Order confirmation 20260312", text: "You paid with your wallet."})
	f("newsletter with a tracker", evidence{sender: "news@x.example", text: "Win a gift card! Unsubscribe", links: []link{{"www.x.example", "https://click.tracker.example/x"}}})
	f("letter from a bank", evidence{sender: "service@bank.example", text: "Your mortgage: new rates. No risk for you. Call us about life insurance."})
	f("question from a developer", evidence{sender: "dev@x.example", subject: "How to parse XHTML", text: "See http://127.0.0.1:8080/"})
	f("club at a free mailbox", evidence{sender: "club@gmail.com", subject: "Meeting", text: "To be removed from this list, write to me."})
	f("contact form", evidence{sender: "form@x.example", replyTo: "jo1974x2@gmail.com", text: "I would like to know the price."})
	f("long words", evidence{subject: "Unser Herbstspaziergang der Länge nach"})
}

func files(names ...string) (list []events.Attachment) {
	for _, name := range names {
		list = append(list, events.Attachment{Name: name})
	}
	return list
}
