package mailimport

import (
	"strings"
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
	f("dmarc and spf fail", evidence{authentication: "mx; spf=fail smtp.mailfrom=x; dmarc=fail"}, 60)
	f("all fail, and the domain asks to refuse", evidence{authentication: "mx; spf=fail; dkim=fail; dmarc=fail (p=REJECT sp=NONE dis=NONE) header.from=x"}, 80)
	f("all fail, and the domain only watches", evidence{authentication: "mx; spf=fail; dkim=fail; dmarc=fail (p=none)"}, 40)
	f("spf and dkim fail, and nothing is said of dmarc", evidence{authentication: "mx; spf=fail; dkim=fail"}, 40)
	f("spf fails where a friend forwards, and dmarc passes", evidence{authentication: "mx; spf=fail; dkim=pass; dmarc=pass"}, 0)
	f("dmarc fails on a mailing list", evidence{authentication: "mx; dkim=fail; dmarc=fail (p=REJECT)", list: true}, 20)
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
	f("a link to an address on a mailing list", evidence{text: "see http://203.0.113.7/", list: true}, 15)
	f("a picture from an address", evidence{page: `<img src="http://203.0.113.7/x.gif">`}, 30)
	f("a link with an address in its query", evidence{text: "see https://www.bank.example/?to=jo@home.example and https://x.example#a@b"}, none)

	f("a random sender", evidence{sender: "vy4tyht6c8986@x.example"}, 20)
	f("a random sender on a mailing list", evidence{sender: "vy4tyht6c8986@x.example", list: true}, 20)
	f("a sender with a birthday", evidence{sender: "jo010174@x.example"}, none)
	f("a sender that is a program", evidence{sender: "bounce-2491k7-x3@x.example"}, none)
	f("bulk mail from a free mailbox", evidence{sender: "jo@yahoo.com", text: "to be removed from this list, write"}, 30)
	f("a person with a free mailbox", evidence{sender: "jo@yahoo.com", text: "Are you hungry?"}, none)
	f("replies go to a free mailbox", evidence{sender: "jo@firm.example", replyTo: "boss@yahoo.com"}, 10)
	f("replies go to the same provider", evidence{sender: "jo@yahoo.com", replyTo: "jo.b@yahoo.com"}, none)
	f("bulk mail from a free mailbox on a mailing list", evidence{sender: "jo@yahoo.com", text: "to be removed from this list, write", list: true}, 15)
	f("a numbered name at a free mailbox", evidence{sender: "jo_meyer1987@gmail.com"}, 10)
	f("a numbered name elsewhere", evidence{sender: "jo_meyer1987@firm.example"}, none)
	f("past the provider's servers", evidence{sender: "jo@yahoo.com", received: []string{"from yahoo.com (unknown [203.0.113.7]) by mx.home.example"}}, 25)
	f("past the provider's servers, by the names of its time", evidence{sender: "jo@hotmail.com", received: []string{"from unknown (HELO mail.hotmail.com) (203.0.113.7) by mx.home.example", "from dsl.isp.example (dsl.isp.example [203.0.113.8])"}}, 25)
	f("past the provider's servers, and signed", evidence{sender: "jo@yahoo.com", authentication: "mx; dkim=pass", received: []string{"from relay.example (relay.example [203.0.113.7])"}}, 0)
	f("past the provider's servers on a mailing list", evidence{sender: "jo@yahoo.com", list: true, received: []string{"from relay.example (relay.example [203.0.113.7])"}}, none)
	f("from the provider's server", evidence{sender: "jo@gmail.com", received: []string{"from mail-lf1-f50.google.com (mail-lf1-f50.google.com. [209.85.167.50])\n by mx.home.example"}}, none)
	f("from the provider's server, whose name was not looked up", evidence{sender: "jo@hotmail.com", received: []string{"from law2-f7.hotmail.com ([216.32.181.7]) by mx.home.example"}}, none)
	f("from the provider's server by a name that was looked up", evidence{sender: "jo@yahoo.co.uk", received: []string{"from web12.mail.yahoo.com (HELO x) (216.136.174.1)"}}, none)
	f("from a smaller provider", evidence{sender: "jo@posteo.de", received: []string{"from relay.example (relay.example [203.0.113.7])"}}, none)
	f("without a way", evidence{sender: "jo@yahoo.com", received: []string{"by 2002:a05:6512:3d89 with SMTP id k9"}}, none)
	f("recipients in the order of the alphabet", evidence{recipients: to("jamey@x.example", "jamie@y.example", "jamil@z.example", "jamison@x.example")}, 30)
	f("recipients at random", evidence{recipients: to("jamey@x.example", "otto@y.example", "ulla@z.example", "jamison@x.example")}, none)
	f("undisclosed recipients", evidence{to: "Undisclosed-Recipients:;"}, 10)
	f("a declared advertisement", evidence{subject: "ADV: Holidays"}, 40)
	f("advice", evidence{subject: "Advice on Advent"}, none)
	f("a subject in capitals", evidence{subject: "GET IT NOW"}, 20)
	f("a name in capitals", evidence{subject: "NASA"}, none)
	f("a text in capitals", evidence{text: strings.Repeat("WE SELL ALL THAT YOU WANT ", 11)}, 15)
	f("rows of exclamation marks", evidence{subject: "Hi!!"}, 10)
	f("needless base64", evidence{encoded: true}, 20)

	f("a subject with a random end", evidence{subject: "Lowest rates dfvhtk"}, 30)
	f("a subject with a random number", evidence{subject: "Do you need money? 22956"}, 30)
	f("a subject with a random code", evidence{subject: "Get out 4179uKlj5-057SXua1524"}, 30)

	f("a share of millions", evidence{text: "Dear Sir, I seek your assistance to transfer this fund in strict confidence. The sum of 20 million dollars was deposited."}, 85)
	f("pressure to enter a password", evidence{text: "Unusual activity! Your account will be closed within 24 hours. Verify your identity."}, 60)
	f("gift cards for the boss", evidence{text: "Buy five gift cards and send me the codes."}, 55)
	f("another account for an invoice", evidence{text: "Please use our new bank details."}, 40)
	f("promises of wealth", evidence{text: "Make money and work from home. Financial freedom on autopilot!"}, 60)
	f("quack medicine", evidence{text: "Lose weight, a miracle"}, 40)
	f("a disclaimer", evidence{text: "This is NOT SPAM."}, 25)
	f("how spam explains itself", evidence{text: "You have opted in to receive our mailings. For removal, click here."}, 45)
	f("questions for an address", evidence{text: "Fill out the form: name, phone, city, state, best time to call"}, 30)
	f("praise", evidence{text: "Amazing profits, guaranteed success, no obligation. Act now!"}, 35)
	f("what sells alone", evidence{text: "Make money, work from home, lose weight, no prescription, this is not spam, mortgage, casino. Amazing profits, guaranteed success, no obligation."}, 60)
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
	const vouched = "mx; spf=pass; dkim=pass; dmarc=pass"
	f("letter about an estate", evidence{authentication: vouched, text: "The estate of your late father, deceased. As next of kin you are a beneficiary of the inheritance. The sum was deposited. Strictly confidential."})
	f("receipt of a money transfer", evidence{authentication: vouched, text: "Western Union: your money transfer. Processing fee 2.90."})
	f("warning of an exchange", evidence{authentication: vouched, text: "Unusual activity. Your bitcoin, BTC, wallet below. Verify your device within 24 hours."})
	f("customs", evidence{authentication: vouched, text: "Pay the customs fee within 24 hours and confirm your details. There is a processing fee."})
	f("supplier with another bank", evidence{authentication: vouched, text: "Please use our new bank account: here are our new bank details. No processing fee."})
	f("forwarded by an alumni club", evidence{authentication: "mx; spf=fail; dkim=fail; dmarc=fail (p=none)", sender: "jo@x.example", text: "See you on Friday."})
	f("sale of a shop", evidence{sender: "hello@shop.example", subject: "Our biggest sale: save up to 70%!", text: "Limited time, special offer. Free shipping, satisfaction guaranteed, money back. Buy now! Click here to unsubscribe."})
	f("bank's letter about credit", evidence{sender: "service@bank.example", text: "Your credit card: earn cash. No cost, no obligation. Your income and the risk. Call now, toll free."})
	f("friend with a number and a joke", evidence{sender: "jo_meyer1987@gmail.com", subject: "PARTY ON FRIDAY", text: "Bring cake!!!", received: []string{"from mail-lf1-f50.google.com (mail-lf1-f50.google.com. [209.85.167.50])"}})
	f("reminder sent to undisclosed recipients", evidence{to: "undisclosed-recipients:;", sender: "club@gmail.com", text: "To be removed from this list, write to me."})
	f("long subject", evidence{subject: strings.Repeat("next of kin ", 100_000)})
	f("long words", evidence{subject: "Unser Herbstspaziergang der Länge nach"})
}

