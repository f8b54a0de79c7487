package mailbox

import (
	"strings"
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
)

func TestCategory(t *testing.T) {
	f := func(name string, m events.Mail, want string) {
		t.Run(name, func(t *testing.T) {
			if got := Category(&m, domain.OfAddress(m.Sender.Address)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	mail := func(sender, subject string) events.Mail {
		return events.Mail{Sender: events.Address{Address: sender}, Subject: subject}
	}
	bulk := func(sender, subject string) events.Mail {
		m := mail(sender, subject)
		m.Unsubscribe = true
		return m
	}
	list := func(id, subject string) events.Mail {
		m := bulk("someone@home.example", subject)
		m.ListID = id
		return m
	}
	written := func(m events.Mail, text string) events.Mail {
		m.Text = text
		return m
	}
	from := func(m events.Mail, sender string) events.Mail {
		m.Sender.Address = sender
		return m
	}
	posted := func(m events.Mail, to string) events.Mail {
		m.Recipients = []events.Address{{Address: to}}
		return m
	}
	oneClick := func(m events.Mail) events.Mail {
		m.ListUnsubscribePost = "List-Unsubscribe=One-Click"
		return m
	}
	threaded := func(m events.Mail) events.Mail {
		m.InReplyTo = "a@b.example"
		return m
	}
	scored := func(m events.Mail, score int) events.Mail {
		m.RiskScore = &score
		return m
	}
	given := mail("a@b.example", "50% off")
	given.Category = " Finance "
	footer := mail("hello@shop.example", "Things for spring")
	footer.Text = "To unsubscribe, reply."

	f("given by the producer", given, Finance)
	f("applicant tracking system", mail("no-reply@us.greenhouse-mail.io", "Thanks"), Applications)
	f("interview", mail("jo@acme.example", "Interview invitation: Acme"), Applications)
	f("answer about an application", mail("jo@acme.example", "Re: your application"), Applications)
	f("receipt", mail("shop@acme.example", "Your receipt #17"), Finance)
	f("processor", mail("service@mail.paypal.com", "You have news"), Finance)
	f("answer about an invoice", mail("jo@acme.example", "Re: invoice"), Personal)
	f("meetup", list("go-meetup.example", "Go meetup on Thursday"), Event)
	f("tickets", bulk("x@eventbrite.com", "Hello"), Event)
	f("answer about a conference on a list", list("dev.example", "Re: [dev] conference"), Discussion)
	f("social network", bulk("x@facebookmail.com", "Ann has a new offer"), Social)
	f("hard sell", mail("jo@x.example", "Get 50% off today"), Promo)
	f("bulk mail with an offer", bulk("hello@shop.example", "New deals for you"), Promo)
	f("salesforce is no sale", bulk("hello@shop.example", "Salesforce in practice"), Newsletter)
	f("bulk mail", footer, Newsletter)
	f("newsletter", mail("jo@x.example", "The Monday newsletter"), Newsletter)
	f("announcing list", list("announce.example", "Version 2"), Newsletter)
	f("discussion", list("dev.example", "Free software and sales"), Discussion)
	f("person", mail("jo@x.example", "Lunch?"), Personal)
	f("automatic", mail("no-reply@x.example", "Signed in"), Other)
	f("nobody", mail("", "x"), Other)

	f("bounce", written(mail("MAILER-DAEMON@x.example", "Undelivered Mail Returned to Sender"), "unsubscribe"), Other)
	f("absence", mail("jo@x.example", "Automatic reply: Lunch?"), Other)
	f("ticket", mail("jo@x.example", "[Ticket 12] Lunch?"), Other)
	f("item of a feed", mail("rssfeeds@x.example", "Tickets are on sale"), Newsletter)
	f("job board", bulk("alerts@jobs.example", "12 new jobs"), Newsletter)
	f("job board's own sender", bulk("job-alerts@x.example", "Go engineer in Lisbon"), Applications)
	f("recruiter", written(mail("jo@x.example", "Your background"), "I am hiring for a senior position."), Applications)
	f("one word of a job", written(mail("jo@x.example", "Lunch?"), "I saw your profile."), Personal)
	f("job fraud", written(mail("jo@x.example", "Hiring"), "A position with a great opportunity! Earn an income, per month, guaranteed."), Promo)
	f("billing office", bulk("billing@x.example", "March"), Finance)
	f("order with its number", mail("hello@x.example", "Order #4471 is on its way"), Finance)
	f("bill in German", mail("jo@x.example", "Ihre Rechnung 12"), Finance)
	f("balance that is none of money", bulk("hello@x.example", "Work and life in balance"), Newsletter)
	f("low balance", mail("alerts@bank.example", "Low balance alert"), Finance)
	f("calendar", mail("jo@x.example", "Kick-off @ Mon 16 Mar 2026"), Event)
	f("person who mentions a conference", mail("jo@x.example", "conference dinner"), Personal)
	f("newsletter of a list that is not called so", list("weekly.shop.example", "Weekly newsletter #0"), Newsletter)
	f("newsletter by the one click to leave it", oneClick(list("jo.letters.example", "On walking")), Newsletter)
	f("newsletter from a bulk sender of a list", from(list("a1b2c3.list-id.mail.example", "On walking"), "newsletter@shop.example"), Newsletter)
	f("newsletter of a program", from(list("a1b2c3.list-id.mail.example", "On walking"), "no-reply@shop.example"), Newsletter)
	f("newsletter by how it begins", written(list("a1b2c3.list-id.mail.example", "On walking"), "Vol. 3, issue 7. In this issue: boots."), Newsletter)
	f("newsletter of a person, by its preferences", written(mail("jo@x.example", "On walking"), "Manage your preferences or view in browser."), Newsletter)
	f("mail from elsewhere", mail("jane@partner.example", "[EXTERNAL] Lunch on Friday?"), Personal)
	f("invoice from elsewhere", mail("jane@partner.example", "[EXTERNAL] Invoice 2026-113"), Finance)
	f("interview from elsewhere", mail("jane@partner.example", "[External Sender] [Secure] Interview invitation: Backend Engineer"), Applications)
	f("notice of a registrar", mail("no-reply@registrar.example", "[Action Required] Your domain expires"), Other)
	f("newsletter of a service that sends for others", posted(from(list("6789.list.hub.example", "April at the museum"), "anna@museum.example"), "me@home.example"), Newsletter)
	f("offer of a service that sends for others", posted(from(written(list("500008.xt.local", "New in: spring dresses"), "Shop now. 20% off. Free shipping."), "anna@shop.example"), "me@home.example"), Promo)
	f("order of a service that sends for others", posted(from(list("1234.xt.local", "Your order has shipped"), "orders@shop.example"), "me@home.example"), Finance)
	f("invoice of a service that sends for others", posted(from(list("1234.xt.local", "Your invoice"), "billing@acme.example"), "me@home.example"), Finance)
	f("first post to a list", posted(list("walkers.lists.example", "On walking"), "walkers@lists.example"), Discussion)
	f("post to a list with one click to leave it", oneClick(posted(list("walkers.groups.example", "Weekly news?"), "walkers@groups.example")), Discussion)
	f("post to a list that a program sends", from(posted(oneClick(list("quarry.index.example", "[quarry/index] Crash (#482)")), "quarry@index.example"), "notifications@index.example"), Discussion)
	f("answer on a list with one click to leave it", oneClick(list("walkers.groups.example", "Re: On walking")), Discussion)
	f("answer in a thread of a list", threaded(oneClick(list("walkers.groups.example", "On walking"))), Discussion)
	f("newsletter that pretends to be an answer", from(list("weekly.shop.example", "Re: your boots"), "news@shop.example"), Newsletter)
	f("advisory with the footer of a list", written(mail("cert-advisory@cert.example", "Overflow in x"), "majordomo@cert.example"), Newsletter)
	f("answer in a forum", mail("no-reply@forum.example", `New reply to your topic "Ropes"`), Discussion)
	f("notice of a network", mail("notifications@tide.example", "Jo mentioned you"), Social)
	f("list's tag", mail("jo@x.example", "Re: [dev] crash"), Discussion)
	f("footer of a list", written(mail("jo@x.example", "crash"), "_____\nhttps://x.example/mailman/listinfo/dev"), Discussion)
	f("advertising over a list", written(list("dev.example", "Earn money"), "Click here. Guaranteed income, no obligation, credit card."), Promo)
	f("newsletter with offers", written(bulk("hello@x.example", "The weekly"), "In this issue: news, this week. Special offer! Discount!"), Newsletter)
	f("bulk mail that sells by its text", written(bulk("hello@x.example", "Spring is here"), "Shop now. Free shipping. Discounts."), Promo)
	f("risky and personal", scored(mail("jo@x.example", "Lunch?"), risky), Other)
	f("risky and bulk", scored(footer, risky), Promo)
	f("risky receipt", scored(mail("service@paypal.com", "Receipt"), risky), Other)
	f("hardly risky", scored(mail("jo@x.example", "Lunch?"), risky-1), Personal)
	f("long text", written(mail("jo@x.example", "Hello"), strings.Repeat("word ", 50_000)+"unsubscribe"), Newsletter)
}

func TestSizeFollowsWhatIsHeld(t *testing.T) {
	fold := NewFold()
	fold.Add(received("u1", "a", "x", 0, "me@x.example"))
	one := fold.Size()
	fold.Add(received("u1", "a", "x", 1, "me@x.example"))
	if fold.Size() != one {
		t.Errorf("a repeat moved the size from %d to %d", one, fold.Size())
	}
	fold.Add(received("u1", "b", "x", 2))
	if fold.Size() <= one {
		t.Errorf("a second mail moved the size from %d to %d", one, fold.Size())
	}
	fold.Add(erased("u1"))
	if fold.Size() > 64 {
		t.Errorf("size %d after all is erased", fold.Size())
	}
}