func to(addresses ...string) (list []events.Address) {
	for _, address := range addresses {
		list = append(list, events.Address{Address: address})
	}
	return list
}

func files(names ...string) (list []events.Attachment) {
	for _, name := range names {
		list = append(list, events.Attachment{Name: name})
	}
	return list
}

// TestRiskOfWholeMessages: what the score follows is found in the message.
func TestRiskOfWholeMessages(t *testing.T) {
	f := func(name, message string, want int) {
		t.Run(name, func(t *testing.T) {
			got := 0
			if score := parse(t, message).RiskScore; score != nil {
				got = *score
			}
			if got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
	const head = "From: jo@x.example\nSubject: Lunch\n"
	const encoded = "Content-Transfer-Encoding: base64\n\nQXJlIHlvdSBodW5ncnk/\n"
	f("ASCII in base64", head+"Content-Type: text/plain; charset=iso-8859-1\n"+encoded, 20)
	f("ASCII in base64 in an alternative", head+"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n"+encoded+"--b--\n", 20)
	f("UTF-8 in base64", head+"Content-Type: text/plain; charset=UTF-8\n"+encoded, 0)
	f("a file in base64", head+"Content-Type: application/pdf; name=a.pdf\n"+encoded, 0)
	f("a picture from an address", head+"Content-Type: text/html\n\n<img src=\"http://203.0.113.7/x.gif\">Hungry?\n", 30)
	f("recipients out of a list", head+"To: jamey@x.example, jamie@y.example\nCc: jamil@z.example, jamison@x.example\n\nHungry?\n", 30)
	f("undisclosed recipients", head+"To: undisclosed-recipients:;\n\nHungry?\n", 10)
	f("past the provider's servers", "From: jo@yahoo.com\nReceived: from relay.example (relay.example [203.0.113.7])\n\tby mx.home.example; Thu, 1 Oct 2026 10:00:00 +0000\nSubject: Lunch\n\nHungry?\n", 25)
	f("of a list without a List-Id", "From: jo@yahoo.com\nList-Post: <mailto:dev@lists.example>\nReceived: from relay.example (relay.example [203.0.113.7])\n\tby mx.home.example; Thu, 1 Oct 2026 10:00:00 +0000\nSubject: Lunch\n\nHungry?\n", 0)
}
